"""Reduce experiments with several seeds to one line of JSON per (config, seed), and to paired margins (differences).

Both are meant to be published: they name no folder, and of the machine only the kind of device.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sed.data.tables import Event, read_events_tsv
from sed.errors import UserError
from sed.evaluation.confidence.bootstrap import load
from sed.evaluation.confidence.paired import Difference, System, check_comparable, paired
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.reports.seeds.fragments import fragments
from sed.evaluation.reports.seeds.matching import by_collar, by_length
from sed.evaluation.result_file import read_result

# Keys of the numbers that are kept for each training, and of those that margins are computed of, overall and by class.
NUMBERS = tuple(entry.key for entry in shown_in("runs"))
MARGINS = tuple(entry.key for entry in shown_in("margins"))
CLASS_NUMBERS = ("event_f1", "psds1", "psds2")
CLASS_MARGINS = ("event_f1", "psds1")
# Options of the training that are kept.
SETTINGS = (
    "encoder", "pooling", "upsample", "clip_pooling", "frozen_epochs", "lr", "encoder_lr", "epochs", "steps_per_epoch",
    "batch_sizes", "consistency_weight", "ema_decay", "mixup_probability", "input_padding",
)  # fmt: skip
_NAME = re.compile(r"(?P<config>.+)_seed(?P<seed>\d+)")


def find(exp: Path, set_name: str) -> dict[str, dict[int, Path]]:
    """Return {config: {seed: result.json}} of `exp/<config>_seed<k>/<set>/`.

    Other folders of an experiment with the same set, such as `csebbs`, have the same model's output with other
    post-processing; their config is called `<config>_csebbs`.

    Raises:
        UserError: two results have one config and seed.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in sorted(exp.glob("*_seed*/*/result.json")):
        match = _NAME.fullmatch(path.parent.parent.name)
        if match is None or read_result(path)["set"] != set_name:
            continue
        folder = path.parent.name
        config = match["config"] + ("" if folder == set_name else f"_{folder}")
        other = found.setdefault(config, {}).setdefault(int(match["seed"]), path)
        if other != path:
            raise UserError(f"{other} and {path}: both are {config}, seed {int(match['seed'])} (rename one folder)")
    return found


def reduced(path: Path, config: str, seed: int, truth: Mapping[str, Sequence[Event]]) -> dict[str, Any]:
    """Reduce a result.json to a few kilobytes: numbers, classes, events by length and collar, options of the training.

    Args:
        path: result.json, with the detections, events.tsv, beside it.
        config: name of the config.
        seed: seed of the training.
        truth: {clip: its events}.

    Returns:
        The reduced result, one line of runs.jsonl.
    """
    result = read_result(path)
    model = result.get("model") or {}
    trained = model.get("config") or {}
    numbers = {name: _rounded(result.get(name)) for name in NUMBERS}
    detections = read_events_tsv(path.with_name("events.tsv"))
    return {
        "config": config,
        "seed": seed,
        "set": result["set"],
        "clips": result["clips"],
        **numbers,
        "per_class": {
            label: {"events": row["events"], **{name: _rounded(row.get(name)) for name in CLASS_NUMBERS}}
            for label, row in result["per_class"].items()
            if row["ground_truth"]
        },
        "psds1_class_mean": _class_mean(result, "psds1"),  # without the spread over classes that PSDS1 subtracts
        "by_length": by_length(truth, detections),
        "by_collar": by_collar(truth, detections),
        "fragments": fragments(truth, detections),
        "post_processing": result["post_processing"].get("steps"),
        "tuned_on": result.get("tuned_on"),
        "parameters": model.get("parameters"),
        "steps": model.get("step"),
        "seconds": model.get("seconds"),
        "device": model.get("device"),
        "settings": {key: trained[key] for key in SETTINGS if key in trained},
        "git": result.get("git"),
    }


def _class_mean(result: Mapping[str, Any], name: str) -> float | None:
    """Return the mean of a class-wise number over the classes with ground truth; None if none has it."""
    values = [row[name] for row in result["per_class"].values() if row["ground_truth"] and row.get(name) is not None]
    return _rounded(statistics.fmean(values)) if values else None


def system(config: str, paths: Sequence[Path]) -> System:
    """Read a config's results and bootstrap samples; paths: result.json of each seed."""
    return System(
        name=config,
        paths=list(paths),
        results=[read_result(path) for path in paths],
        samples=[load(path.with_name("bootstrap.npz")) for path in paths],
    )


def margin(a: str, b: str, found: Mapping[str, Mapping[int, Path]]) -> dict[str, Any] | None:
    """Subtract the numbers of config a from those of config b over the seeds that both have, clips and seeds paired.

    Args:
        a: config that is subtracted.
        b: config that it is subtracted from.
        found: {config: {seed: result.json}}.

    Returns:
        Differences of overall and class-wise numbers, with their intervals; None without a common seed.

    Raises:
        UserError: bootstrap samples are missing, or results are not comparable (`check_comparable`).
    """
    seeds = sorted({*found.get(a, {})} & {*found.get(b, {})})
    if not seeds:
        return None
    first, second = (system(name, [found[name][seed] for seed in seeds]) for name in (a, b))
    check_comparable([first, second])
    classes = {
        label: {name: _summary(paired(first, second, f"{label}\t{name}", same_seeds=True)) for name in CLASS_MARGINS}
        for label, row in first.results[0]["per_class"].items()
        if row["ground_truth"]
    }
    return {
        "a": a,
        "b": b,
        "seeds": seeds,
        "numbers": {name: _summary(paired(first, second, name, same_seeds=True)) for name in MARGINS},
        "per_class": classes,
    }


def _summary(difference: Difference | None) -> dict[str, float] | None:
    """Return the fields of a difference without its name, rounded; None for None."""
    if difference is None:
        return None
    return {key: round(value, 5) for key, value in asdict(difference).items() if key != "number"}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
