"""Logger for Weights & Biases, an extra (pip install '.[wandb]'); with WANDB_MODE=offline all stays in the folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from sed.errors import UserError, first_lines
from sed.training.loggers.run_id import run_id

OPTIONS = {
    "wandb_project": {"default": "ast-sed", "help": "Weights & Biases project that runs are added to"},
}


class WeightsAndBiases:
    """Logger that writes one run with the training step as x-axis; a resumed training continues it."""

    def __init__(self, folder: Path, _step: int, config: Mapping[str, Any]) -> None:
        # `_step`, after which a resumed training continues, is not needed: see the x-axis below.
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._run = wandb.init(
                project=config.get("wandb_project", "ast-sed"),
                name=folder.resolve().name,
                id=run_id(folder, "wandb"),
                resume="allow",
                dir=str(folder),
                config=dict(config),
                settings=wandb.Settings(console="off", silent=True),
            )
        except (wandb.Error, ValueError) as error:  # ValueError: a variable of the environment has an unknown value
            raise UserError(
                f"--loggers wandb: {first_lines(error, 3)} (WANDB_MODE=offline needs no account; or leave wandb out)"
            ) from None
        # Not W&B's own step, which may only increase: a resumed training logs some steps again.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def text(self, step: int, message: str) -> None:
        self._run.log({"step": step, "run": message})

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """
        self._run.log({"step": step, name: wandb.Image(image)})

    def close(self) -> None:
        self._run.finish()
