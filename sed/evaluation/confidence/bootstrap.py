"""Bootstrap over clips: recompute every number on clips drawn with replacement, from the counts of each clip.

A sample is one such set of drawn clips, with the value of every number on it. The draws depend on the number of clips
and the seed alone, so two systems scored on the same clips have the same draws, and subtracting sample by sample gives
the paired difference (`sed.bin.compare`).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sed.errors import UserError
from sed.evaluation.metrics.evaluate import Evaluation
from sed.evaluation.metrics.metric import Values
from sed.evaluation.metrics.task import Problem
from sed.files import replacing
from sed.parallel import run_tasks

LEVEL = 0.95  # of the confidence intervals


def draw(clips: int, samples: int, seed: int) -> np.ndarray:
    """Draw clips with replacement.

    Args:
        clips: number of clips, and of draws per sample.
        samples: number of samples.
        seed: random seed of the draws.

    Returns:
        (samples + 1, clips) how often each clip is drawn; the first row is the set itself, every clip once.
    """
    drawn = np.random.default_rng(seed).multinomial(clips, np.full(clips, 1 / clips), size=samples)
    return np.concatenate([np.ones((1, clips)), drawn])


def resample(
    problem: Problem, evaluation: Evaluation, *, samples: int, seed: int = 0, jobs: int = 1
) -> tuple[list[str], np.ndarray]:
    """Recompute every number on clips drawn with replacement.

    Args:
        problem: clips, classes and ground truth.
        evaluation: the metrics' values on them.
        samples: number of samples.
        seed: random seed of the draws.
        jobs: number of processes.

    Returns:
        Names and values (names, samples + 1); the first column is the value on the set itself. A class-wise number is
        named `label\\tnumber`; it is NaN where a sample holds no true event of the class.
    """
    weights = draw(len(problem.clips), samples, seed)
    tasks: dict[str, Callable[[], Values]] = {}
    # Two tasks per process balance the load; below 50 samples a task costs more than it saves.
    chunks = np.array_split(np.arange(len(weights)), max(1, min(2 * jobs, len(weights) // 50)))
    for part, rows in enumerate(chunks):
        for place, measured in enumerate(evaluation.measured):
            for name, sample in measured.samplers().items():
                tasks[f"{part} {place} {name}"] = partial(sample, weights[rows])
    done = run_tasks(tasks, jobs)
    table: dict[str, list[np.ndarray]] = {}
    for task in tasks:  # in order, so that chunks are concatenated in order
        for name, values in done[task].items():
            table.setdefault(name, []).append(values)
    names = sorted(table)
    return names, np.array([np.concatenate(table[name]) for name in names])


def interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the bounds of the central 95 % of values (samples,); None if more than half, or all but one, are NaN."""
    known = values[~np.isnan(values)]
    if len(known) < max(2, len(values) / 2):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def add_intervals(result: dict[str, Any], names: Sequence[str], values: np.ndarray) -> None:
    """Put `intervals` into a result and into each of its classes.

    Args:
        result: content of result.json, changed in place.
        names: names of the numbers, as `resample` returns them.
        values: (names, samples + 1) their values.
    """
    result["intervals"] = {}
    for name, row in zip(names, values, strict=True):
        bounds = interval(row[1:])
        if bounds is None:
            continue
        label, tab, number = name.rpartition("\t")
        target = result["per_class"][label].setdefault("intervals", {}) if tab else result["intervals"]
        target[number] = list(bounds)


def disagreements(
    result: Mapping[str, Any], names: Sequence[str], values: np.ndarray, *, limit: float = 1e-6
) -> list[str]:
    """Compare the first column of the samples with the values of the metric packages.

    Args:
        result: content of result.json.
        names: names of the numbers, as `resample` returns them.
        values: (names, samples + 1) their values.
        limit: smallest difference that counts.

    Returns:
        One line per number that differs by `limit` or more, or is NaN here alone. If the samples are of this result,
        each means a defect of this project.
    """
    lines = []
    for name, row in zip(names, values, strict=True):
        label, tab, number = name.rpartition("\t")
        known = result["per_class"].get(label, {}).get(number) if tab else result.get(number)
        if known is not None and not abs(row[0] - known) < limit:
            shown = f"{label} {number}" if tab else number
            lines.append(f"{shown}: {row[0]:.9f} instead of {known:.9f}")
    return lines


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Content of bootstrap.npz.

    Attributes:
        names: names of the numbers, as `resample` returns them.
        values: (names, samples + 1) their values.
        clips: `digest` of the problem, a hash of clips, durations and ground truth.
        seed: random seed of the draws.
    """

    names: list[str]
    values: np.ndarray
    clips: str
    seed: int

    def of(self, name: str) -> np.ndarray:
        """Return one number's samples (samples + 1,); the first is the value on the set itself."""
        return self.values[self.names.index(name)]


def digest(problem: Problem) -> str:
    """Return a hash of clips, durations and ground truth; only results with equal digests can be compared."""
    table = problem.truth
    truth = [(int(c), problem.labels[k], float(a), float(b)) for c, k, a, b in zip(
        table.clip, table.label, table.onset, table.offset, strict=True)]  # fmt: skip
    text = json.dumps([problem.clips, problem.durations.tolist(), sorted(truth)])
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: str | Path, samples: Samples) -> None:
    """Write bootstrap.npz; it appears under its name only when it is whole."""
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file, names=np.array(samples.names), values=samples.values, clips=samples.clips, seed=samples.seed
        )


def load(path: str | Path) -> Samples:
    """Read bootstrap.npz; UserError when it is missing, damaged or of another content."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no bootstrap samples (score with --bootstrap 1000)")
    try:
        with np.load(path, allow_pickle=False) as file:
            samples = Samples(
                names=[str(name) for name in file["names"]],
                values=file["values"],
                clips=str(file["clips"]),
                seed=int(file["seed"]),
            )
        shape = samples.values.shape
        if not np.issubdtype(samples.values.dtype, np.floating) or len(shape) != 2 or shape[0] != len(samples.names):
            raise ValueError(f"{samples.values.dtype} values of shape {shape} for {len(samples.names)} names")
        if not shape[1]:
            raise ValueError("no values")
        return samples
    # RuntimeError, of zipfile: marked as encrypted, or compressed by a method that it does not know
    except (OSError, KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error, RuntimeError) as error:
        raise UserError(f"{path}: damaged ({error}): score again") from None
