"""Loggers of a run by name: the seam between the training loop and TensorBoard or any other.

A new logger is one module with a class of `Logger`'s methods (and its `OPTIONS`), and one line in `LOGGERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sed.config import default_options
from sed.errors import UserError
from sed.registry import chosen

LOGGERS = {
    "tensorboard": "sed.training.loggers.tensorboard:TensorBoard",
    "jsonl": "sed.training.loggers.jsonl:JsonLines",
    "none": "sed.training.logger:NoLogger",
}
OPTIONS = {
    "loggers": {
        "default": ["tensorboard"],
        "help": "where losses, rates and scores go: tensorboard, jsonl, or none",
        "type": "words",
    },
}
OPTIONS_FROM = LOGGERS


class Logger(Protocol):
    """Receives what a run measures; only the first process has one.

    Names of scalars are `train/<loss>` at each step, and `lr/<group>`, `clips_per_second` and `valid/<score>` at the
    end of each epoch.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers by name, after `step` steps."""

    def text(self, step: int, message: str) -> None:
        """Record an event: an epoch's end, a checkpoint, a stop."""

    def close(self) -> None:
        """Write what is still held back."""


class Builder(Protocol):
    """Makes a logger: a class of `LOGGERS`."""

    def __call__(self, folder: Path, step: int, config: Mapping[str, Any], /) -> Logger:
        """
        Args:
            folder: the run's; the logger's files go there.
            step: where the run starts. A killed run may have logged later steps, which will be logged again.
            config: the run's, with the logger's own options.
        """
        ...


class NoLogger:
    """Records nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def text(self, step: int, message: str) -> None:
        pass

    def close(self) -> None:
        pass


class Several:
    """Passes everything on to several loggers."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = loggers

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for logger in self._loggers:
            logger.scalars(step, values)

    def text(self, step: int, message: str) -> None:
        for logger in self._loggers:
            logger.text(step, message)

    def close(self) -> None:
        for logger in self._loggers:
            logger.close()


def logger_opener(config: Mapping[str, Any]) -> Callable[[Path, int], Logger]:
    """Return what builds the loggers that `--loggers` names, given a run's folder and the step where it starts.

    Raises:
        UserError: there is no logger of a name; before any work is done.
    """
    builders = [_builder(name) for name in dict.fromkeys(config["loggers"])]
    return lambda folder, step: Several([build(folder, step, config) for build in builders])


def _builder(name: str) -> Builder:
    if name not in LOGGERS:
        raise UserError(f"--loggers {name}: unknown (one of {', '.join(LOGGERS)})")
    builder: Builder = chosen(LOGGERS, name, "logger")
    return builder


RUNTIME = tuple(default_options("sed.training.logger"))
"""options of all loggers: none changes what is learned"""
