"""The two protocols of egs/real_sounds and the grid of trainings behind them, as tables.

Protocol A is the regime of the AST-SED paper ("the paper" below): its clip pooling and ratio of learning rates, and one
number of frozen epochs, for all AST systems. In protocol B each system has the clip pooling, frozen epochs and rates
that gave it the highest PSDS1 (`<system>_tuned`). None was chosen on validation: the frozen epochs of protocol A on a
split of the training sources, the regimes of protocol B on such a split of the soundbank's smaller version before
(docs/beyond.md, "Two protocols").
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sed.evaluation.metrics.table import BY_KEY, over_seeds
from sed.evaluation.reports.seeds.reduce import SETTINGS
from sed.evaluation.reports.seeds.remarks import Remarks, marks, training
from sed.evaluation.reports.seeds.tables import Margins, Results, difference, table, values_of

log = logging.getLogger("sed")
F1, PSDS1, PSDS2 = BY_KEY["event_f1_macro"], BY_KEY["psds1"], BY_KEY["psds2"]
CLASS_MEAN = replace(PSDS1, key="psds1_class_mean")
AST_SYSTEMS = ("ast_gru", "lgd_only", "fte_only", "ast_sed")
PLAIN_AST, *OTHER_AST = AST_SYSTEMS
TITLES = {
    "crnn": "CRNN",
    "ast_gru": "AST-GRU",
    "lgd_only": "LGD only",
    "fte_only": "FTE only (ratio 1)",
    "ratio_2": "FTE, ratio 2",
    "ratio_5": "FTE, ratio 5",
    "ast_sed": "AST-SED (ratio 10)",
}
# EB-F1 in per cent and PSDS1 in the paper, on DESED
PAPER = {"crnn": ("50.50", "0.4006"), "ast_gru": ("55.20", "0.4537"), "ast_sed": ("59.60", "0.5140")}
TUNED = "_tuned"
FROZEN = "_frozen_epochs_6_encoder_lr_0.0003"
"""end of the name of a rival that is trained as protocol B trains AST-SED (run.sh --vary)"""
# Titles of the paper's rivals, whose encoders are pre-trained on the soundscapes that the AST of this recipe is
# pre-trained on (conf/real_sounds/pretrain*.yaml). Each is trained in two ways: at
# one learning rate from the first epoch on, and as protocol B trains AST-SED.
COMPARATORS = {
    f"{name}{end}": title
    for name, title in {
        "crnn_pretrained": "CRNN",
        "sk_crnn": "SK-CRNN",
        "fdy_crnn": "FDY-CRNN",
        "conformer": "Conformer",
        "fb_crnn": "FB-CRNN",
        "bi_crnn": "Bi-CRNN",
        "bi_crnn_pseudo": "Bi-CRNN with pseudo-labels",
    }.items()
    for end in ("", FROZEN)
} | {
    # its config freezes the encoder for six epochs, which then learns at 1/20 of the head's rate
    "pann_rnn_frozen_epochs_0_encoder_lr_0.001": "PANN-RNN",
    "pann_rnn_encoder_lr_0.0003": "PANN-RNN",
}
# Titles of trainings beyond the paper, all of the system "FTE only" (`conf/real_sounds/fte_*.yaml`).
BEYOND = {
    f"fte_only{TUNED}": "FTE only",
    "fte_long": "FTE only, twice the steps",
    "fte_augmented": "FTE only, twice the steps, frequency warping and waveform mixing",
    "fte_pseudo": "the same with pseudo-labels",
    "fte_second": "second stage of the augmented one: heavy consistency, also on mixtures",
    "fte_best": "second stage of the one with pseudo-labels",
}
# {encoder: {(frequency pooling, upsampling ratio): config}} of the AST and of encoders of its size, all trained as in
# protocol A, without and with the two parts of AST-SED (FTE and LGD). Names are those that run.sh --vary gives
# (docs/beyond.md). ATST-Frame has one band, so no FTE.
CARRIED = {
    "AST": {("mean", 1): "ast_gru", ("mean", 10): "lgd_only", ("fte", 1): "fte_only", ("fte", 10): "ast_sed"},
    "ATST-Frame": {("mean", 1): "atst_sed_upsample_1", ("mean", 4): "atst_sed"},
    "BEATs": {
        ("mean", 1): "beats_sed_pooling_mean_upsample_1",
        ("mean", 16): "beats_sed_pooling_mean",
        ("fte", 1): "beats_sed_upsample_1",
        ("fte", 16): "beats_sed",
    },
}
PLAIN = ("mean", 1)
"""frequency pooling and ratio without either part"""
STEPS_MS = {"AST": 100, "ATST-Frame": 40, "BEATs": 160}
"""milliseconds of a time step of each encoder, which is that of the output without upsampling"""
OTHER_ENCODERS = tuple(
    config for encoder, configs in CARRIED.items() if encoder != "AST" for config in configs.values()
)
# AST systems in the table of the rivals, as protocols A and B train them; the table's last row is protocol B's AST-SED
BOTH_WAYS = ("ast_gru", f"ast_gru{TUNED}", "ast_sed")
GRID = ("clip_pooling", "frozen_epochs")
"""settings in which the rows of `grid` differ; all others are those of protocol A"""
SYSTEM = ("encoder", "pooling", "upsample")
"""settings by which `system_of` knows the system"""
SAME = tuple(key for key in SETTINGS if key not in (*SYSTEM, *GRID))
"""all other stored settings: they must equal protocol A's unless a table's rows differ in them"""
MIXUP = ("mixup_probability", "encoder_lr")
"""settings in which the rows of `mixup` differ; all others are those of protocol A"""
# letters: source of the formula, as in egs/desed/README.md
CLIP_POOLINGS = {
    "linear_softmax": "linear softmax (L)",
    "exponential_softmax": "sum y e^y / sum e^y",
    "time_softmax": "attention, softmax over time",
    "attention": "attention, softmax over classes (D)",
}


def protocol_a(results: Results, margins: Margins, remarks: Remarks) -> list[str]:
    """Return the table of protocol A beside the paper's numbers; no lines without results of an AST system.

    Args:
        results: {config: the results of its seeds}.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings; the configs that they name get their marks.

    Returns:
        Lines of Markdown.
    """
    if not any(name in results for name in AST_SYSTEMS):
        return []
    rows = []
    for name, title in TITLES.items():
        if name in results:
            f1, psds1 = PAPER.get(name, ("–", "–"))
            cells = _numbers(results[name])
            over = "crnn" if name == "ast_gru" else "ast_gru"
            gains = _over(margins, over, name)
            rows.append(
                [title + marked(remarks, name, results[name]), cells[0], f1, cells[1], psds1, *cells[2:], *gains]
            )
    heads = ["system", F1.column, "paper", PSDS1.heading, "paper", *OTHERS, *GAINS]
    return table(heads, rows)


def protocol_b(results: Results, margins: Margins, remarks: Remarks) -> list[str]:
    """Return the table of protocol B: each system with its own best settings; no lines without results.

    Args:
        results: {config: the results of its seeds}.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings; the configs that they name get their marks.

    Returns:
        Lines of Markdown.
    """
    names = [f"{name}{TUNED}" for name in AST_SYSTEMS if f"{name}{TUNED}" in results]
    if not names:
        return []
    rows = []
    for name in (*(["crnn"] if "crnn" in results else []), *names):
        title = TITLES[name.removesuffix(TUNED)]
        over = "crnn" if name == f"ast_gru{TUNED}" else f"ast_gru{TUNED}"
        cells = [title + marked(remarks, name, results[name]), _regime(results[name][0].get("settings", {}))]
        rows.append([*cells, *_numbers(results[name]), *_over(margins, over, name)])
    return table(["system", "trained with", F1.column, PSDS1.heading, *OTHERS, *GAINS], rows)


def comparators(results: Results, margins: Margins, remarks: Remarks) -> list[str]:
    """Return the table of the paper's rivals beside AST-GRU and AST-SED of both protocols; no lines without rivals.

    Args:
        results: {config: the results of its seeds}.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings; the configs that they name get their marks.

    Returns:
        Lines of Markdown.
    """
    if not any(name in results for name in COMPARATORS):
        return []
    titles = COMPARATORS | {name: TITLES[name.removesuffix(TUNED)] for name in (*BOTH_WAYS, f"ast_sed{TUNED}")}
    rows = []
    for name, title in titles.items():
        if name not in results:
            continue
        runs = results[name]
        cells = [title + marked(remarks, name, runs), _size(runs), _rates(runs[0].get("settings", {}))]
        rows.append([*cells, *_numbers(runs), *_differences(margins, name, f"ast_sed{TUNED}")])
    heads = ["system", "parameters", "encoder", F1.column, PSDS1.heading, *OTHERS]
    return table([*heads, "AST-SED of protocol B over it: EB-F1, points", "PSDS1"], rows)


def carried(results: Results, margins: Margins, remarks: Remarks) -> list[str]:
    """Return the table of encoders without and with FTE and LGD; no lines if all results are of the AST.

    Args:
        results: {config: the results of its seeds}.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings; the configs that they name get their marks.

    Returns:
        Lines of Markdown.
    """
    if not any(name in results for name in OTHER_ENCODERS):
        return []
    rows = []
    for encoder, configs in CARRIED.items():
        for (pooling, ratio), name in configs.items():
            if name in results:
                runs = results[name]
                step = f"{STEPS_MS[encoder] / ratio:g} ms" + (f" (LGD, ratio {ratio})" if ratio > 1 else "")
                cells = [encoder + marked(remarks, name, runs), _size(runs), POOLINGS[pooling], step]
                rows.append([*cells, *_numbers(runs), *_differences(margins, configs[PLAIN], name)])
    heads = ["encoder", "parameters", "before the GRU", "output step", F1.column, PSDS1.heading, *OTHERS]
    return table([*heads, "over mean without LGD: EB-F1, points", "PSDS1"], rows)


def beyond(results: Results, margins: Margins, remarks: Remarks) -> list[str]:
    """Return the table of trainings beyond the paper, below AST-SED of protocol B; no lines without such trainings.

    Args:
        results: {config: the results of its seeds}.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings; the configs that they name get their marks.

    Returns:
        Lines of Markdown.
    """
    plain = f"ast_sed{TUNED}"
    if not any(name in results for name in BEYOND if not name.endswith(TUNED)):
        return []
    rows = []
    for name, title in ({plain: TITLES["ast_sed"]} | BEYOND).items():
        if name in results:
            cells = [title + marked(remarks, name, results[name]), f"{results[name][0].get('steps', '–')}"]
            rows.append([*cells, *_numbers(results[name]), *_differences(margins, plain, name)])
    heads = ["training", "steps", F1.column, PSDS1.heading, *OTHERS, "over AST-SED: EB-F1, points", "PSDS1"]
    return table(heads, rows)


def grid(results: Results, margins: Margins = (), remarks: Remarks = ()) -> list[str]:
    """Return EB-F1 and PSDS1 of the AST systems by clip pooling and frozen epochs, else trained as in protocol A.

    Args:
        results: {config: the results of its seeds}; those with the settings of the grid are chosen.
        margins: differences between two configs, from `reduce.margin`.
        remarks: remarks on trainings. Those of AST-GRU are marked at the row's clip pooling, since all gains are over
            it; a system with other marks has its own at its gain. In the first table's other cells a number in
            parentheses is that of the seeds.

    Returns:
        Lines of Markdown, with a second table of the gains over AST-GRU if there are margins; none if the first table
        would have fewer than two rows.
    """
    cells = _cells(results, GRID)
    if len(cells) < 2:
        return []
    rows, gains = [], []
    order = {pooling: place for place, pooling in enumerate(CLIP_POOLINGS)}  # unknown ones come last
    for pooling, frozen in sorted(cells, key=lambda key: (order.get(key[0], len(order)), key[1])):
        by_system = cells[pooling, frozen]
        names = {system: _config_of(results, runs) for system, runs in by_system.items()}
        own = {system: marked(remarks, names[system], list(runs.values())) for system, runs in by_system.items()}
        of_row = own.get(PLAIN_AST, "")
        first = [CLIP_POOLINGS.get(pooling, pooling) + of_row, f"{frozen:g} epochs" if frozen else "no"]
        rows.append([*first, *(_cell(list(by_system.get(system, {}).values())) for system in AST_SYSTEMS)])
        over = {system: _differences(margins, names.get(PLAIN_AST, ""), names.get(system, "")) for system in OTHER_AST}
        if any(one != NO_MARGIN for one in over.values()):
            shown = (
                ", ".join(one) + ("" if own[system] == of_row else own[system]) if one != NO_MARGIN else "–"
                for system, one in over.items()
            )
            gains.append([*first, *shown])
    heads = ["clip pooling", "frozen first"]
    lines = table([*heads, *(TITLES[system] for system in AST_SYSTEMS)], rows)
    if gains:
        text = "The gain of each over AST-GRU of the same row: points of EB-F1, PSDS1, with 95 % intervals."
        lines += ["", text, "", *table([*heads, *(TITLES[system] for system in OTHER_AST)], gains)]
    return lines


def grid_pairs(configs: Collection[str]) -> list[tuple[str, str]]:
    """Return AST-GRU's config and another system's for each row of the grid but protocol A's, if both are there."""
    rows = [name.removeprefix(PLAIN_AST) for name in sorted(configs) if name.startswith(f"{PLAIN_AST}_")]
    varied = [row for row in rows if any(f"_{key}_" in row for key in GRID)]
    found = [(f"{PLAIN_AST}{row}", f"{system}{row}") for row in varied for system in OTHER_AST]
    return [pair for pair in found if set(pair) <= set(configs)]


def _config_of(results: Results, runs: Mapping[int, Mapping[str, Any]]) -> str:
    """Return the config of a cell's first run."""
    first = next(iter(runs.values()))
    return next(name for name, of_config in results.items() if any(run is first for run in of_config))


def mixup(results: Results) -> list[str]:
    """Return EB-F1 and PSDS1 by share of clips with mixup and encoder's learning rate, else trained as in protocol A.

    Args:
        results: {config: the results of its seeds}; those with the settings of the table are chosen.

    Returns:
        Lines of Markdown; none if the table would have fewer than two rows.
    """
    cells = _cells(results, MIXUP)
    if len(cells) < 2:
        return []
    rows = [
        [
            "all clips" if share == 1 else f"{100 * share:g} % of the clips",
            f"{rate:g}",
            *(_cell(list(cells[share, rate].get(system, {}).values())) for system in AST_SYSTEMS),
        ]
        for share, rate in sorted(cells, key=lambda one: (-one[0], one[1]))
    ]
    return table(["mixup in", "encoder's rate", *(TITLES[system] for system in AST_SYSTEMS)], rows)


def _cells(results: Results, by: Sequence[str]) -> dict[tuple[Any, ...], dict[str, dict[int, Mapping[str, Any]]]]:
    """Return {values of the settings `by`: {system: {seed: run}}} of runs whose other settings are protocol A's.

    Protocol A's settings are those of the first run with settings, by the order of AST_SYSTEMS. Of two configs with a
    run of the same seed in one cell, the first counts; if the other's numbers differ, a warning names it. Results with
    bounding boxes (cSEBBs) are left out: they are further results of the same trainings.
    """
    protocol_a_settings = next(
        (run["settings"] for name in AST_SYSTEMS for run in results.get(name, []) if run.get("settings")), None
    )
    same = [key for key in (*GRID, *SAME) if key not in by]
    cells: dict[tuple[Any, ...], dict[str, dict[int, Mapping[str, Any]]]] = {}
    if protocol_a_settings is None:
        return cells
    for name, runs in results.items():
        system = next((s for s in AST_SYSTEMS if name == s or name.startswith(f"{s}_")), None)
        for run in runs:
            settings = run.get("settings", {})
            alike = all(settings.get(key) == protocol_a_settings.get(key) for key in same)
            alike = alike and all(key in settings for key in by)
            # system_of: by its settings it may be another system than by the start of its name
            if system and alike and system_of(settings) == system and run.get("post_processing") != ["csebbs"]:
                cell = cells.setdefault(tuple(settings[key] for key in by), {}).setdefault(system, {})
                first = cell.setdefault(run["seed"], run)
                if any(first.get(key) != run.get(key) for key in (F1.key, PSDS1.key)):
                    why = f"left out of the table by {' and '.join(by)}: another config has the same settings there"
                    log.warning("%s, seed %s: %s", name, run["seed"], why)
    return cells


# headings of the columns after EB-F1 and PSDS1, and of the differences from another system
OTHERS = ["PSDS1, mean of classes", PSDS2.heading, "lowest PSDS1 of a seed", "seeds"]
GAINS = ["over", "EB-F1, points", "PSDS1"]
NO_MARGIN = ["–", "–"]
"""cells of two configs without a margin"""
POOLINGS = {"mean": "mean", "fte": "FTE"}


def system_of(settings: Mapping[str, Any]) -> str:
    """Return the AST system with these settings, by frequency pooling (mean or FTE) and ratio; "" for none."""
    if settings.get("encoder") != "ast":
        return ""
    return CARRIED["AST"].get((settings.get("pooling", ""), settings.get("upsample", 1)), "")


def _numbers(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return cells: EB-F1, PSDS1, its mean over classes, PSDS2, the lowest PSDS1 of a seed, the number of seeds."""
    psds1 = values_of(runs, "psds1")
    return [
        *(over_seeds(entry, runs) for entry in (F1, PSDS1, CLASS_MEAN, PSDS2)),
        PSDS1.plain(min(psds1)) if psds1 else "–",
        str(len(runs)),
    ]


def _size(runs: Sequence[Mapping[str, Any]]) -> str:
    """Format the number of parameters, in millions; a dash if it is unknown."""
    size = runs[0].get("parameters")
    return "–" if size is None else f"{size / 1e6:.2f} M"


def _over(margins: Margins, a: str, b: str) -> list[str]:
    """Return the cells of GAINS: system a, and the differences of system b from it; dashes without a margin."""
    differences = _differences(margins, a, b)
    return [TITLES[a.removesuffix(TUNED)] if differences != NO_MARGIN else "–", *differences]


def _differences(margins: Margins, a: str, b: str) -> list[str]:
    """Return the differences of config b from config a in EB-F1 and PSDS1; NO_MARGIN if they have no margin."""
    numbers = next((one["numbers"] for one in margins if (one["a"], one["b"]) == (a, b)), None)
    return NO_MARGIN if numbers is None else [difference(numbers[entry.key], entry) for entry in (F1, PSDS1)]


def marked(remarks: Remarks, name: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the marks of the remarks on a config's trainings.

    Args:
        remarks: remarks on trainings.
        name: the config.
        runs: the results of its seeds.

    Returns:
        Such as " (1) (3)"; empty without a remark.
    """
    return marks(remarks, *(training(name, run["seed"]) for run in runs))


def _regime(settings: Mapping[str, Any]) -> str:
    """Describe a training: clip pooling, frozen epochs, and the encoder's learning rate relative to the head's."""
    words = [CLIP_POOLINGS.get(settings.get("clip_pooling", ""), str(settings.get("clip_pooling", "–")))]
    if settings.get("encoder") == "ast":
        words.append(_rates(settings).replace(", at", ", encoder at"))
    return ", ".join(words)


def _rates(settings: Mapping[str, Any]) -> str:
    """Describe the encoder's training: frozen epochs, and its learning rate relative to the head's."""
    if not settings.get("lr"):
        return "–"
    frozen = settings.get("frozen_epochs")
    words = f"frozen for {frozen:g} epochs" if frozen else "not frozen"
    return f"{words}, at {settings['encoder_lr'] / settings['lr']:.2g} of the head's rate"


def _cell(runs: Sequence[Mapping[str, Any]]) -> str:
    """Format EB-F1 in per cent, PSDS1 and number of seeds: `33.87 ± 0.64, 0.3504 ± 0.0030 (2)`; a dash without runs."""
    if not runs:
        return "–"
    return f"{over_seeds(F1, runs)}, {over_seeds(PSDS1, runs)} ({len(runs)})"
