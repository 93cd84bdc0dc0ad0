"""Paired differences of systems that were scored on the same clips, with their intervals.

Both systems' samples were drawn with the same seed from the same clips, so subtracting them sample by sample keeps
the clips paired: a clip that is hard for both adds nothing to the spread. With several seeds of a system, each sample
also draws among them, so the interval covers training as well as clips.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sed.errors import UserError
from sed.evaluation.confidence.bootstrap import Samples, disagreements, interval, load
from sed.evaluation.metrics.table import BY_KEY, ENTRIES
from sed.evaluation.postprocessing.stored import comparable
from sed.evaluation.result_file import experiment_name, name_of_seeds, of_any_seed, read_result, seed_of

log = logging.getLogger("sed")
OF_ANOTHER = 1e-3
"""difference of a number from its bootstrap samples' value on the whole set, from which on they are of another result;
those of one result agree to 1e-6 (`disagreements`)"""


@dataclass(frozen=True, kw_only=True)
class System:
    """One system: its name, and for each seed the path and content of its result, and its bootstrap samples."""

    name: str
    paths: list[Path]
    results: list[dict[str, Any]]
    samples: list[Samples]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Difference b - a of one number between two systems.

    Attributes:
        number: its key in `ENTRIES`, such as `event_f1_macro`; of a class: `label\\tevent_f1`.
        a: mean over the seeds of system a.
        b: mean over the seeds of system b.
        value: b - a.
        low: lower bound of the 95 % interval.
        high: upper bound of it.
        above: share of the samples in which b is above a, among those in which both have the number.
    """

    number: str
    a: float
    b: float
    value: float
    low: float
    high: float
    above: float

    @property
    def clear(self) -> bool:
        """True if the interval excludes 0."""
        return self.low > 0 or self.high < 0


def find_result(folder: str | Path, set_name: str | None = None) -> Path:
    """Return the path of a result.json.

    Args:
        folder: the file itself, the folder of a set, or the folder of an experiment.
        set_name: name of the set; needed for an experiment that was scored on several. It has no effect if `folder` is
            a file or the folder of a set.

    Returns:
        The path.

    Raises:
        UserError: there is none, or several and no `set_name`.
    """
    folder = Path(folder)
    if folder.is_file():
        return folder
    if (folder / "result.json").is_file():
        return folder / "result.json"
    places = [folder / set_name / "result.json"] if set_name else sorted(folder.glob("*/result.json"))
    found = [place for place in places if place.is_file()]
    if not found:
        raise UserError(f"{folder}: no {set_name or '<set>'}/result.json below it (score first: sed.bin.score)")
    if len(found) > 1:
        sets = ", ".join(path.parent.name for path in found)
        raise UserError(f"{folder}: scored on several sets: {sets} (choose by --set)")
    return found[0]


def other_seeds(path: Path, given: Collection[Path] = ()) -> list[Path]:
    """Return the results beside this one (`exp/*/<set>/result.json`) that differ only in the seed, one for each seed.

    Config (by `of_any_seed`) and post-processing (by `comparable`) are the same; results without bootstrap.npz are left
    out, and with a warning those on other clips or with other bootstrap draws.

    given: resolved paths of the results to be compared. If another of them is of the same system, seeds are compared
    one by one, and the list is empty.
    """
    mine = read_result(path)
    known = {seed_of(mine)}
    if not of_any_seed(mine) or known == {None}:
        return []
    draws = _draws(load(path.with_name("bootstrap.npz")))
    found = []
    for other in sorted(path.resolve().parent.parent.parent.glob(f"*/{path.resolve().parent.name}/result.json")):
        result = read_result(other)
        same = of_any_seed(result) == of_any_seed(mine) and comparable(result) == comparable(mine)
        if same and other.resolve() != path.resolve() and other.resolve() in given:
            return []
        if same and seed_of(result) not in known and other.with_name("bootstrap.npz").is_file():
            if _draws(load(other.with_name("bootstrap.npz"))) != draws:
                log.warning("%s: left out, as its clips or bootstrap samples are not those of %s", other, path)
                continue
            known.add(seed_of(result))
            found.append(other)
    return found


def _draws(samples: Samples) -> tuple[str, int, int]:
    """Return digest of the clips, seed and number of the draws; samples that agree in these are comparable."""
    return samples.clips, samples.seed, samples.values.shape[1]


def load_systems(texts: Sequence[str], set_name: str | None = None, *, seeds: bool = False) -> list[System]:
    """Load the results and bootstrap samples of several systems.

    Args:
        texts: for each system `exp/a`, or the experiments of several seeds separated by commas:
            `exp/a,exp/a-2,exp/a-3`.
        set_name: as in `find_result`.
        seeds: add to a system of one experiment those beside it that differ only in their seed; none if `texts` names
            one of them, so that single seeds can be compared.

    Returns:
        The systems, each named after its first experiment. If the names of a system's experiments differ only in
        `_seed<k>`, it is left out, unless two systems would then have one name.

    Raises:
        UserError: a result or its samples are missing or damaged, a name is empty, or a system has one result twice.
    """
    if odd := [text for text in texts if not all(part.strip() for part in text.split(","))]:
        raise UserError(f"'{odd[0]}': an experiment without a name (commas stand between two: exp/a,exp/a-2)")
    named = [[find_result(part.strip(), set_name) for part in text.split(",")] for text in texts]
    for text, paths in zip(texts, named, strict=True):
        if len({path.resolve() for path in paths}) < len(paths):
            raise UserError(f"'{text}': one result twice, which would count as two seeds (name each seed once)")
    given = {path.resolve() for paths in named for path in paths}
    if seeds:
        named = [paths + other_seeds(paths[0], given) if len(paths) == 1 else paths for paths in named]
    own = [[experiment_name(path) for path in paths] for paths in named]
    names = [name_of_seeds(of_one) or of_one[0] for of_one in own]
    return [
        System(
            name=name if names.count(name) == 1 else of_one[0],
            paths=paths,
            results=[read_result(path) for path in paths],
            samples=[load(path.with_name("bootstrap.npz")) for path in paths],
        )
        for name, of_one, paths in zip(names, own, named, strict=True)
    ]


def check_comparable(systems: Sequence[System]) -> None:
    """Check that all systems were scored on the same labels, clips and ground truth, with the same bootstrap draws.

    Raises:
        UserError: a result differs from the first system's in one of these, or from its own bootstrap samples.
    """
    first = systems[0]
    for system in systems:
        for path, result, samples in zip(system.paths, system.results, system.samples, strict=True):
            if set(result["per_class"]) != set(first.results[0]["per_class"]):
                raise UserError(
                    f"{path}: its label set differs from that of {first.paths[0]} (compare results of one label set)"
                )
            if samples.clips != first.samples[0].clips:
                raise UserError(
                    f"{path}: scored on other clips or against another ground truth than {first.paths[0]}: "
                    "their difference would mean nothing (score both again)"
                )
            if _draws(samples) != _draws(first.samples[0]):
                raise UserError(
                    f"{path}: other bootstrap samples than those of {first.paths[0]} (score both with the same "
                    "--bootstrap and --bootstrap-seed)"
                )
            if disagreements(result, samples.names, samples.values, limit=OF_ANOTHER):
                raise UserError(
                    f"{path.with_name('bootstrap.npz')}: of another result than {path} (score it again, with a folder "
                    "of its own for --out)"
                )


def paired(a: System, b: System, number: str, seed: int = 0, *, same_seeds: bool = False) -> Difference | None:
    """Return the difference b - a of one number, with its interval.

    Args:
        a: the system that is subtracted.
        b: the system that it is subtracted from.
        number: name of the number, as in the samples.
        seed: random seed of the draws among training seeds.
        same_seeds: draw the same training seeds for both systems, whose n-th results must then be of the same seed.

    Returns:
        The difference; None if the number is missing or NaN for a seed, or the difference is NaN in too many samples
        for `interval`.
    """
    if any(number not in samples.names for system in (a, b) for samples in system.samples):
        return None
    rng = np.random.default_rng(seed)
    means, drawn, pick = [], [], None
    for system in (a, b):
        values = np.array([samples.of(number) for samples in system.samples])
        count, columns = values.shape
        if pick is None or not same_seeds:
            pick = rng.integers(count, size=(count, columns)) if count > 1 else np.zeros((1, columns), np.int64)
        means.append(float(values[:, 0].mean()))  # the first column is the set itself
        drawn.append(np.take_along_axis(values, pick, axis=0).mean(0)[1:])
    difference = drawn[1] - drawn[0]
    bounds = interval(difference)
    if bounds is None or np.isnan(means).any():
        return None
    return Difference(
        number=number,
        a=means[0],
        b=means[1],
        value=means[1] - means[0],
        low=bounds[0],
        high=bounds[1],
        above=float((difference[~np.isnan(difference)] > 0).mean()),
    )


def differences(a: System, b: System) -> list[Difference]:
    """Return the difference b - a of every overall number (`ENTRIES`) that both systems have."""
    found = (paired(a, b, entry.key) for entry in ENTRIES)
    return [difference for difference in found if difference is not None]


def class_differences(a: System, b: System, number: str) -> dict[str, Difference]:
    """Return the difference b - a of one class-wise number for each class.

    Args:
        a: the system that is subtracted.
        b: the system that it is subtracted from.
        number: name of the class-wise number, such as `event_f1`.

    Returns:
        {label: difference}, without the classes for which a system lacks the number.
    """
    found = {label: paired(a, b, f"{label}\t{number}") for label in a.results[0]["per_class"]}
    return {label: difference for label, difference in found.items() if difference is not None}


def terminal(a: System, b: System) -> str:
    """Return a table for the terminal, one aligned line per number: a, b, difference and its interval."""
    seeds, over = "", "clips"
    if len(a.samples) > 1 or len(b.samples) > 1:
        seeds, over = f" ({len(a.samples)} and {len(b.samples)} seeds)", "clips and seeds"
    lines = [f"{b.name} - {a.name}{seeds}, 95 % intervals over {over}", ""]
    width = max(len(entry.row) for entry in ENTRIES) + 2
    of_a, of_b = (max(12, len(system.name) + 2) for system in (a, b))  # widths of the columns
    lines.append(f"{'number':<{width}}{a.name:>{of_a}}{b.name:>{of_b}}{'difference':>12}  interval")
    for d in differences(a, b):
        entry = BY_KEY[d.number]
        values = f"{entry.plain(d.a):>{of_a}}{entry.plain(d.b):>{of_b}}{entry.plain(d.value, '+'):>12}"
        mark = "" if d.clear else "  (0 is inside)"
        lines.append(f"{entry.row:<{width}}{values}  [{entry.plain(d.low, '+')}, {entry.plain(d.high, '+')}]{mark}")
    return "\n".join(lines)
