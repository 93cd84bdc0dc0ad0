"""Training sets, and which of their clips step s sees: a function of (seed, step) alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch

from sed.data.directory import DataDir
from sed.data.labels import tag_targets
from sed.data.prepare.coverage import ALL, read_coverage
from sed.data.store import FeatureStore
from sed.data.targets import FrameTargets, Targets
from sed.errors import UserError
from sed.features.params import difference

Supervision = Literal["strong", "weak", "unlabelled"]
SUPERVISIONS: tuple[Supervision, ...] = ("strong", "weak", "unlabelled")


class Features(Protocol):
    """The features of a set's clips: a `FeatureStore`, or what stands in for one."""

    path: Path
    clips: list[str]
    frames: int
    bins: int
    front_end: dict[str, Any]
    valid: np.ndarray

    def read(self, rows: Any) -> np.ndarray:
        """Return the features (rows, frames, bins) float16 of these rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """One dumped set with the targets that its files give."""

    name: str
    store: Features
    supervision: Supervision
    targets: Targets | None
    """uint8: strong (clips, frames, classes), weak (clips, classes), unlabelled None"""
    batch_size: int = 0
    named: int = 0
    """clips that its metadata names; 0: not stated"""

    @property
    def found(self) -> str:
        """Return the number of clips, and the number named by the metadata where some are missing."""
        return f"{len(self)} of {self.named}" if self.named > len(self) else str(len(self))

    def __len__(self) -> int:
        return len(self.store.clips)


def load_set(
    folder: Path, labels: Sequence[str], *, frames: int, frame_seconds: float, batch_size: int = 0
) -> TrainingSet:
    """Read a dump directory; events.tsv makes it strong, tags.tsv weak, neither unlabelled.

    With both, frames of a tag without an event are unknown.

    Args:
        folder: of the set.
        labels: the classes.
        frames: output frames of the model per clip, at which strong targets are made.
        frame_seconds: their length.
        batch_size: clips of the set per batch.

    Returns:
        The set.

    Raises:
        UserError: the set has no clips, or its tables and features disagree.
    """
    data = DataDir.load(folder, labels)
    store = FeatureStore(folder)
    listed = folder / "coverage.tsv"
    named = read_coverage(listed)[ALL].clips_expected if listed.exists() else 0
    clips = list(store.clips)
    if not clips:
        raise UserError(f"{folder}: no clips (drop it from --train-sets, or fill it)")
    strange = sorted(set(clips) ^ set(data.clips))
    if strange:
        raise UserError(
            f"{folder}: wav.scp has {len(data.clips)} clips and feats.scp {len(clips)}, e.g. '{strange[0]}' is in one "
            "alone (dump the features again: stage 2 with --force true)"
        )
    made = partial(TrainingSet, name=folder.name, store=store, batch_size=batch_size, named=named)
    if data.events is not None:
        targets = FrameTargets.of(
            (data.events[clip] for clip in clips),
            labels,
            frames=frames,
            frame_seconds=frame_seconds,
            tags=None if data.tags is None else (data.tags[clip] for clip in clips),
        )
        return made(supervision="strong", targets=targets)
    if data.tags is not None:
        return made(
            supervision="weak", targets=tag_targets([data.tags[clip] for clip in clips], labels).astype(np.uint8)
        )
    return made(supervision="unlabelled", targets=None)


def arrange(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    """Check sets against each other and their batch sizes; order them strong, weak, unlabelled."""
    if not any(s.supervision != "unlabelled" for s in sets):
        raise UserError("no training set with labels (one with events.tsv or tags.tsv is needed)")
    first = sets[0].store
    for s in sets:
        if s.batch_size > len(s):
            raise UserError(
                f"batch size {s.batch_size} of {s.name} is larger than the set, {len(s)} clips (lower --batch-sizes)"
            )
        other = difference(s.store.front_end, first.front_end)
        if other:
            raise UserError(
                f"{s.name}: features of another front end than {sets[0].name}: {other} (dump both with one config)"
            )
        if (s.store.frames, s.store.bins) != (first.frames, first.bins):
            raise UserError(
                f"{s.name}: features of {s.store.frames} x {s.store.bins} where {sets[0].name} has "
                f"{first.frames} x {first.bins} (dump both with one config)"
            )
    return [s for supervision in SUPERVISIONS for s in sets if s.supervision == supervision]


def steps_per_epoch(sets: Sequence[TrainingSet], *, clips: str = "named") -> int:
    """Return the steps in which the smallest set is seen once (I): 394 for 1578 weak clips, 4 per step.

    `clips`: count the clips that the metadata names, or those found.
    """
    return min((max(len(s), s.named) if clips == "named" else len(s)) // s.batch_size for s in sets)


def most_steps(sets: Sequence[TrainingSet], *, passes: int, epochs: int) -> int:
    """Return the steps per epoch in which `epochs` see the labelled sets `passes` times.

    The set with the most clips relative to its share of a batch decides; unlabelled sets only if there is no other.

    Args:
        sets: the training sets.
        passes: over each set.
        epochs: of the training.

    Returns:
        Steps per epoch, at least one.
    """
    labelled = [s for s in sets if s.supervision != "unlabelled"] or list(sets)
    return max(1, max(passes * len(s) // (s.batch_size * epochs) for s in labelled))


class BatchSampler:
    """The rows of the global batch of step s, in the order of `sets`: each set is shuffled again for each pass.

    Rows number the clips of all sets together, set after set. Nothing depends on earlier calls, on the number of
    processes, or on which other sets there are.
    """

    def __init__(self, sets: Sequence[TrainingSet], *, seed: int) -> None:
        self.seed = seed
        self._sets = [(zlib.crc32(s.name.encode()), len(s), s.batch_size) for s in sets]
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """Return the rows (batch,) int64 of step `step` >= 0."""
        parts, first = [], 0
        for key, clips, size in self._sets:
            at = np.arange(step * size, (step + 1) * size)
            passes, places = at // clips, at % clips
            chosen = [self._order(key, int(p), clips)[i] for p, i in zip(passes, places, strict=True)]
            parts.append(first + np.array(chosen, np.int64))
            first += clips
        return np.concatenate(parts)

    def _order(self, key: int, number: int, clips: int) -> np.ndarray:
        if (key, number) not in self._orders:
            for old in [k for k in self._orders if k[0] == key and k[1] < number - 1]:
                del self._orders[old]
            self._orders[key, number] = np.random.default_rng((self.seed, key, number)).permutation(clips)
        return self._orders[key, number]


class FeaturePool:
    """Features of all sets as one table of rows, held where `cache` says: device, ram, or none (read from HDF5)."""

    def __init__(self, sets: Sequence[TrainingSet], *, cache: str, device: torch.device) -> None:
        self.device = device
        self.cache = cache
        self._stores = [s.store for s in sets]
        self._starts = np.cumsum([0] + [len(s) for s in sets])
        self.frames, self.bins = sets[0].store.frames, sets[0].store.bins
        self.valid = np.concatenate([np.asarray(s.store.valid, np.int64) for s in sets])
        self._table: torch.Tensor | None = None
        if cache != "none":
            place = device if cache == "device" else torch.device("cpu")
            self._table = torch.empty((len(self.valid), self.frames, self.bins), dtype=torch.float16, device=place)
            for store, start in zip(self._stores, self._starts[:-1], strict=True):
                for first in range(0, len(store.clips), 256):
                    rows = range(first, min(first + 256, len(store.clips)))
                    self._table[start + first : start + first + len(rows)].copy_(torch.from_numpy(store.read(rows)))

    @property
    def nbytes(self) -> int:
        """Bytes of all features in float16."""
        return len(self.valid) * self.frames * self.bins * 2

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Return features (rows, frames, bins) float16 of a pool on the device; `rows` are there already."""
        assert self._table is not None
        return self._table.index_select(0, rows)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Return features (rows, frames, bins) float16 of a pool in RAM or on disk, in (pinned) host memory."""
        shape = (len(rows), self.frames, self.bins)
        out = torch.empty(shape, dtype=torch.float16, pin_memory=self.device.type == "cuda")
        if self._table is not None:
            return torch.index_select(self._table, 0, torch.from_numpy(rows), out=out)
        which = np.searchsorted(self._starts, rows, side="right") - 1
        for k in np.unique(which):
            at = np.flatnonzero(which == k)
            order = at[np.argsort(rows[at], kind="stable")]  # ascending rows: the disk is read forwards
            out[torch.from_numpy(order)] = torch.from_numpy(self._stores[k].read(rows[order] - self._starts[k]))
        return out


def choose_cache(cache: str, nbytes: int, device: torch.device) -> str:
    """Resolve `auto`.

    Args:
        cache: device, ram, none or auto.
        nbytes: size of all features.
        device: of the training.

    Returns:
        For auto: device when features take under 40 % of its free memory, ram under 60 % of free RAM, else none.
    """
    if cache == "device" and device.type == "cpu":
        return "ram"
    if cache != "auto":
        return cache
    if device.type == "cuda" and nbytes < 0.4 * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "ram" if nbytes < 0.6 * _available_memory() else "none"


def _available_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 8 << 30
