"""The tiny dump and configs of `tiny_training`, made once a session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_training import TINY, make_config, write_dump


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump that tests read and leave alone."""
    return write_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="session")
def tiny_config() -> Any:
    """`make_config`, for tests that change some of it."""
    return make_config


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny config as a file for `sed.bin.train --config`."""
    path = tmp_path_factory.mktemp("conf") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path
