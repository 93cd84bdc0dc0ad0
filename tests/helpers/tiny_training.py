"""A dump of clips of one second, random features with labels, and a config of a detector that trains in moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sed.config import default_options
from sed.data.directory import write_scp
from sed.data.store import FeatureWriter
from sed.data.tables import Event, write_durations_tsv, write_events_tsv, write_tags_tsv
from sed.features.logmel import FrontEnd
from sed.training import build
from sed.training.distributed import World
from sed.training.step import LOGGED
from sed.training.trainer import Trainer

LABELS = ["Cat", "Dog", "Speech"]
SECONDS = 1.0
TINY = {
    "pretrained": "none",
    "clip_seconds": SECONDS,
    "input_frames": 112,
    "mel_bins": 16,
    "ast_dim": 16,
    "ast_depth": 2,
    "ast_heads": 2,
    "ast_blocks": 2,
    "patch_freq": 8,
    "stride_freq": 8,
    "fte_blocks": 1,
    "fte_heads": 2,
    "gru_units": 8,
    "gru_layers": 1,
    "upsample": 5,
    "epochs": 2,
    "steps_per_epoch": 6,
    "constant_epochs": 1,
    "ramp_epochs": 1,
    "batch_sizes": [2, 2, 4, 4],
    "shift_seconds": 0.1,
    "mask_min_seconds": 0.05,
    "mask_max_seconds": 0.2,
    "filter_min_width": 2,
    "threads": 1,
    "device": "cpu",
}


def make_config(**changes: Any) -> dict[str, Any]:
    """Return the resolved config of `sed.bin.train` with the values of TINY and `changes`."""
    config = default_options("sed.features.logmel", "sed.models.detector", "sed.training.build")
    unknown = {*TINY, *changes} - {*config}
    assert not unknown, unknown
    return {**config, **TINY, **changes}


def write_set(folder: Path, *, clips: int, supervision: str, seed: int, **changes: Any) -> None:
    """Write a dumped set of random features in which each label has a band of its own.

    Args:
        folder: the set's.
        clips: number of clips.
        supervision: `strong`, `weak` or `none`.
        seed: of features and labels.
        changes: of the config whose front end the features are of.
    """
    rng = np.random.default_rng(seed)
    config = make_config(**changes)
    front_end, seconds = FrontEnd.from_config(config), config["clip_seconds"]
    frames, bins = front_end.clip_frames, front_end.mel_bins
    names = [f"{folder.name}_{i:03d}" for i in range(clips)]
    folder.mkdir(parents=True)
    write_scp(folder / "wav.scp", {name: f"/nowhere/{name}.wav" for name in names})
    write_durations_tsv(folder / "durations.tsv", dict.fromkeys(names, seconds))
    events: dict[str, list[Event]] = {name: [] for name in names}
    with FeatureWriter(
        folder / "feats.1.h5", clips=names, frames=frames, bins=bins, front_end=front_end.params()
    ) as writer:
        for name in names:
            x = rng.normal(-8, 1, (frames, bins))
            for k, label in enumerate(LABELS):
                if rng.random() < 0.5:
                    onset = rng.uniform(0, seconds / 2)
                    offset = onset + rng.uniform(0.1, seconds / 2)
                    events[name].append(Event(round(onset, 3), round(offset, 3), label))
                    x[int(onset * 100) : int(offset * 100), k * 5 : k * 5 + 5] += 6
            # Some clips have three frames fewer, which the writer pads; durations.tsv ignores that.
            writer.write(x[: frames - (3 if name.endswith("1") else 0)])
    (folder / "feats.scp").write_text("".join(f"{name} feats.1.h5:{i}\n" for i, name in enumerate(names)))
    if supervision == "strong":
        write_events_tsv(folder / "events.tsv", events)
    elif supervision == "weak":
        write_tags_tsv(folder / "tags.tsv", {name: [e.label for e in found] for name, found in events.items()})


def write_dump(root: Path, **changes: Any) -> Path:
    """Write a dump of the four training sets and synth_valid for the config with `changes`; return it."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_set(root / "strong_real", clips=9, supervision="strong", seed=1, **changes)
    write_set(root / "strong_synth", clips=14, supervision="strong", seed=2, **changes)
    write_set(root / "weak", clips=25, supervision="weak", seed=3, **changes)
    write_set(root / "unlabelled", clips=30, supervision="none", seed=4, **changes)
    write_set(root / "synth_valid", clips=7, supervision="strong", seed=5, **changes)
    return root


def trainer_of(config: dict[str, Any], dump: Path, folder: Path) -> Trainer:
    """Build a trainer on the config's device, in a single process."""
    return build.build_trainer(config, dump, folder, device=torch.device(config["device"]), world=World())


class Recorder:
    """Logger that keeps everything in memory; it calls `on_losses` with each step whose losses are logged."""

    def __init__(self, on_losses: Callable[[int], None] = lambda _step: None) -> None:
        self.scalars_of: dict[str, dict[int, float]] = {}
        self.texts: list[tuple[int, str]] = []
        self.on_losses, self.closed, self.opened_at = on_losses, False, -1

    def open(self, _folder: Path, step: int) -> Recorder:
        """Stand in for what `logger_opener` returns."""
        self.opened_at = step
        return self

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        pass

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.scalars_of.setdefault(name, {})[step] = value
        if any(name.startswith("train/") for name in values):
            self.on_losses(step)

    def text(self, step: int, message: str) -> None:
        self.texts.append((step, message))

    def close(self) -> None:
        self.closed = True

    def rows(self, names: Sequence[str]) -> list[list[float]]:
        """Return the named losses of every step, in the order of the steps."""
        return [list(row) for row in zip(*(self.scalars_of[f"train/{name}"].values() for name in names), strict=True)]


def rows_of(config: dict[str, Any], dump: Path, folder: Path) -> list[list[float]]:
    """Train, and return the losses `LOGGED` of every step."""
    trainer, recorder = trainer_of(config, dump, folder), Recorder()
    trainer.open_logger = recorder.open
    trainer.run()
    return recorder.rows(LOGGED)
