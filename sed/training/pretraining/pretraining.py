"""Pre-training of an encoder as a tagger, on clip tags and, if the data have them, on frame labels too.

It replaces the AudioSet checkpoint where that is not available: an AST is written in the published layout, which
training loads like the published checkpoint, other encoders in the layout of `sed.checkpoints.own_layout`. The data are
a dumped set, or soundscapes mixed on the fly from a soundbank. Batches, augmentation and loop are those of training.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed.checkpoints import own_layout
from sed.checkpoints.ast_layouts import export_published
from sed.compatibility import complete
from sed.config import default_options
from sed.files import open_replacing, write_text
from sed.models.tagger import GridTagger
from sed.training import losses
from sed.training.distributed import World
from sed.training.inputs import Maker, StepInputs
from sed.training.logger import Logger, NoLogger
from sed.training.loop import Loop, RunOptions, drop_resume_state
from sed.training.parameters import FlatParameters
from sed.training.pretraining.pretrainer import Pretrainer
from sed.training.schedule import Schedule
from sed.training.step import Preparation

log = logging.getLogger("sed.pretrain")

SECTION = "objective"
OPTIONS = {
    "batch_size": {"default": 32, "help": "clips per step", "least": 1},
    "tag_weight": {"default": 1.0, "help": "weight of the cross-entropy of clip tags", "least": 0},
    "frame_weight": {
        "default": 1.0,
        "help": "weight of the cross-entropy of frame labels, if the data have any: not those with tags.tsv only",
        "least": 0,
    },
    "frame_detail": {"default": 1, "help": "label frames per time step of the encoder (finer labels)", "least": 1},
    "drop_path": {
        "default": 0.0,
        "help": "stochastic depth: probability that a residual branch is skipped for a clip (AST only)",
        "least": 0,
        "most": 0.9,
    },
    "patchout": {
        "default": 0,
        "help": "number of frequency bands of patches dropped at each step (AST only): faster, and a regulariser",
        "least": 0,
    },
}
OPTIONS_FROM = [
    "sed.training.pretraining.soundscape_inputs",
    "sed.training.augment",
    "sed.training.schedule",
    "sed.training.parameters",
    "sed.training.pretraining.run_options",
]


class Pretraining(Loop):
    """A pre-training run: it writes the checkpoint `out` and its class names beside it, and resumes a killed run.

    The files of `Loop` are in the folder `folder_of(out)`; its checkpoints are removed at the end.
    """

    logged = ("loss", "tags", "frames", "gradient_norm")

    def __init__(
        self,
        out: Path,
        *,
        config: Mapping[str, Any],
        model: Pretrainer,
        flat: FlatParameters,
        optimiser: torch.optim.AdamW,
        maker: Maker[Any],
        preparation: Preparation,
        frames: int,
        precision: str,
        schedule: Schedule,
        identity: Mapping[str, Any],
        options: RunOptions,
        device: torch.device,
        open_logger: Callable[[Path, int], Logger] = NoLogger,
        world: World | None = None,
    ) -> None:
        """
        Args:
            out: path of the checkpoint to write.
            config: options of pre-training, model and front end.
            model: the model to train, on the device.
            flat: its parameters.
            optimiser: optimiser of `flat`.
            maker: makes the inputs of each step.
            preparation: augments and normalises the inputs.
            frames: label frames per clip.
            precision: bf16 or fp32.
            schedule: number of steps, and the learning rate's factor at each.
            identity: what identifies the training, stored in every checkpoint: config (without the runtime options),
                labels, front_end.
            options: runtime options.
            device: device of the model.
            open_logger: builds the logger, given the folder and the number of steps done at the run's start.
            world: the processes that train together, each with one share of a batch; None: only this one.
        """
        world = world or World()
        super().__init__(
            folder_of(out),
            maker=maker,
            schedule=schedule,
            models={"student": model},
            optimiser=optimiser,
            identity=identity,
            options=options,
            device=device,
            seed=config["seed"],
            open_logger=open_logger,
            shares=[world.rank],
            world=world,
        )
        self.out, self.config, self.labels = out, config, identity["labels"]
        self.model, self.flat, self.preparation = model, flat, preparation
        self.frames, self.precision = frames, precision

    def run(self) -> None:
        old = self.out.with_name(f".{self.out.name}.state")
        if self.world.first and old.exists():
            log.info("%s: left by a killed run of an earlier version: starting over", old)
            old.unlink()
        super().run()

    def accepts(self, path: Path, saved: Mapping[str, Any]) -> bool:
        config = self.identity["config"]
        defaults = default_options("sed.features.logmel", "sed.models.detector", __name__)
        stored = complete(saved["config"], {key: value for key, value in defaults.items() if key in config})
        if stored == config and saved["labels"] == self.labels:
            return True
        log.info("%s: the killed run had another config: starting over", path)
        return False

    def draw_seed(self, step: int) -> int:
        # not as in `Loop`: the seeds of earlier versions are kept
        rank = f" {self.world.rank}" if self.world.rank else ""
        return zlib.crc32(f"{self.seed} {step}{rank}".encode())

    def rates(self, step: int) -> dict[str, float]:
        return {"all": self.config["lr"] * self.schedule.lr_factor(step)}

    def take(self, step: int, inputs: list[StepInputs]) -> Tensor:
        for group in self.optimiser.param_groups:
            rate = self.rates(step)["all"]
            if isinstance(group["lr"], Tensor):  # on a GPU (`sed.training.parameters`)
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.flat.zero_gradients()
        loss, tags, frames = self.objective(inputs[0], self.kept_bands(step))
        loss.backward()
        self.world.average(*self.flat.gradients)
        norm = self.flat.clip_gradients(self.config["clip_norm"])
        self.optimiser.step()
        return torch.stack([loss.detach(), tags.detach(), frames.detach(), norm])

    def objective(self, inputs: StepInputs, bands: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the loss of a batch.

        Args:
            inputs: the batch, on the device; its weak targets are used if it has no strong ones.
            bands: indices (kept,) int64 of the frequency bands of patches to encode; None: all.

        Returns:
            The weighted loss (), and its unweighted parts, of tags () and frames (); the latter is 0 without strong
            targets.
        """
        with torch.no_grad():
            prepared = self.preparation(inputs)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            tag_logits, frame_logits = self.model(prepared.student, self.frames, bands)
        if len(prepared.strong_targets):
            tags = losses.frame_loss(tag_logits, losses.tags_of(prepared.strong_targets))
            frames = losses.frame_loss(frame_logits, prepared.strong_targets)
        else:
            tags, frames = losses.frame_loss(tag_logits, prepared.weak_targets), tag_logits.new_zeros(())
        return self.config["tag_weight"] * tags + self.config["frame_weight"] * frames, tags, frames

    def kept_bands(self, step: int) -> Tensor | None:
        """Return the indices (kept,) of the frequency bands of patches that a step encodes, sorted; None: all."""
        if not self.config["patchout"]:
            return None
        rng = np.random.default_rng((self.config["seed"], step, 0xBA4D))  # 0xBA4D: keeps random streams apart
        kept = np.sort(rng.permutation(self.model.bands)[self.config["patchout"] :])
        return torch.from_numpy(kept).to(self.device, non_blocking=True)

    def finish(self) -> None:
        """Write the class names, then the checkpoint, and remove what only resuming needs."""
        if not self.world.first:
            return
        write_text(self.out.with_suffix(".labels.txt"), "".join(f"{label}\n" for label in self.labels))
        tagger = self.model.tagger
        if isinstance(tagger, GridTagger):
            state = own_layout.export(self.config["encoder"], tagger)
        else:
            state = export_published(tagger.encoder, tagger.head)
        with open_replacing(self.out, "wb") as file:
            torch.save(state, file)
        drop_resume_state(self.folder)


def folder_of(out: Path) -> Path:
    """Return the folder of a run's checkpoints and logs: `ast.run` beside `ast.pth`."""
    return out.with_suffix(".run")
