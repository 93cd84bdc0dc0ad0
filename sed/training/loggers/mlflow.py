"""Logger for MLflow, an extra (pip install '.[mlflow]'), at MLFLOW_TRACKING_URI or in `mlruns/` of the run's folder."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from sed.errors import RunError, first_lines
from sed.training.loggers.run_id import run_id

OPTIONS = {
    "mlflow_experiment": {"default": "ast-sed", "help": "MLflow experiment that runs are added to"},
}
LONGEST = 6000
"""largest number of characters of a parameter's value in MLflow"""


@contextmanager
def _reported() -> Iterator[None]:
    """Raise MLflow's errors within the context, such as that a server does not answer, as RunError."""
    try:
        yield
    except MlflowException as error:
        raise RunError(
            f"--loggers mlflow: {first_lines(error)} (check MLFLOW_TRACKING_URI, or leave mlflow out)"
        ) from None


class MLflow:
    """Logger that writes one MLflow run, which a resumed training continues."""

    def __init__(self, folder: Path, step: int, config: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # otherwise newer versions require a database
            uri = (folder.resolve() / "mlruns").as_uri()
        self._events: list[str] = []
        self._file = f"events_from_step_{step}.txt"  # a resumed run, which has no earlier events, writes another file
        with _reported():
            self._client = MlflowClient(tracking_uri=uri)
            self._run = run_id(folder, "mlflow", lambda: self._create(folder, config))

    def _create(self, folder: Path, config: Mapping[str, Any]) -> str:
        """Create a run with the config as its parameters, and its experiment if there is none; return the run's id."""
        name = config.get("mlflow_experiment", "ast-sed")
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        run = str(self._client.create_run(experiment, run_name=folder.resolve().name).info.run_id)
        parameters = [Param(key, str(value)[:LONGEST]) for key, value in config.items()]
        for first in range(0, len(parameters), 100):  # MLflow's limit of parameters per call
            self._client.log_batch(run, params=parameters[first : first + 100])
        return run

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)  # ms
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        with _reported():
            self._client.log_batch(self._run, metrics=metrics)

    def text(self, step: int, message: str) -> None:
        self._events.append(f"{step}\t{message}\n")  # all are kept: a call replaces the whole file
        with _reported():
            self._client.log_text(self._run, "".join(self._events), self._file)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """
        # MLflow accepts no other characters
        key = re.sub(r"[^\w./ -]", lambda found: f"_{ord(found[0]):x}_", name, flags=re.ASCII)
        with _reported():
            self._client.log_image(self._run, image, key=key, step=step)

    def close(self) -> None:
        with _reported():
            self._client.set_terminated(self._run)
