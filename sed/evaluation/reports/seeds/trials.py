"""Table of trials: experiments with a single training each, and the options in which those of one system differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.reports.seeds.remarks import Remarks, marks
from sed.evaluation.reports.seeds.tables import table
from sed.evaluation.result_file import read_result, settings

# {(frequency pooling, whether the decoder upsamples): system}; README.md explains FTE and LGD, AST-SED's two parts
SYSTEMS = {("mean", False): "ast_gru", ("mean", True): "lgd_only", ("fte", False): "fte_only", ("fte", True): "ast_sed"}


def rows(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return a row for each result.json, by system and falling PSDS1.

    `options` of a row are those in which the trainings of its system differ.

    Raises:
        UserError: a result is not of a trained model, or lacks one of the main metrics.
    """
    numbers = [entry.key for entry in shown_in("main")]
    by_system: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(paths):
        result = read_result(path)
        config = settings(result)
        lacking = [key for key in ("encoder", "pooling", "upsample", *numbers) if {**config, **result}.get(key) is None]
        if lacking:
            raise UserError(f"{path}: not a trial: no '{lacking[0]}' (the scores.h5 of a training has to be scored)")
        row = {"name": path.parent.parent.name, "steps": result["model"].get("step"), "clips": result["clips"]}
        row |= {key: round(result[key], 5) for key in numbers} | {"config": config}
        by_system.setdefault(_system(config), []).append(row)
    found = []
    for system, trainings in sorted(by_system.items()):
        configs = [row.pop("config") for row in trainings]
        # not the path of the initial weights, which is no option to compare
        keys = sorted({key for config in configs for key in config} - {"pretrained"})
        varying = [key for key in keys if len({str(config.get(key)) for config in configs}) > 1]
        for row, config in zip(trainings, configs, strict=True):
            row |= {"system": system, "options": {key: config.get(key) for key in varying}}
        found += sorted(trainings, key=lambda row: -row["psds1"])
    return found


def _system(config: Mapping[str, Any]) -> str:
    """Return the system that a config belongs to.

    With a Bi-GRU, the system of an AST is named by pooling and upsampling (by the pooling alone if SYSTEMS lacks it),
    that of a CNN by the convolution, others by the encoder; with another decoder, by encoder and decoder. Options that
    an older config lacks have the value that was implied then.
    """
    encoder, decoder = config["encoder"], config.get("decoder", "gru")
    if decoder != "gru":
        return f"{encoder}_{decoder}"
    if encoder == "ast":
        return SYSTEMS.get((config["pooling"], config["upsample"] > 1), config["pooling"])
    if encoder == "cnn":
        convolution = config.get("cnn_conv", "plain")
        return "crnn" if convolution == "plain" else f"{convolution}_crnn"
    return str(encoder)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def trial_table(found: Sequence[Mapping[str, Any]], remarks: Remarks) -> list[str]:
    """Return the table of `rows`, as lines of Markdown.

    Args:
        found: what `rows` returned.
        remarks: remarks whose footnote marks are set at the experiments that they name.
    """
    columns = shown_in("main")
    lines = [
        [
            f"`{row['system']}`{marks(remarks, row['name'])}",
            ", ".join(f"{key} {_short(value)}" for key, value in row["options"].items()),
            *(f"{entry.factor * row[entry.key]:.{1 if entry.per_cent else 3}f}" for entry in columns),
        ]
        for row in found
    ]
    return table(["system", "with", *(entry.column for entry in columns)], lines)
