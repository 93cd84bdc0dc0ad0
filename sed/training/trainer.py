"""Mean-teacher training: scheduled values of each step, validation, model selection, and the final files."""

from __future__ import annotations

import copy
import gc
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed.checkpoints.checkpoint import save_checkpoint
from sed.files import replacing, write_json, write_text
from sed.training.inputs import InputMaker, StepInputs
from sed.training.logger import Logger, NoLogger
from sed.training.loop import Loop, RunOptions, drop_resume_state
from sed.training.schedule import Schedule
from sed.training.step import LOGGED, StepValues, TrainingStep


class Trainer(Loop):
    """Training loop of the mean teacher.

    `run` writes best.pt (with `select` best) and final.pt beside the files of `Loop`; `mark_done`, called after it,
    info.json and .done.
    """

    logged = LOGGED
    maker: InputMaker

    def __init__(
        self,
        folder: Path,
        *,
        step: TrainingStep,
        maker: InputMaker,
        schedule: Schedule,
        encoder_lr: float,
        head_lr: float,
        loss_weights: tuple[float, float, float, float, float, float],
        identity: Mapping[str, Any],
        options: RunOptions,
        shares: Sequence[int] = (0,),
        open_logger: Callable[[Path, int], Logger] = NoLogger,
        validate: Callable[[], dict[str, float]] | None = None,
        pictures: Callable[[], dict[str, np.ndarray]] = dict,
        select: str = "last",
        weights: str = "",
    ) -> None:
        """
        Args:
            folder: the experiment's folder.
            step: the training step, which holds the models.
            maker: makes the inputs of each step.
            schedule: learning rate factors, consistency ramp and teacher decay of each step.
            encoder_lr: learning rate of the encoder, before the schedule's factor.
            head_lr: learning rate of all other parameters, before the schedule's factor.
            loss_weights: weights of `losses.PARTS` after the ramp, by which the two of consistency are multiplied.
            identity: stored in every checkpoint: config, labels, front_end.
            options: runtime options.
            shares: indices of the batch's shares that this process computes, one after the other.
            open_logger: builds the logger, given the folder and the number of steps done at the run's start.
            validate: scores the teacher after each epoch (`score`: higher is better); None: no validation.
            pictures: draws validation clips after each epoch, {name: (height, width, 3) uint8}; `dict`: none.
            select: which model becomes final.pt: that of the last step (last) or of the best epoch (best).
            weights: description of the initial weights, for info.json.
        """
        super().__init__(
            folder,
            maker=maker,
            schedule=schedule,
            models={"student": step.student, "teacher": step.teacher},
            optimiser=step.optimiser,
            identity=identity,
            options=options,
            device=step.device,
            seed=maker.seed,
            open_logger=open_logger,
            shares=shares,
            world=step.world,
        )
        self.training_step = step
        self.encoder_lr, self.head_lr, self.loss_weights = encoder_lr, head_lr, loss_weights
        self.validate, self.select, self.weights = validate, select, weights
        self.pictures = pictures
        self.best_score: float | None = None
        self.best_step: int | None = None

    # Steps -------------------------------------------------------------------------------------------------------

    def take(self, step: int, inputs: list[StepInputs]) -> Tensor:
        return self.training_step(inputs, self.values(step))

    def rates(self, step: int) -> dict[str, float]:
        return {
            "encoder": self.encoder_lr * self.schedule.encoder_factor(step),
            "head": self.head_lr * self.schedule.lr_factor(step),
        }

    def values(self, step: int) -> StepValues:
        """Return the scheduled values of a step."""
        rates, ramp = self.rates(step), self.schedule.ramp(step)
        strong, weak, frame, clip, tags, pseudo = self.loss_weights
        return StepValues(
            encoder_lr=rates["encoder"],
            head_lr=rates["head"],
            ema_weight=1 - self.schedule.teacher_decay(step),
            loss_weights=(strong, weak, frame * ramp, clip * ramp, tags, pseudo),
        )

    # Validation and selection ------------------------------------------------------------------------------------

    def epoch_ended(self, done: int) -> None:
        if self.validate is None:
            return
        scores = self.validate()
        self.say("validation: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
        self.logger.scalars(done, {f"valid/{name}": value for name, value in scores.items()})
        if self.world.first:
            for name, image in self.pictures().items():
                self.logger.picture(done, f"posteriors/{name}", image)
        if self.select == "best" and (self.best_score is None or scores["score"] > self.best_score):
            self.best_score, self.best_step = scores["score"], done
            if self.world.first:
                save_checkpoint(self.folder / "best.pt", self.checkpoint(done, with_optimiser=False))

    def info(self) -> dict[str, Any]:
        return {} if self.best_step is None else {"best_score": self.best_score, "best_step": self.best_step}

    def restore_info(self, info: Mapping[str, Any]) -> None:
        self.best_score, self.best_step = info.get("best_score"), info.get("best_step")

    # The end -----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        if not self.world.first:
            return
        best = self.folder / "best.pt"
        if self.select == "best" and best.exists():
            with replacing(self.folder / "final.pt") as part:
                shutil.copyfile(best, part)
        else:
            save_checkpoint(self.folder / "final.pt", self.checkpoint(self.schedule.steps, with_optimiser=False))

    def mark_done(self, info: dict[str, Any]) -> None:
        """Write info.json, remove progress.json, write the marker `.done`, then remove the checkpoints.

        So a folder with `.done` and without progress.json is that of a finished training, at whatever instant the
        process is killed; checkpoints in it are not needed.
        """
        if self.world.first:
            write_json(self.folder / "info.json", info)
            (self.folder / "progress.json").unlink(missing_ok=True)
            write_text(self.folder / ".done", "")
            drop_resume_state(self.folder)

    def parts_that_fit(self) -> int | None:
        """Find by trial the value of `--accumulate` (shares of a batch per process) that fits into GPU memory.

        Call it only after a run has failed: it leaves gradients behind.

        Returns:
            The smallest of 2, 4, 8, 16 and 32 that is above the present value and fits, and whose product with the
            number of processes divides the strong, the weak and the unlabelled clips of a batch; None if there is none.
        """
        self.training_step.release()
        for parts in (2, 4, 8, 16, 32):
            shares = self.world.size * parts
            if shares <= self.maker.shares or any(size % shares for size in self.maker.sizes.values()):
                continue
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            maker = copy.copy(self.maker)
            maker.shares = shares
            try:
                self.training_step.backward(maker.fetched(maker.make(0)), 1.0)
                return parts
            except torch.OutOfMemoryError:
                continue
        return None
