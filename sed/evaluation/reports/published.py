"""Published numbers of other systems, with sources; shown beside ours, never mixed with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sed.evaluation.metrics.table import BY_KEY, shown_in
from sed.evaluation.postprocessing.median import PAPER_MEDIAN


class Published(NamedTuple):
    """A published system on DESED's validation set of 1168 clips: EB-F1 as a fraction, PSDS1 and PSDS2.

    names: of experiments that reproduce it, mostly also of their configs; note: why its numbers cannot be compared with
    ours as they are.
    """

    system: str
    event_f1_macro: float
    psds1: float | None
    source: str
    psds2: float | None = None
    names: tuple[str, ...] = ()
    note: str = ""

    def value(self, key: str) -> float | None:
        """Return the number that result.json calls `key`; None if it was not published."""
        return {"event_f1_macro": self.event_f1_macro, "psds1": self.psds1, "psds2": self.psds2}[key]

    def text(self, key: str) -> str:
        """Format a number in the metric table's unit; a dash if it was not published."""
        value = self.value(key)
        return "–" if value is None else BY_KEY[key].plain(value)

    def shown(self) -> list[str]:
        """Format the numbers of the entries that are shown in `published` (EB-F1, PSDS1), as the metric table does."""
        return [self.text(entry.key) for entry in shown_in("published")]


SET, CLIPS = "validation", 1168  # name of the set in our recipes, and its number of clips
KEYS = ("event_f1_macro", "psds1", "psds2")
"""metrics with published values"""
PAPER = "Li et al., ICASSP 2023 (arXiv 2303.03689)"
DESED_TASK, FDY_SED, CONFORMER_SED = "DESED_task's README", "FDY-SED's README", "ConformerSED's README"
# A note on FDY-SED's numbers.
OF_SIXTEEN = "the best of 16 runs for each number; without recorded strong clips"
# `*(...)` keeps the numbers and the source of a longer entry on one line. The first three were measured by the authors
# of the AST-SED paper; the fourth is one that it quotes.
# "student" in a note: measured on the student of the mean-teacher pair, not on the teacher.
PUBLISHED = (
    Published("AST-SED", 0.5960, 0.5140, PAPER, names=("ast_sed",)),
    Published("AST-GRU", 0.5520, 0.4537, PAPER, names=("ast_gru",)),
    Published(
        "CRNN mean teacher",
        *(0.505, 0.4006, f"{PAPER}, baseline"),
        names=("crnn_wide",),
        note="most probably FDY-SED's CRNN with recorded strong clips",  # inferred (egs/desed/README.md)
    ),
    Published(
        "DCASE 2022 task 4 winner (FB-CRNN + Bi-CRNN)",
        *(0.5730, 0.5050, f"{PAPER}, as cited there"),
        names=("fb_crnn", "bi_crnn", "fbcrnn", "bicrnn"),
        note="pre-trained on AudioSet, self-trained, and tuned on this set",
    ),
    Published(
        "CRNN, DCASE 2022 baseline", 0.401, 0.336, DESED_TASK, 0.536, note="without recorded strong clips; student"
    ),
    Published(
        "CRNN, DCASE 2022 baseline with recorded strong clips",
        *(0.429, 0.351, DESED_TASK, 0.552),
        names=("crnn",),
        note="student",
    ),
    Published("CRNN of FDY-SED", 0.518, 0.416, FDY_SED, 0.640, note=OF_SIXTEEN),
    Published("FDY-CRNN", 0.533, 0.452, FDY_SED, 0.670, names=("fdy_crnn",), note=OF_SIXTEEN),
    Published(
        "Conformer",
        *(0.477, None, CONFORMER_SED),
        names=("conformer",),
        note="model, thresholds and median filters chosen on this set",
    ),
    Published("CRNN with AST embeddings, late fusion", 0.372, 0.322, DESED_TASK, 0.722, note="the AST frozen"),
    Published("CRNN with BEATs embeddings", 0.571, 0.480, DESED_TASK, 0.727, note="BEATs frozen; mean of three runs"),
)
"""Numbers of the paper's text and of the projects that it compares with; not measured here."""


def on_their_set(result: Mapping[str, Any]) -> bool:
    """Return whether a result is on DESED's labels and validation set, so that published numbers stand beside it.

    The set must have all 1168 clips, but fewer may have been scored.
    """
    return set(result["per_class"]) == {*PAPER_MEDIAN} and result["set"] == SET and result["clips_expected"] == CLIPS


def of_experiment(name: str) -> Published | None:
    """Return the published system that an experiment reproduces: the longest of `names` that its name begins with."""
    found = [
        (len(own), row)
        for row in PUBLISHED
        for own in row.names
        if name == own or name.startswith((own + "_", own + "-", own + "."))
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None
