"""Training sets, the choice of each step's clips (a function of seed and step alone), and the clips' features."""

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
from sed.memory import available
from sed.parallel import launched

Supervision = Literal["strong", "weak", "unlabelled"]
SUPERVISIONS: tuple[Supervision, ...] = ("strong", "weak", "unlabelled")
CLIPS_PER_READ = 256
"""clips that are read from disk at a time while the cache is filled (our choice)"""


class Features(Protocol):
    """Interface to the features of a set's clips; `FeatureStore` reads them from disk."""

    path: Path
    clips: list[str]
    frames: int
    """frames of each clip, with padding"""
    bins: int
    """mel bins"""
    front_end: dict[str, Any]
    """parameters of the front end that computed the features"""
    valid: np.ndarray
    """(clips,) frames of each clip that are not padding"""

    def read(self, rows: Any) -> np.ndarray:
        """Return the features (rows, frames, bins) float16 of these rows."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """One dumped set with the targets from its tables."""

    name: str
    store: Features
    supervision: Supervision
    targets: Targets | None
    """strong (clips, frames, classes) uint8, or float32 if soft; weak (clips, classes) uint8; unlabelled None"""
    batch_size: int = 0
    """clips of this set per batch; 0 for a set that is only validated on"""
    named: int = 0
    """clips that the set's metadata names, with or without audio; 0: unknown"""

    @property
    def found(self) -> str:
        """The number of clips as text, "90 of 100" if the metadata names more than have audio."""
        return f"{len(self)} of {self.named}" if self.named > len(self) else str(len(self))

    def __len__(self) -> int:
        return len(self.store.clips)


def load_set(
    folder: Path, labels: Sequence[str], *, frames: int, frame_seconds: float, batch_size: int = 0
) -> TrainingSet:
    """Read a dump directory: a strong set if it has events.tsv or soft.tsv, weak if only tags.tsv, else unlabelled.

    If a set with events.tsv also has tags.tsv, the targets of a tag without events are `labels.UNKNOWN` in all frames
    of the clip. A set with soft.tsv has soft targets, whatever other tables it has.

    Args:
        folder: the set's dump directory; its name is the set's name.
        labels: the classes, in the order of the targets' columns.
        frames: output frames of the model per clip; strong targets have this time resolution.
        frame_seconds: length of an output frame in seconds.
        batch_size: clips of the set per batch; 0 for a set that is only validated on.

    Returns:
        The set.

    Raises:
        UserError: the set is missing, broken or without clips, or its tables and features disagree.
    """
    data = DataDir.load(folder, labels)
    store = FeatureStore(folder)
    coverage = folder / "coverage.tsv"
    named = read_coverage(coverage)[ALL].clips_expected if coverage.exists() else 0
    clips = list(store.clips)
    refuse_unmatched(data, store)
    training_set = partial(TrainingSet, name=folder.name, store=store, batch_size=batch_size, named=named)
    if data.soft is not None:
        soft = FrameTargets.soft(
            (data.soft[clip] for clip in clips), labels, frames=frames, frame_seconds=frame_seconds
        )
        return training_set(supervision="strong", targets=soft)
    if data.events is not None:
        targets = FrameTargets.of(
            (data.events[clip] for clip in clips),
            labels,
            frames=frames,
            frame_seconds=frame_seconds,
            tags=None if data.tags is None else (data.tags[clip] for clip in clips),
        )
        return training_set(supervision="strong", targets=targets)
    if data.tags is not None:
        return training_set(
            supervision="weak", targets=tag_targets([data.tags[clip] for clip in clips], labels).astype(np.uint8)
        )
    return training_set(supervision="unlabelled", targets=None)


def refuse_unmatched(data: DataDir, store: FeatureStore) -> None:
    """Raise UserError if the tables and the features of a dump directory are not of the same clips."""
    unmatched = sorted(set(store.clips) ^ set(data.clips))
    if unmatched:
        raise UserError(
            f"{store.path}: wav.scp has {len(data.clips)} clips and feats.scp {len(store.clips)}, e.g. "
            f"'{unmatched[0]}' is in only one of them (dump the features again: stage 2 with --force true)"
        )


def arrange(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    """Return the sets in the order strong, weak, unlabelled.

    Raises UserError if none is labelled, one is smaller than its share of a batch, or their features differ in kind.
    """
    if not any(s.supervision != "unlabelled" for s in sets):
        raise UserError("no training set with labels (one with events.tsv, soft.tsv or tags.tsv is needed)")
    first = sets[0].store
    for s in sets:
        if s.batch_size > len(s):
            raise UserError(
                f"batch size {s.batch_size} of {s.name} is larger than the set, {len(s)} clips (lower it by "
                "--batch-sizes of sed.bin.train, in a recipe within --train-args)"
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
    """Return the steps in one pass over the set that needs the fewest; a set of 1578 clips, 4 per step, needs 394.

    The AST-SED paper does not define its epoch; this definition is inferred.

    Args:
        sets: the training sets.
        clips: `named` counts the clips that the metadata names, so that missing audio does not shorten an epoch;
            `found` those with audio.

    Returns:
        Steps per epoch.
    """
    return min((max(len(s), s.named) if clips == "named" else len(s)) // s.batch_size for s in sets)


def most_steps(sets: Sequence[TrainingSet], *, passes: int, epochs: int) -> int:
    """Return the steps per epoch with which a training passes over the labelled set seen least `passes` times.

    That is the set with the most clips relative to its batch size; the others are passed over more often. Unlabelled
    sets count only if no set is labelled. Fractions of a step are dropped.

    Args:
        sets: the training sets.
        passes: number of passes over the set seen least in the whole training.
        epochs: number of epochs of the training.

    Returns:
        Steps per epoch, at least one.
    """
    labelled = [s for s in sets if s.supervision != "unlabelled"] or list(sets)
    return max(1, max(passes * len(s) // (s.batch_size * epochs) for s in labelled))


class BatchSampler:
    """Sampler of the global batch (that of all processes together) of any step.

    A set's clips are shuffled again for each pass over the set. A batch may span the end of one pass and the start of
    the next. Rows number the clips of all sets together, set after set. Which clips of a set are in a batch depends on
    the seed, the step, and the set's name, length and batch size only: not on earlier calls, the number of processes,
    or the other sets.
    """

    def __init__(self, sets: Sequence[TrainingSet], *, seed: int) -> None:
        self.seed = seed
        # (key of the set's random numbers, from its name; number of its clips; its clips per batch)
        self._sets = [(zlib.crc32(s.name.encode()), len(s), s.batch_size) for s in sets]
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        """(key of a set, number of the pass) -> permutation of its clips; only the last two passes of a set are kept"""

    def rows(self, step: int) -> np.ndarray:
        """Return the rows (batch,) int64 of the clips of step `step` >= 0, in the order of the sets."""
        rows_of_sets, first_row = [], 0
        for key, clips, size in self._sets:
            drawn = np.arange(step * size, (step + 1) * size)  # numbers of the step's draws from the set, since step 0
            passes, places = drawn // clips, drawn % clips
            chosen = [self._order(key, int(p), clips)[i] for p, i in zip(passes, places, strict=True)]
            rows_of_sets.append(first_row + np.array(chosen, np.int64))
            first_row += clips
        return np.concatenate(rows_of_sets)

    def _order(self, key: int, pass_number: int, clips: int) -> np.ndarray:
        """Return the order of a set's clips in one pass, a permutation (clips,)."""
        if (key, pass_number) not in self._orders:
            for old in [k for k in self._orders if k[0] == key and k[1] < pass_number - 1]:
                del self._orders[old]
            self._orders[key, pass_number] = np.random.default_rng((self.seed, key, pass_number)).permutation(clips)
        return self._orders[key, pass_number]


class FeaturePool:
    """Features of all sets, found by the rows of `BatchSampler`.

    They are kept on the device, where `gather` returns them; or they are kept in RAM, or read from HDF5 at each step,
    and `read` returns them.
    """

    def __init__(self, sets: Sequence[TrainingSet], *, cache: str, device: torch.device) -> None:
        """Read the features, if they are kept.

        Args:
            sets: the training sets.
            cache: where to keep them: `device`, `ram` or `none`, from `choose_cache`.
            device: of the training.
        """
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
                for first in range(0, len(store.clips), CLIPS_PER_READ):
                    rows = range(first, min(first + CLIPS_PER_READ, len(store.clips)))
                    self._table[start + first : start + first + len(rows)].copy_(torch.from_numpy(store.read(rows)))

    @property
    def nbytes(self) -> int:
        """Bytes of all features in float16."""
        return len(self.valid) * self.frames * self.bins * 2

    def gather(self, rows: torch.Tensor) -> torch.Tensor:
        """Return features (rows, frames, bins) float16 of a pool on the device; `rows` (rows,) is on it, too."""
        assert self._table is not None
        return self._table.index_select(0, rows)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        """Return features (rows, frames, bins) float16 of a pool in RAM or on disk, in host memory.

        It is pinned if the device is a GPU, so that copying to the device need not wait.
        """
        shape = (len(rows), self.frames, self.bins)
        out = torch.empty(shape, dtype=torch.float16, pin_memory=self.device.type == "cuda")
        if self._table is not None:
            return torch.index_select(self._table, 0, torch.from_numpy(rows), out=out)
        set_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for k in np.unique(set_of_row):
            at = np.flatnonzero(set_of_row == k)
            order = at[np.argsort(rows[at], kind="stable")]  # ascending rows, so that the disk is read forwards
            out[torch.from_numpy(order)] = torch.from_numpy(self._stores[k].read(rows[order] - self._starts[k]))
        return out


def choose_cache(cache: str, nbytes: int, device: torch.device) -> str:
    """Return where to keep the features: `device`, `ram` or `none`.

    Args:
        cache: the user's choice: device, ram, none or auto.
        nbytes: size of all features in bytes.
        device: of the training.

    Returns:
        The user's choice, but `ram` for `device` on the CPU. For `auto`: `device` if it is a GPU and the features take
        under 40 % of its free memory (the rest is for the model and its activations), else `ram` if those of all
        processes of the machine take under 60 % of free RAM, else `none`.
    """
    if cache == "device" and device.type == "cpu":
        return "ram"
    if cache != "auto":
        return cache
    if device.type == "cuda" and nbytes < 0.4 * torch.cuda.mem_get_info(device)[0]:
        return "device"
    processes = launched("LOCAL_WORLD_SIZE", 1)  # of this machine, each with all features
    return "ram" if nbytes * processes < 0.6 * available() else "none"
