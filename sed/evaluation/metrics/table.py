"""Metric table: all metrics of result.json in order; their entries say how and where each is shown.

A new metric is one file with a class that derives from `Metric`, its import here, and its entry in METRICS, or in
ON_REQUEST if it is computed only when `--scores` names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from sed.errors import UserError
from sed.evaluation.metrics import error_kinds, error_rate, f1, pipsds, psds_metric, segment_auc
from sed.evaluation.metrics.metric import Entry, Metric, Place

METRICS: tuple[Metric, ...] = (
    f1.EVENT_F1,
    f1.SEGMENT_F1,
    f1.INTERSECTION_F1,
    psds_metric.STANDARD,
    psds_metric.OWN,
)
ON_REQUEST: dict[str, tuple[Metric, ...]] = {
    "mpauc": (segment_auc.SEGMENT_AUC,),
    "pipsds": (pipsds.PIPSDS,),
    "onset": (f1.ONSET_F1,),
    "collars": f1.COLLAR_F1,
    "errors": (error_kinds.ERROR_KINDS,),
    "error_rate": (error_rate.ERROR_RATE,),
}
ALL = "all"  # in `--scores`: every name of ON_REQUEST
ENTRIES: tuple[Entry, ...] = tuple(
    entry for metrics in (METRICS, *ON_REQUEST.values()) for metric in metrics for entry in metric.entries
)
BY_KEY = {entry.key: entry for entry in ENTRIES}


def chosen(names: Sequence[str]) -> tuple[Metric, ...]:
    """Return the standard metrics and those that are named (keys of ON_REQUEST, or `all`), in the table's order.

    Raises:
        UserError: there is no such name.
    """
    unknown = [name for name in names if name not in (*ON_REQUEST, ALL)]
    if unknown:
        raise UserError(f"--scores {unknown[0]}: no such scores (there are {', '.join(ON_REQUEST)}, and {ALL})")
    asked = [metric for name, of_name in ON_REQUEST.items() if name in names or ALL in names for metric in of_name]
    return (*METRICS, *asked)


def shown_in(place: Place) -> tuple[Entry, ...]:
    """Return the entries that a place shows, in the table's order."""
    return tuple(entry for entry in ENTRIES if place in entry.shown)


def over_seeds(entry: Entry, results: Sequence[Mapping[str, Any]]) -> str:
    """Format the mean of a number over the results of several seeds.

    Returns:
        `59.60`, `59.60 ± 0.31` with the sample standard deviation, `59.60 ± 0.31 (2 of 3)` if only two of three results
        have the number, a dash if none has it.
    """
    values = [result[entry.key] for result in results if result.get(entry.key) is not None]
    if not values:
        return "–"
    mean = entry.plain(fmean(values))
    spread = f" ± {entry.plain(stdev(values))}" if len(values) > 1 else ""
    return mean + spread + (f" ({len(values)} of {len(results)})" if len(values) < len(results) else "")
