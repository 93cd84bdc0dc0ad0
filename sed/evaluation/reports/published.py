"""Numbers that others published, each with its source; shown beside ours and never mixed with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sed.evaluation.metrics.table import shown_in
from sed.evaluation.postprocessing.median import PAPER_MEDIAN


class Published(NamedTuple):
    """A published system: EB-F1 as a fraction, PSDS1, both on DESED's validation set of 1168 clips."""

    system: str
    event_f1_macro: float
    psds1: float
    source: str

    def value(self, key: str) -> float:
        """Return the number that result.json calls `key`."""
        return {"event_f1_macro": self.event_f1_macro, "psds1": self.psds1}[key]

    def shown(self) -> list[str]:
        """Format the published numbers in the units and order of the metric table."""
        return [entry.plain(self.value(entry.key)) for entry in shown_in("published")]


SET, CLIPS = "validation", 1168
PAPER = "Li et al., ICASSP 2023 (arXiv 2303.03689)"
PUBLISHED = (
    Published("AST-SED", 0.5960, 0.5140, PAPER),
    Published("AST-GRU", 0.5520, 0.4537, PAPER),
    Published("CRNN mean teacher", 0.505, 0.4006, f"{PAPER}, baseline"),
    Published("DCASE 2022 task 4 winner (FB-CRNN + Bi-CRNN)", 0.5730, 0.5050, f"{PAPER}, as cited there"),
)
"""Table rows that survive of the paper; none of these was measured by this project."""


def on_their_set(result: Mapping[str, Any]) -> bool:
    """Return whether a result is of DESED's labels on its validation set: only then do published numbers compare."""
    return set(result["per_class"]) == {*PAPER_MEDIAN} and result["set"] == SET and result["clips_expected"] == CLIPS


def of_experiment(name: str) -> Published | None:
    """The published system that an experiment of this name reproduces, if any."""
    for prefix, row in (("ast_sed", PUBLISHED[0]), ("ast_gru", PUBLISHED[1]), ("crnn", PUBLISHED[2])):
        if name == prefix or name.startswith((prefix + "_", prefix + "-", prefix + ".")):
            return row
    return None
