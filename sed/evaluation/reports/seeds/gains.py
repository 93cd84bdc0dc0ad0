"""Bar chart of the class-wise gain of one system over another, classes with the shortest events first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gains(margin: Mapping[str, Any], seconds: Mapping[str, float]) -> Figure | None:
    """Draw the differences of EB-F1 by class with 95 % intervals; None if no class has one.

    margin: what `reduce.margin` returns; seconds: {label: median length of its events}.
    """
    from matplotlib.figure import Figure

    known = {label: row["event_f1"] for label, row in margin["per_class"].items() if row["event_f1"] is not None}
    if not known:
        return None
    labels = sorted(known, key=lambda label: seconds.get(label, 0.0))
    values = [100 * known[label]["value"] for label in labels]
    below = [100 * (known[label]["value"] - known[label]["low"]) for label in labels]
    above = [100 * (known[label]["high"] - known[label]["value"]) for label in labels]
    # A difference can lie outside the interval of its bootstrap samples, but matplotlib refuses negative error bars.
    errors = [[max(0.0, length) for length in side] for side in (below, above)]
    figure = Figure(figsize=(1.2 + 0.75 * len(labels), 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.bar(range(len(labels)), values, yerr=errors, capsize=3, color="#3b6ea5", ecolor="#555555")
    axes.axhline(0, color="black", linewidth=0.8)
    names = [f"{label}\n{seconds[label]:.1f} s" if label in seconds else label for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=45, ha="right", fontsize=8)
    axes.set_ylabel(f"{margin['b']} − {margin['a']}: EB-F1, points", fontsize=8)
    return figure
