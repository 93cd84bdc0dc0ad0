"""Read result.json files: their content, where they are found, which system and seed they belong to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.evaluation.metrics.table import ENTRIES
from sed.input_files import Each, misfit, read_json

_NUMBER = (int, float, type(None))
_TEXT = (str, type(None))
_METRICS = {entry.key: _NUMBER for entry in ENTRIES}
_CLASS_METRICS = {name: _NUMBER for entry in ENTRIES for name, _ in entry.classes}
SHAPE = {
    **_METRICS,
    **dict.fromkeys(("clips", "clips_expected", "operating_points"), (int, type(None))),
    "clips_with_output": int,
    **dict.fromkeys(("set", "tuned_on", "git", "command", "ground_truth"), _TEXT),
    "per_class": Each(
        {**_CLASS_METRICS, "events": int, "detections": int, "ground_truth": bool, "intervals": Each([_NUMBER])}
    ),
    "intervals": Each([_NUMBER]),
    "psd_roc": Each([[_NUMBER]]),
    "classes_without_ground_truth": [str],
    "environment": dict,
    "model": (dict, type(None)),
    "post_processing": (dict, type(None)),
    "input": {"kind": str, "path": str, "attrs": dict},
    "bootstrap": (dict, type(None)),
    "coverage": dict,
}
"""types of the fields that readers of a result use, as `misfit` takes them"""
ORIGIN_SHAPE = {"tables": dict, "models": [str], "tuned_on": _TEXT}
"""types of the fields of an origin of pseudo-labels (`sed.evaluation.pseudo`)"""
_WORDS = (list, str, type(None))
_MODEL = {
    "config": {"pretrained": _TEXT, "encoder": str, "seed": _NUMBER, "train_sets": _WORDS, "batch_sizes": _WORDS},
    **dict.fromkeys(("git", "command"), _TEXT),
    **dict.fromkeys(("parameters", "step"), _NUMBER),
    "name": str,
    "sets": [str],
    "pseudo_labels": Each(ORIGIN_SHAPE),
}
_NEEDED = ("set", "clips", "clips_expected", "per_class")
MAY_DIFFER = (  # options that two trainings of one system may differ in: the seed, `sed.training.run_options.RUNTIME`
    *("seed", "device", "accelerate", "ahead", "cache", "threads", "checkpoint_seconds"),
    *("loggers", "log_pictures", "wandb_project", "mlflow_experiment"),
    "log_seconds",  # of an earlier version
)
_SEED = re.compile(r"_seed\d+(?= \(|$)")
"""what recipes append to a config's name for each of --seeds; before ` (student)` and the like"""


def read_result(path: str | Path) -> dict[str, Any]:
    """Return the content of a result.json.

    Raises:
        UserError: the file is missing, is not JSON, lacks a field that every result of this project has, or has a field
            of another type.
    """
    path = Path(path)
    try:
        result = read_json(path, remedy="score again")
    except FileNotFoundError:
        raise UserError(f"{path}: no such result (score first: python3 -m sed.bin.score --help)") from None
    lacking = [key for key in _NEEDED if not isinstance(result, dict) or result.get(key) is None]
    if lacking:
        raise UserError(f"{path}: not a result of this project: no '{lacking[0]}' (score again)")
    check_result(path, result)
    return dict(result)


def check_result(path: str | Path, result: Mapping[str, Any]) -> None:
    """Raise UserError, with file and field, if a field has another type than `score` writes."""
    post = result.get("post_processing")
    wrong = misfit(result, SHAPE) or misfit(result.get("model") or {}, _MODEL, "model")
    wrong = wrong or misfit(post or {}, {"steps": [str]}, "post_processing") or _wrong_interval(result)
    if not wrong and isinstance(sets := settings(result).get("train_sets"), list):
        wrong = misfit(sets, [str], "model.config.train_sets")
    if wrong:
        raise UserError(f"{path}: not what a result of this project holds: {wrong} (score again)")


def _wrong_interval(result: Mapping[str, Any]) -> str:
    """Return the first interval that is not two numbers, in words; '' if there is none."""
    of_classes = (
        (f"per_class.{label}.", row.get("intervals", {})) for label, row in result.get("per_class", {}).items()
    )
    for where, intervals in (("", result.get("intervals", {})), *of_classes):
        for name, bounds in intervals.items():
            if len(bounds) != 2 or None in bounds:
                return f"{where}intervals.{name} is not two numbers"
    return ""


def experiment_name(path: Path) -> str:
    """Return the name of the experiment's folder (`exp/<name>/<set>/result.json`)."""
    return str(path.resolve().parent.parent.name)


def name_of_seeds(names: Sequence[str]) -> str:
    """Return `x` for several experiments of one config, such as `x_seed1` and `x_seed2`, which read as single seeds.

    "" for one experiment, and for names that differ in more than `_seed<k>`.
    """
    stems = {_SEED.sub("", name) for name in names}
    return min(stems) if len(names) > 1 and len(stems) == 1 else ""


def find_results(exp: str | Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return (path, content) of every exp/<experiment>/<set>/result.json, sorted by path."""
    return [(path, read_result(path)) for path in sorted(Path(exp).glob("*/*/result.json"))]


def settings(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the model was trained with, without those of `MAY_DIFFER`; empty if they are unknown."""
    config = (result.get("model") or {}).get("config") or {}
    return {key: value for key, value in config.items() if key not in MAY_DIFFER}


def of_any_seed(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` without the training's own seed in names, so that all seeds of a system have the same.

    Recipes train a seed on pseudo-labels and from weights of the same seed: on the set `pseudo_seed1`, for example.
    """
    own = re.compile(rf"_seed{re.escape(str(seed_of(result)))}(?!\d)")

    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(item) for item in value]
        return own.sub("_seed", value) if isinstance(value, str) else value

    return {key: without(value) for key, value in settings(result).items()}


def seed_of(result: Mapping[str, Any]) -> Any:
    """Return the seed that the model was trained with; None when it is unknown."""
    return ((result.get("model") or {}).get("config") or {}).get("seed")
