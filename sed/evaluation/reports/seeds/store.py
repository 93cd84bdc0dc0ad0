"""Results of several seeds as files of a repository: runs.jsonl, one line per training, and lists of one line per item.

A line of runs.jsonl is what `reduce.reduced` returns for a training. A run is one execution of the recipe, with all of
its trainings: lines of the newest run have no `run`; those of earlier runs have `run`: NAME, and the main metrics only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.evaluation.metrics.table import ENTRIES, shown_in
from sed.files import write_text
from sed.input_files import Each, misfit, parse_json, read_json, read_text

RUNS = "runs.jsonl"
_NUMBER = (int, float, type(None))
# Types of the values of a line that readers compute with.
_RUN = {
    **{entry.key: _NUMBER for entry in ENTRIES},
    "config": str,
    "seed": int,
    "run": (str, type(None)),
    "settings": {"lr": (int, float), "encoder_lr": (int, float)},
    "per_class": Each({"event_f1": _NUMBER, "psds1": _NUMBER}),
    "by_length": Each(Each([int])),
    "by_collar": Each(Each([int])),
    "fragments": Each(int),
    **dict.fromkeys(("parameters", "seconds"), _NUMBER),
    "post_processing": (list, type(None)),
    "tuned_on": (str, type(None)),
}
Training = dict[str, Any]
"""a line of runs.jsonl: the result of one training"""


def read_runs(folder: Path) -> list[Training]:
    """Return the lines of a folder's runs.jsonl; an empty list without such a file.

    Raises:
        UserError: a line is not JSON, names no config or seed, or has a value of another type.
    """
    path = folder / RUNS
    if not path.is_file():
        return []
    runs: list[Training] = []
    for number, line in enumerate(StringIO(read_text(path)), 1):  # unlike `splitlines`, not at U+2028 in a name
        try:
            run = parse_json(line)
        except ValueError:
            raise UserError(f"{path}:{number}: not JSON (one result per line is expected)") from None
        lacking = [key for key in ("config", "seed") if not isinstance(run, dict) or key not in run]
        if lacking:
            raise UserError(f"{path}:{number}: not a result: no '{lacking[0]}' (take the file from the repository)")
        if wrong := misfit(run, _RUN):
            raise UserError(f"{path}:{number}: not what a result holds: {wrong} (take the file from the repository)")
        runs.append(run)
    return runs


def add_runs(folder: Path, runs: Iterable[Training]) -> None:
    """Write results to runs.jsonl, replacing those of the same run, config and seed; all others stay."""
    kept = {_place(run): run for run in read_runs(folder)} | {_place(run): run for run in runs}
    lines = [_line(kept[place]) for place in sorted(kept)]
    write_text(folder / RUNS, "".join(f"{line}\n" for line in lines))


def archive(folder: Path, name: str) -> None:
    """Name the newest run, in its results and remarks, so that the next one can be added; keep its main metrics only.

    Its differences between systems (margins.json, gains.png), its metrics on training clips (training.json) and the
    tagging scores of its AST (tagging.json) are removed. `remarks` explains remarks.json.

    Raises:
        UserError: there is a run of this name.
    """
    runs = read_runs(folder)
    if any(run.get("run") == name for run in runs):
        raise UserError(f"{folder / RUNS}: has a run '{name}' already (choose another name, or do not archive again)")
    path = folder / "remarks.json"
    if path.is_file():  # before the results, so that a command killed between the two can be repeated
        remarks = read_json(path, remedy="make it again, or take it from the repository")
        # None only keeps a place for `run` at the start of the item
        write_items(path, [one if one.get("run") else {"run": None, **one} | {"run": name} for one in remarks])
    # would be taken for those of the next run
    for of_newest in ("margins.json", "gains.png", "training.json", "tagging.json"):
        (folder / of_newest).unlink(missing_ok=True)
    keys = ("config", "seed", *(entry.key for entry in shown_in("main")))
    kept = [run if run.get("run") else {"run": name} | {key: run.get(key) for key in keys} for run in runs]
    write_text(folder / RUNS, "".join(f"{_line(run)}\n" for run in sorted(kept, key=_place)))


def by_run(runs: Sequence[Training]) -> dict[str, dict[str, list[Training]]]:
    """Return {run: {config: its results in order of seed}}; the newest run is called ''."""
    found: dict[str, dict[str, list[Training]]] = {}
    for run in sorted(runs, key=_place):
        found.setdefault(run.get("run") or "", {}).setdefault(run["config"], []).append(run)
    return found


def write_items(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """Write a JSON list with one item per line; the file appears under its name only when it is whole."""
    write_text(path, "[" + ",".join(f"\n{_line(item)}" for item in items) + "\n]\n")


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _place(run: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return what identifies a line and sorts it: run, config and seed."""
    return run.get("run") or "", run["config"], run["seed"]
