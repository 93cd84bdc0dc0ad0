"""Schedule of a training: learning rate factors, consistency ramp and the teacher's decay at each step.

Letters such as (P) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sed.errors import UserError

SECTION = "schedule"
# Defaults of numbers of epochs are floats where a fraction of an epoch may be given.
OPTIONS = {
    "epochs": {"default": 10, "help": "epochs to train (P)", "least": 1},
    "steps_per_epoch": {
        "default": 0,
        "help": "steps per epoch; 0: one pass over the set that needs the fewest (in training, see epoch_clips)",
        "least": 0,
    },
    "most_passes": {
        "default": 0,
        "help": "largest number of passes of the whole training over the labelled set that is passed over least often; "
        "epochs are shortened to keep it; 0: no limit",
        "least": 0,
    },
    "lr": {
        "default": 1e-4,
        "help": "learning rate of everything but the encoder (P); in pre-training, of everything",
        "least": 0,
    },
    "encoder_lr": {"default": 5e-6, "help": "learning rate of the encoder (P); 0: it is frozen", "least": 0},
    "layer_decay": {
        "default": 1.0,
        "help": "factor of the learning rate from each encoder block to the one below; the last block has encoder_lr",
        "least": 1e-3,
        "most": 1,
    },
    "frozen_epochs": {
        "default": 0.0,
        "help": "epochs at the start in which the encoder is frozen: no gradients, so faster",
        "least": 0,
    },
    "warmup": {
        "default": "linear",
        "help": "warm-up of learning rates: linear over warmup_steps, or exp(-5 (1 - t)^2) over ramp_epochs (D, F)",
        "choices": ["linear", "exp"],
    },
    "warmup_steps": {"default": 0, "help": "steps of the warm-up of both learning rates (warmup: linear)", "least": 0},
    "ramp_epochs": {
        "default": 5.0,
        "help": "epochs over which the consistency weight (and with warmup: exp the learning rates) ramps up",
        "least": 0,
    },
    "constant_epochs": {
        "default": 5.0,
        "help": "epochs from the start, warm-up included, after which the learning rates decay (P)",
        "least": 0,
    },
    "decay": {
        "default": "exponential",
        "help": "shape of the decay to the final factor f over t from 0 to 1: exponential f^t (P), squared f^(t^2) (L)",
        "choices": ["exponential", "squared"],
    },
    "final_lr_factor": {
        "default": 0.01,
        "help": "factor of both learning rates at the end of the decay (I; L: exp(-5), 0.0067379)",
        "least": 1e-9,
        "most": 1,
    },
    "ema_decay": {
        "default": 0.999,
        "help": "the teacher's decay per step, which the first steps approach from below (F, D, L)",
        "least": 0,
        "most": 1,
    },
}


def scale_steps(config: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Return the config with `steps_per_epoch` and `warmup_steps` times `factor`, rounded, at least 1; 0 stays 0.

    Raises:
        UserError: `factor` is not 1, but `steps_per_epoch` is 0: the sets define an epoch.
    """
    if factor != 1 and not config["steps_per_epoch"]:
        raise UserError("--step-scale: steps_per_epoch is 0, so there is nothing to scale (give --steps-per-epoch)")
    scaled = {
        key: max(1, int(config[key] * factor + 0.5)) for key in ("steps_per_epoch", "warmup_steps") if config[key]
    }
    return {**config, **scaled}


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Scheduled values as functions of the step, counted from 0; the fields are the options of the same names."""

    epochs: int
    steps_per_epoch: int
    frozen_epochs: float = 0.0
    warmup: str = "linear"
    warmup_steps: int = 0
    constant_epochs: float = 5.0
    decay: str = "exponential"
    final_lr_factor: float = 0.01
    ramp_epochs: float = 5.0
    ema_decay: float = 0.999

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, steps_per_epoch: int) -> Schedule:
        """Return the schedule of a flat config, with this `steps_per_epoch` (the config's own may be 0)."""
        return cls(**{f.name: config[f.name] for f in fields(cls)} | {"steps_per_epoch": steps_per_epoch})

    @property
    def steps(self) -> int:
        """Number of steps of the whole training."""
        return self.epochs * self.steps_per_epoch

    def lr_factor(self, step: int) -> float:
        """Return the factor of the learning rates: warm-up, constant, then decay to the final factor.

        The decay runs from `constant_epochs` to the last step, so that a longer training decays more slowly.
        """
        start = self.constant_epochs * self.steps_per_epoch
        last = self.steps - 1
        factor = 1.0
        if step > start:
            phase = (step - start) / max(last - start, 1)
            factor = self.final_lr_factor ** (phase if self.decay == "exponential" else phase**2)
        return factor * self.warmup_factor(step)

    def warmup_factor(self, step: int) -> float:
        """Return the warm-up's factor of the learning rates, `step` steps after the warm-up began.

        The linear one is above 0 from the first step on, and 1 from step `warmup_steps` on.
        """
        return self.ramp(step) if self.warmup == "exp" else min(1.0, (step + 1) / (self.warmup_steps + 1))

    def encoder_factor(self, step: int) -> float:
        """Return the factor of the encoder's learning rate: `lr_factor`, but 0 while the encoder is frozen.

        After frozen epochs it is also multiplied by a second warm-up, which begins when they end.
        """
        start = round(self.frozen_epochs * self.steps_per_epoch)
        if step < start:
            return 0.0
        return self.lr_factor(step) * (self.warmup_factor(step - start) if start else 1.0)

    def ramp(self, step: int) -> float:
        """Return exp(-5 (1 - t)^2), with t rising linearly from 0 to 1 over `ramp_epochs` (D, F).

        The weights of the consistency losses are multiplied by it.
        """
        length = self.ramp_epochs * self.steps_per_epoch
        t = min(step / length, 1.0) if length > 0 else 1.0
        return math.exp(-5 * (1 - t) ** 2)

    def teacher_decay(self, step: int) -> float:
        """Return the teacher's decay after a step: min(1 - 1 / n, ema_decay) with n = step + 1 (F, D, L).

        As long as it is 1 - 1 / n, the teacher is the plain mean of the n students so far.
        """
        return min(1 - 1 / (step + 1), self.ema_decay)

    @property
    def teacher_is_slow(self) -> bool:
        """True if the teacher's time constant, 1 / (1 - ema_decay) steps, exceeds a fifth (our choice) of all steps."""
        return self.steps * (1 - self.ema_decay) < 5

    @property
    def first_half_share(self) -> float:
        """Total weight, in the final teacher, of the students of the first half of the training."""
        return math.prod(map(self.teacher_decay, range(self.steps // 2, self.steps)))
