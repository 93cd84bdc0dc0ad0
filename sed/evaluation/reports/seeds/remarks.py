"""Hand-written remarks on trainings (remarks.json, beside the results in runs.jsonl): footnotes and faulty trainings.

A remark is {"names": [<config>_seed<k>, ...], "text": ...}; without names it is about the whole run of the recipe.
"faulty": true marks trainings that failed for other reasons than their config: the comparison of runs leaves them out;
the tables and margins (differences between systems) of the newest run still have them. "run": NAME assigns the remark
to an earlier run (`store.archive` adds it); without, it is about the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.input_files import misfit

Remarks = Sequence[Mapping[str, Any]]
_SHAPE = [{"names": [str], "text": str, "faulty": bool, "run": (str, type(None))}]


def check(path: Path, remarks: Any) -> None:
    """Raise UserError, with the file, unless a JSON value is remarks."""
    wrong = misfit(remarks, _SHAPE)
    if not wrong and (without := [n for n, one in enumerate(remarks, 1) if "text" not in one]):
        wrong = f"number {without[0]} has no text"
    if wrong:
        raise UserError(
            f'{path}: not a list of {{"names": [<config>_seed<k>, ...], "text": ...}}: {wrong} (correct it)'
        )


def training(config: str, seed: int) -> str:
    """Return the name by which remarks refer to a training."""
    return f"{config}_seed{seed}"


def marks(remarks: Remarks, *names: str) -> str:
    """Return the numbers of the remarks that name any of `names`, as footnote marks: ` (1) (3)`."""
    return "".join(f" ({n})" for n, one in enumerate(remarks, 1) if not {*names}.isdisjoint(one.get("names", [])))


def footnotes(remarks: Remarks) -> list[str]:
    """Return the remarks as lines of Markdown; those that name trainings begin with their number."""
    return [
        line
        for n, one in enumerate(remarks, 1)
        for line in (f"({n}) {one['text']}" if one.get("names") else one["text"], "")
    ]


def without_faulty(
    results: Mapping[str, Sequence[Mapping[str, Any]]], remarks: Remarks
) -> dict[str, list[Mapping[str, Any]]]:
    """Return {config: its seeds} without the trainings that a remark marks as faulty."""
    faulty = [one for one in remarks if one.get("faulty")]
    kept = {
        config: [run for run in runs if not marks(faulty, training(config, run["seed"]))]
        for config, runs in results.items()
    }
    return {config: runs for config, runs in kept.items() if runs}
