"""Registry of the loggers of a run, and their protocol.

A new logger is a module with a class that has the methods of `Logger` and, for options of its own, `OPTIONS`; and a
line in `LOGGERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sed.config import default_options
from sed.errors import UserError
from sed.registry import chosen

LOGGERS = {
    "tensorboard": "sed.training.loggers.tensorboard:TensorBoard",
    "jsonl": "sed.training.loggers.jsonl:JsonLines",
    "wandb": "sed.training.loggers.wandb:WeightsAndBiases",
    "mlflow": "sed.training.loggers.mlflow:MLflow",
    "none": "sed.training.logger:NoLogger",
}
OPTIONS = {
    "loggers": {
        "default": ["tensorboard"],
        "help": "loggers of losses, learning rates and scores: tensorboard, jsonl, wandb, mlflow, or none",
        "type": "words",
    },
    "log_pictures": {
        "default": 2,
        "help": "number of validation clips drawn after each epoch, posteriors above truth, for loggers of images",
        "least": 0,
    },
}
OPTIONS_FROM = LOGGERS  # --help also lists the options of these modules (`sed.config.literals`)


class Logger(Protocol):
    """Protocol of loggers; only the first process has one.

    Scalars are `train/<name>` at each step (losses and the gradient's norm), and `lr/<group>`, `clips_per_second` and
    `valid/<score>` at the end of each epoch. A step's number is the number of steps done when it ends: the first is 1.
    """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Record values by name, after `step` steps."""

    def text(self, step: int, message: str) -> None:
        """Record a message: a resumption, the end of an epoch, the validation's scores, a checkpoint."""

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """

    def close(self) -> None:
        """Write what is buffered."""


class Builder(Protocol):
    """Constructor of a class of `LOGGERS`."""

    def __call__(self, folder: Path, step: int, config: Mapping[str, Any], /) -> Logger:
        """
        Args:
            folder: folder of the run, for the logger's files.
            step: number of steps done when the run starts. A killed run may have logged later steps, which will be
                logged again.
            config: config of the run, including the logger's options.
        """
        ...


class NoLogger:
    """Logger that records nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def text(self, step: int, message: str) -> None:
        pass

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Ignore an image.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """

    def close(self) -> None:
        pass


class Several:
    """Logger that passes everything on to several others."""

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = loggers

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for logger in self._loggers:
            logger.scalars(step, values)

    def text(self, step: int, message: str) -> None:
        for logger in self._loggers:
            logger.text(step, message)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image by all loggers.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """
        for logger in self._loggers:
            logger.picture(step, name, image)

    def close(self) -> None:
        """Close all loggers, even if one of them fails."""
        with ExitStack() as stack:
            for logger in self._loggers:
                stack.callback(logger.close)


def logger_opener(config: Mapping[str, Any]) -> Callable[[Path, int], Logger]:
    """Return a function that opens the loggers of `--loggers`, given a run's folder and the number of steps done.

    Raises:
        UserError: a name is unknown, or its package is missing; raised here, before any work is done. (TensorBoard's
            package, which recipes install, is imported only when the logger is opened, as it takes a second; where it
            is missing, the command ends with a line at that time.)
    """
    builders = [_builder(name) for name in dict.fromkeys(config["loggers"])]
    return lambda folder, step: Several([build(folder, step, config) for build in builders])


def _builder(name: str) -> Builder:
    """Return the class of a logger.

    Raises:
        UserError: the name is unknown, or the package that the logger needs is missing.
    """
    if name not in LOGGERS:
        raise UserError(f"--loggers {name}: unknown (one of {', '.join(LOGGERS)})")
    try:
        builder: Builder = chosen(LOGGERS, name, "logger")
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("", "sed"):
            raise
        raise UserError(f"--loggers {name}: the package {package} is missing (pip install '.[{name}]')") from None
    return builder


RUNTIME = tuple(default_options("sed.training.logger"))
"""options of all loggers, which may change on resume (`run_options.RUNTIME`): none affects the trained weights"""
