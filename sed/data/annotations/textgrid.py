"""Praat's TextGrids, long and short, read by praatio: intervals with text of every tier; points have no length.

A TextGrid belongs to the recording of the same name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, recording_of, seconds_text
from sed.errors import UserError


class TextGrid:
    """Reader of TextGrids."""

    name = "a Praat TextGrid"

    def recognises(self, text: str) -> bool:
        """Return whether the text has the header of a TextGrid."""
        return text.lstrip().startswith(("File type", '"ooTextFile')) and "TextGrid" in text[:200]

    def read(self, path: Path, text: str) -> Iterator[Annotation]:  # noqa: ARG002 (praatio reads the file)
        """Yield the intervals and points that have a text."""
        from praatio import textgrid
        from praatio.data_classes.interval_tier import IntervalTier
        from praatio.utilities.errors import PraatioException

        try:
            grid = textgrid.openTextgrid(
                str(path), includeEmptyIntervals=False, reportingMode="silence", duplicateNamesMode="rename"
            )
        except (PraatioException, ValueError, IndexError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: not a whole TextGrid: {reason} (save it in Praat once more)") from None
        number = 0
        for tier in grid.tiers:
            for entry in tier.entries:
                number += 1
                begin, *rest = entry
                end = rest[0] if isinstance(tier, IntervalTier) else begin
                times = (seconds_text(float(begin)), seconds_text(float(end)))
                yield annotation(path, number, recording_of(path), *times, str(rest[-1]))
