"""Fixtures of several folders of tests. Imports are inside, so that tests without torch start at once."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape what is no UTF-8 in captured output, such as names of files in the log: pytest-xdist cannot send it."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Keep finalisers of other tests' objects away: they fail at the recursion limit, and pytest blames the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    """Function: the model's default options, some replaced."""
    from sed.config import default_options

    def make(**values: Any) -> dict[str, Any]:
        defaults = default_options("sed.features.logmel", "sed.models.detector")
        assert not values.keys() - defaults.keys()
        return {**defaults, **values}

    return make


@pytest.fixture
def small(config: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Function: as `config`, for a model that a CPU runs at once."""

    def make(**values: Any) -> dict[str, Any]:
        sizes = {
            "mel_bins": 64,
            "ast_dim": 48,
            "ast_heads": 3,
            "ast_depth": 3,
            "ast_blocks": 3,
            "stride_freq": 16,
            "atst_dim": 48,
            "atst_heads": 3,
            "atst_depth": 2,
            "atst_blocks": 2,
            "dasheng_dim": 48,
            "dasheng_heads": 3,
            "dasheng_depth": 2,
            "dasheng_blocks": 2,
            "eat_dim": 48,
            "eat_heads": 3,
            "eat_depth": 2,
            "eat_blocks": 2,
            "beats_dim": 48,
            "beats_patch_dim": 32,
            "beats_heads": 3,
            "beats_depth": 2,
            "beats_blocks": 2,
            "panns_channels": 4,
            "gru_units": 24,
        }
        return config(**{**sizes, **values})

    return make


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump that tests read and leave alone."""
    from tiny_training import write_dump

    return write_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., dict[str, Any]]:
    """`tiny_training.make_config`, whose keyword arguments replace options of the tiny config."""
    from tiny_training import make_config

    return make_config


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny config as a file for `sed.bin.train --config`."""
    import yaml
    from tiny_training import TINY

    path = tmp_path_factory.mktemp("conf") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """Collect the package's log lines in a test, whatever handlers and levels other tests left."""
    lines: list[str] = []

    class Keeps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, handler = logging.getLogger("sed"), Keeps()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)
