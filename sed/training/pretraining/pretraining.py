"""Pre-training of an AST as a tagger, on clip tags and, where the data has events, on frame labels too.

For people without the AudioSet checkpoint: the result is a file in the published layout, which training then loads
as it would load the real one. It learns from a dumped set, or from soundscapes mixed on the fly from a soundbank.
Batches and augmentation are training's own; resume is exact.
"""

from __future__ import annotations

import logging
import math
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.checkpoint import FORMAT, load_checkpoint, save_checkpoint
from sed.data.batches import FeaturePool, arrange, choose_cache, load_set
from sed.data.synthesis.sound_table import Sounds
from sed.data.synthesis.soundbank import SoundBank
from sed.errors import RunError, UserError
from sed.features.logmel import FrontEnd
from sed.files import open_replacing, write_text
from sed.models.ast import LEADING
from sed.models.detector import build_tagger
from sed.models.tagger import Tagger
from sed.training import losses
from sed.training.augment import AugmentOptions
from sed.training.build import check_front_end
from sed.training.inputs import InputMaker, StepInputs, inputs_from
from sed.training.parameters import (
    FlatParameters,
    build_optimiser,
    load_optimiser_state,
    optimiser_state,
    parameter_groups,
)
from sed.training.pretraining.run_options import RUNTIME
from sed.training.pretraining.soundscape_inputs import SoundscapeMaker
from sed.training.schedule import Schedule
from sed.training.step import Preparation

log = logging.getLogger("sed.pretrain")


SECTION = "objective"
OPTIONS = {
    "batch_size": {"default": 32, "help": "clips a step", "least": 1},
    "tag_weight": {"default": 1.0, "help": "weight of the cross-entropy of clip tags", "least": 0},
    "frame_weight": {
        "default": 1.0,
        "help": "weight of the cross-entropy of frame labels, where there are events",
        "least": 0,
    },
    "frame_detail": {"default": 1, "help": "label frames that a time step of patches tells apart", "least": 1},
    "drop_path": {"default": 0.0, "help": "share of clips that a branch of a block passes by", "least": 0, "most": 0.9},
    "patchout": {
        "default": 0,
        "help": "frequency bands that each step leaves out: quicker, and regularises",
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


class Pretrainer(nn.Module):
    """A tagger with a second head that labels each time step from the mean of its bands; that one is thrown away."""

    def __init__(self, tagger: Tagger, classes: int, *, detail: int = 1) -> None:
        super().__init__()
        self.tagger, self.detail = tagger, detail
        self.frame_norm = nn.LayerNorm(tagger.encoder.dim)
        self.frame_head = nn.Linear(tagger.encoder.dim, detail * classes)

    def forward(self, x: Tensor, frames: int, bands: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, input frames, bins) -> tag logits (batch, classes), frame logits (batch, frames, classes).

        `bands` (kept,) int64: only their patches are seen (Koutini et al. 2022, structured patchout).
        """
        encoder = self.tagger.encoder
        tokens = encoder.embed(x)
        grid = encoder.grid
        if bands is not None:
            patches = tokens[:, LEADING:].unflatten(1, grid).index_select(1, bands)
            tokens, grid = torch.cat([tokens[:, :LEADING], patches.flatten(1, 2)], 1), (len(bands), grid[1])
        tokens = encoder.transform(tokens)
        steps = self.frame_norm(tokens[:, LEADING:].unflatten(1, grid).mean(1))
        labelled = self.frame_head(steps).unflatten(2, (self.detail, -1)).flatten(1, 2)[:, :frames]
        return self.tagger.head(tokens).float(), labelled.float()


class Pretraining:
    """One run: reads `source`, writes `out` (published layout) and its class names beside it; resumes a killed one.

    `source` is a dumped set with tags or events, whose `labels` are the classes; or a soundbank, whose kinds are.
    """

    def __init__(
        self, config: Mapping[str, Any], source: Path, out: Path, labels: list[str] | None, *, device: torch.device
    ) -> None:
        self.config, self.out, self.device = config, out, device
        torch.manual_seed(config["seed"])
        front_end = FrontEnd.from_config(config).to(device)
        with torch.device("meta"):
            grid = build_tagger(config, 1).encoder.grid
        if config["patchout"] >= grid[0]:
            raise UserError(f"patchout {config['patchout']}: the patch grid has {grid[0]} bands (leave one at least)")
        self.bands = grid[0]
        step_seconds = config["stride_time"] * config["frame_shift"]
        frame_seconds = step_seconds / config["frame_detail"]
        steps = min(grid[1], math.ceil(config["clip_seconds"] / step_seconds - 1e-6))
        self.frames = steps * config["frame_detail"]
        if labels is None:
            maker = self._soundscapes(source, front_end, frame_seconds)
            self.labels, size = maker.labels, 0
        else:
            maker, size = self._dumped(source, labels, front_end, frame_seconds)
            self.labels = labels
        self.maker = maker
        per_epoch = config["steps_per_epoch"] or size // config["batch_size"]
        if not per_epoch:
            raise UserError("steps_per_epoch 0: soundscapes have no end (say how many steps are an epoch)")
        keys = ("epochs", "warmup_steps", "constant_epochs", "final_lr_factor", "ema_decay")
        self.schedule = Schedule(steps_per_epoch=per_epoch, **{key: config[key] for key in keys})
        log.info("%d steps of %d clips, %d classes", self.schedule.steps, maker.clips, len(self.labels))

        tagger = build_tagger(config, len(self.labels))
        self.model = Pretrainer(tagger, len(self.labels), detail=config["frame_detail"]).to(device)
        self.model.train()
        for block in tagger.encoder.blocks:
            block.drop_path = config["drop_path"]
        if config["accelerate"] == "compile" or (config["accelerate"] == "auto" and device.type == "cuda"):
            for block in tagger.encoder.blocks:  # one by one: they are alike, so one compilation serves all
                block.compile(dynamic=False)
        self.flat = FlatParameters(parameter_groups(self.model, nn.Module()), gradients=True)
        self.optimiser = build_optimiser(
            self.flat, weight_decay=config["weight_decay"], betas=(config["beta1"], config["beta2"]), device=device
        )
        self.preparation = Preparation(
            front_end=front_end,
            input_frames=config["input_frames"],
            frame_seconds=frame_seconds,
            mixup_labels=config["mixup_labels"],
            apart=False,
        )
        bf16 = config["precision"] == "bf16" or (config["precision"] == "auto" and device.type == "cuda")
        self._autocast = lambda: torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        self._state_path = out.with_name(f".{out.name}.state")
        self._log_seconds = 10.0

    def _soundscapes(self, source: Path, front_end: FrontEnd, frame_seconds: float) -> SoundscapeMaker:
        config = self.config
        sounds = Sounds.load(SoundBank(source), procedural=config["procedural"], seed=config["seed"], nj=config["nj"])
        log.info("%s: %d sounds of %d kinds", source, len(sounds.length), len(sounds.kinds))
        return SoundscapeMaker(
            sounds, front_end, config=config, frames=self.frames, frame_seconds=frame_seconds, device=self.device
        )

    def _dumped(
        self, source: Path, labels: list[str], front_end: FrontEnd, frame_seconds: float
    ) -> tuple[InputMaker, int]:
        """The inputs from a dumped set, and how many clips it has."""
        data = load_set(
            source, labels, frames=self.frames, frame_seconds=frame_seconds, batch_size=self.config["batch_size"]
        )
        if data.supervision == "unlabelled":
            raise UserError(f"{source}: neither events.tsv nor tags.tsv (pre-training needs labels)")
        arrange([data])
        check_front_end([data], front_end)
        nbytes = len(data) * data.store.frames * data.store.bins * 2
        pool = FeaturePool([data], cache=choose_cache(self.config["cache"], nbytes, self.device), device=self.device)
        log.info(
            "%s: %d clips (%s); features of %.2f GB, cache %s",
            *(source, len(data), data.supervision, nbytes / 1e9, pool.cache),
        )
        maker = InputMaker(
            [data],
            pool,
            seed=self.config["seed"],
            options=AugmentOptions.from_config(self.config),
            frames=self.frames,
            frame_seconds=frame_seconds,
            classes=len(labels),
        )
        return maker, len(data)

    def run(self) -> None:
        """Train, then write the class names and, last, the checkpoint."""
        first = self._resume()
        started = saved_at = logged_at = time.monotonic()
        total, seen, sums = self.schedule.steps, 0, torch.zeros(2, device=self.device)
        threaded = self.device.type == "cuda" or not self.maker.in_memory
        ahead = self.config["ahead"] if threaded else 0
        for step, (inputs,) in inputs_from(self.maker, range(first, total), [0], ahead=ahead):
            lr = self.config["lr"] * self.schedule.lr_factor(step)
            torch.manual_seed(
                zlib.crc32(f"{self.config['seed']} {step}".encode())
            )  # of drop_path: resuming draws it as it was
            sums += self._step(self.maker.fetched(inputs), lr, self._kept_bands(step))
            seen += 1
            now = time.monotonic()
            if now - logged_at > self._log_seconds or step + 1 == total or seen >= 500:
                tags, frames = (sums / seen).tolist()
                if not math.isfinite(tags + frames):
                    raise RunError(f"{self.out}: loss not finite by step {step + 1} (lower --lr)")
                rate = (step + 1 - first) / max(now - started, 1e-9)
                log.info(
                    "step %d/%d: tags %.4f, frames %.4f; %.1f clips/s, %d s left",
                    *(step + 1, total, tags, frames, rate * self.maker.clips, (total - step - 1) / rate),
                )
                logged_at, seen = now, 0
                sums.zero_()
                if now - saved_at > self.config["checkpoint_seconds"] and step + 1 < total:
                    self._save(step + 1)
                    saved_at = now
        write_text(self.out.with_suffix(".labels.txt"), "".join(f"{label}\n" for label in self.labels))
        tagger = self.model.tagger
        with open_replacing(self.out, "wb") as file:
            torch.save(export_published(tagger.encoder, tagger.head), file)
        self._state_path.unlink(missing_ok=True)

    def _kept_bands(self, step: int) -> Tensor | None:
        """The bands that step `step` sees, in order; None: all."""
        if not self.config["patchout"]:
            return None
        rng = np.random.default_rng((self.config["seed"], step, 0xBA4D))
        kept = np.sort(rng.permutation(self.bands)[self.config["patchout"] :])
        return torch.from_numpy(kept).to(self.device, non_blocking=True)

    def _step(self, inputs: StepInputs, lr: float, bands: Tensor | None = None) -> Tensor:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self.flat.zero_gradients()
        with torch.no_grad():
            prepared = self.preparation(inputs)
        with self._autocast():
            tag_logits, frame_logits = self.model(prepared.student, self.frames, bands)
        zero = tag_logits.new_zeros(())
        if len(prepared.strong_targets):
            tags = losses.frame_loss(tag_logits, prepared.strong_targets.amax(1))
            frames = losses.frame_loss(frame_logits, prepared.strong_targets)
        else:
            tags, frames = losses.frame_loss(tag_logits, prepared.weak_targets), zero
        (self.config["tag_weight"] * tags + self.config["frame_weight"] * frames).backward()
        self.flat.clip_gradients(self.config["clip_norm"])
        self.optimiser.step()
        return torch.stack([tags.detach(), frames.detach()])

    def _save(self, step: int) -> None:
        save_checkpoint(
            self._state_path,
            {
                "format": FORMAT,
                "student": {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()},
                "teacher": {},
                "optimizer": optimiser_state(self.optimiser),
                "step": step,
                "config": {key: value for key, value in self.config.items() if key not in RUNTIME},
                "labels": self.labels,
                "front_end": self.preparation.front_end.params(),
                "info": {},
            },
        )

    def _resume(self) -> int:
        if not self._state_path.exists():
            return 0
        saved = load_checkpoint(self._state_path)
        mine = {key: value for key, value in self.config.items() if key not in RUNTIME}
        if saved["config"] != mine or saved["labels"] != self.labels:
            log.info("%s: a killed run had another config: starting anew", self._state_path)
            return 0
        self.model.load_state_dict(saved["student"])
        load_optimiser_state(self.optimiser, saved["optimizer"])
        log.info("resumed after step %d", saved["step"])
        return int(saved["step"])
