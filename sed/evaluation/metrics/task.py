"""Clips, classes, durations and ground truth that a system is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sed.evaluation.metrics.events import EventTable, merge_overlaps

if TYPE_CHECKING:
    import pandas as pd

# Seconds; an event that ends more than this beyond its recording is cut at the recording's end: some systems' tables
# have events that last for years.
FAR = 1.0


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Clips, labels, durations (clips,) in seconds, and the ground truth.

    True events of one clip and class do not overlap, but one may begin where another ends.
    """

    clips: list[str]
    labels: list[str]
    durations: np.ndarray
    truth: EventTable

    @cached_property
    def counts(self) -> np.ndarray:
        """Number of true events of each class (classes,)."""
        return np.bincount(self.truth.label, minlength=len(self.labels))

    @cached_property
    def present(self) -> np.ndarray:
        """Indices in `labels` of the classes with ground truth: the others have no recall, hence no F1 and no PSDS."""
        return np.flatnonzero(self.counts)

    @cached_property
    def joined(self) -> Problem:
        """The same, with true events of a class that touch joined: sed_scores_eval refuses touching events."""
        truth, merged = merge_overlaps(self.truth, touching=True)
        return replace(self, truth=truth) if merged else self

    def inside(self, table: EventTable) -> EventTable:
        """Return the events that have a length and begin before their recording ends.

        An offset more than FAR beyond the recording is moved to the recording's end. Smaller excesses stay, since the
        last frame of scores may reach beyond a recording, and psds_eval and sed_eval count such events unchanged.
        """
        ends = self.durations[table.clip]
        far = table.offset > ends + FAR
        cut = replace(table, offset=np.where(far, ends, table.offset)) if far.any() else table
        nothing = (cut.onset >= cut.offset) | (cut.onset >= ends)
        return cut.where(~nothing) if nothing.any() else cut

    @property
    def absent_labels(self) -> list[str]:
        """Labels without ground truth."""
        return [label for label, count in zip(self.labels, self.counts, strict=True) if count == 0]

    def frame(self, table: EventTable) -> pd.DataFrame:
        """Return events as the table that psds_eval takes: filename, onset, offset, event_label."""
        import pandas as pd

        return pd.DataFrame(
            {
                "filename": np.asarray(self.clips, dtype=object)[table.clip],
                "onset": table.onset,
                "offset": table.offset,
                "event_label": np.asarray(self.labels, dtype=object)[table.label],
            }
        )

    def lists(self, table: EventTable) -> list[list[dict]]:
        """Return, for each clip, its events as the dictionaries that sed_eval takes."""
        lists: list[list[dict]] = [[] for _ in self.clips]
        columns = (column.tolist() for column in (table.clip, table.label, table.onset, table.offset))
        for clip, label, onset, offset in zip(*columns, strict=True):
            event = {"filename": self.clips[clip], "event_label": self.labels[label], "onset": onset, "offset": offset}
            lists[clip].append(event)
        return lists
