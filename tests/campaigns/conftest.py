"""Fixtures that campaigns share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty_server import serve
from workplace import make_workplace

from sed.files import lock

__all__ = ["serve"]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small good file of every kind, made once for all processes that pytest runs on."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = base / "workplace"
    with lock(base, "workplace", wait=True):
        if not (base / "workplace.made").exists():
            make_workplace(folder)
            (base / "workplace.made").touch()
    return folder
