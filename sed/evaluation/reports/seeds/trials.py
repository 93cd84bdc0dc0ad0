"""Ways that were tried with one training each, and remarks on what was measured, for RESULTS.md of egs/real_sounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.evaluation.metrics.table import shown_in
from sed.evaluation.reports.seeds.limits import Results, table
from sed.evaluation.result_file import read_result, settings

SYSTEMS = {("mean", False): "ast_gru", ("mean", True): "lgd_only", ("fte", False): "fte_only", ("fte", True): "ast_sed"}


def rows(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """A row for each result.json, its `options` those in which trainings of one system differ, best PSDS1 first."""
    by_system: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(paths):
        result = read_result(path)
        config = settings(result)
        row = {"name": path.parent.parent.name, "steps": result["model"].get("step"), "clips": result["clips"]}
        row |= {key: round(result[key], 5) for key in (entry.key for entry in shown_in("main"))} | {"config": config}
        by_system.setdefault(_system(config), []).append(row)
    found = []
    for system, those in sorted(by_system.items()):
        configs = [row.pop("config") for row in those]
        keys = sorted({key for config in configs for key in config} - {"pretrained"})
        varying = [key for key in keys if len({str(config.get(key)) for config in configs}) > 1]
        for row, config in zip(those, configs, strict=True):
            row |= {"system": system, "options": {key: config.get(key) for key in varying}}
        found += sorted(those, key=lambda row: -row["psds1"])
    return found


def _system(config: Mapping[str, Any]) -> str:
    if config["encoder"] == "crnn":
        return "crnn"
    return SYSTEMS.get((config["pooling"], config["upsample"] > 1), config["pooling"])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def section(ways: Sequence[Mapping[str, Any]], remarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The section of `rows`."""
    if not ways:
        return []
    lines = [
        [
            f"`{row['system']}`{marks(remarks, row['name'])}",
            ", ".join(f"{key} {_short(value)}" for key, value in row["options"].items()),
            f"{100 * row['event_f1_macro']:.1f}",
            f"{row['psds1']:.3f}",
            f"{row['psds2']:.3f}",
        ]
        for row in ways
    ]
    steps, clips = (" or ".join(map(str, sorted({row[key] for row in ways}))) for key in ("steps", "clips"))
    return [
        "## Ways tried",
        "",
        f"One training of {steps} steps each, scored on {clips} clips of sources that it had not seen: a split of the "
        "training sources, as `tune.sh` makes it. What the configs hold was chosen here and not on validation.",
        "",
        *table(["system", "with", "EB-F1 %", "PSDS1", "PSDS2"], lines),
    ]


def marks(remarks: Sequence[Mapping[str, Any]], *names: str) -> str:
    """What follows the names of experiments or ways in a table: the numbers of the remarks on any of them."""
    return "".join(f" ({n})" for n, one in enumerate(remarks, 1) if not {*names}.isdisjoint(one.get("names", [])))


def training(config: str, seed: int) -> str:
    """What remarks call a training."""
    return f"{config}_seed{seed}"


def without(results: Results, remarks: Sequence[Mapping[str, Any]]) -> Results:
    """`results` but for the trainings that a remark calls faulty."""
    faulty = [one for one in remarks if one.get("faulty")]
    kept = {
        config: [run for run in runs if not marks(faulty, training(config, run["seed"]))]
        for config, runs in results.items()
    }
    return {config: runs for config, runs in kept.items() if runs}


def footnotes(remarks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The remarks; each has `names`, without which it is on the run, and `text`."""
    return [
        line
        for n, one in enumerate(remarks, 1)
        for line in (f"({n}) {one['text']}" if one.get("names") else one["text"], "")
    ]
