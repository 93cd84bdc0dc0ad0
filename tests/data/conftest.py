"""Fixtures of several tests of sed.data."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import serve  # noqa: F401


@pytest.fixture
def other_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Function: make a folder one of another disk, so that nothing can be renamed from it to outside."""
    replace = Path.replace

    def make(folder: Path) -> None:
        def across(path: Path, target: Path) -> Path:
            if path.is_relative_to(folder) != target.is_relative_to(folder):
                raise OSError(errno.EXDEV, "Invalid cross-device link", str(path), None, str(target))
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", across)

    return make
