"""Figure 3 of the AST-SED paper: which frequency bands a class is detected from.

AST-GRU's mean over frequency is replaced by one band, and the event-based F1 that each class reaches with each band
is normalised to [0, 1]. The paper does not say whether the model is trained again for each band; both readings are
available. (I) marks what we inferred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.errors import UserError
from sed.evaluation.result_file import read_result
from sed.features.mel import mel_edges
from sed.features.params import completed, defaults

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READINGS = {"swapped": "trained on the mean, band swapped in", "retrained": "retrained on each band"}
# One class of each of the paper's groups: high bands, low bands, middle bands, spread over all (I).
FOUR = ("Alarm_bell_ringing", "Speech", "Dog", "Vacuum_cleaner")
Bands = dict[str, list[float]]
"""{label: EB-F1, 0 to 1, with each band, lowest first}"""


def band_edges(config: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Return (lowest, highest) frequency in Hz of each band, a row of AST patches; UserError for other encoders."""
    if config["encoder"] != "ast":
        raise UserError(f"encoder '{config['encoder']}' has no frequency bands (figure 3 is about AST-GRU)")
    front_end = completed({key: config[key] for key in defaults() if key in config})
    edges = mel_edges(*(front_end[key] for key in ("mel_scale", "mel_bins", "f_min", "f_max")))
    starts = range(0, config["mel_bins"] - config["patch_freq"] + 1, config["stride_freq"])
    # mel bin k is the triangle from edge k to edge k + 2
    return [(edges[start], edges[start + config["patch_freq"] + 1]) for start in starts]


def read_bands(folder: Path, bands: int) -> Bands | None:
    """Read the results of all bands from `folder`/band_KK/**/result.json; None if there is no such folder.

    Classes without true events in the test set are left out.

    bands: number of bands.

    Raises:
        UserError: a band has no result, or several, or one without EB-F1; or a class has true events in the results of
            some bands only.
    """
    if not folder.is_dir():
        return None
    result: Bands = {}
    for band in range(bands):
        found = sorted((folder / f"band_{band:02d}").rglob("result.json"))
        if len(found) != 1:
            raise UserError(
                f"{folder}/band_{band:02d}: {len(found)} results instead of one (run steps/figure3.sh, "
                "into another folder for each set)"
            )
        for label, numbers in read_result(found[0])["per_class"].items():
            if numbers["ground_truth"]:
                if "event_f1" not in numbers:
                    raise UserError(f"{found[0]}: no EB-F1 of {label} (run steps/figure3.sh again)")
                # null, which result.json may have (`score` writes none for a class with events), counts as no hit
                result.setdefault(label, []).append(numbers["event_f1"] or 0.0)
    if odd := [label for label, values in result.items() if len(values) < bands]:
        raise UserError(f"{folder}: not every band was scored on true events of {odd[0]} (score all on one set)")
    return result


def activation(values: Sequence[float]) -> list[float]:
    """Return each band's F1 divided by that of the class's best band (I): 1 for the best, 0 without hits."""
    best = max(values)
    return [value / best if best > 0 else 0.0 for value in values]


def table(readings: Mapping[str, Bands], edges: Sequence[tuple[float, float]]) -> str:
    """Return a tab-separated table with F1 and activation of every band, for each reading and class."""
    lines = ["reading\tevent_label\tband\tlow_hz\thigh_hz\tevent_f1\tactivation"]
    for reading, classes in readings.items():
        for label, values in classes.items():
            for band, (value, bar) in enumerate(zip(values, activation(values), strict=True)):
                low, high = edges[band]
                lines.append(f"{reading}\t{label}\t{band}\t{low:.0f}\t{high:.0f}\t{value:.6f}\t{bar:.6f}")
    return "\n".join(lines) + "\n"


def draw(classes: Bands, labels: Sequence[str], edges: Sequence[tuple[float, float]], title: str) -> Figure:
    """Draw a bar chart of the bands for each of `labels`, lowest band first.

    Args:
        classes: {label: EB-F1 with each band}.
        labels: the classes to draw.
        edges: lowest and highest frequency of each band in Hz.
        title: above the figure.

    Returns:
        The figure.
    """
    from matplotlib.figure import Figure

    columns = min(4 if len(labels) <= 4 else 5, len(labels))
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(3 * columns, 2.6 * rows + 0.4), layout="constrained")
    figure.suptitle(title)
    for index, label in enumerate(labels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.bar(range(len(edges)), activation(classes[label]), color="#3b6ea5")
        axes.set_ylim(0, 1.05)
        # the best band's F1, which the bar of height 1 stands for
        axes.set_title(f"{label} (F1 ≤ {100 * max(classes[label]):.1f} %)", fontsize=9)
        ticks = sorted({0, len(edges) // 3, 2 * len(edges) // 3, len(edges) - 1})
        axes.set_xticks(ticks, [f"{sum(edges[t]) / 2000:.1f}" for t in ticks])
        axes.set_xlabel("middle of the band, kHz", fontsize=8)
        if index % columns == 0:
            axes.set_ylabel("activation", fontsize=8)
        axes.tick_params(labelsize=8)
    return figure
