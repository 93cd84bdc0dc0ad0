"""Maximum filter along time: it closes gaps, and widens events by half of the window on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sed.evaluation.postprocessing.class_option import ClassOption
from sed.evaluation.postprocessing.filters import LONGEST, filtered, reach
from sed.evaluation.postprocessing.step import OneNumber

if TYPE_CHECKING:
    from sed.data.scores import FrameScores


@dataclass(frozen=True)
class Maximum(OneNumber):
    """Maximum filter with one length in seconds per class; edges are reflected."""

    name: ClassVar[str] = "maximum"
    title: ClassVar[str] = "maximum filter"
    meaning: ClassVar[str] = "peaks are widened"
    key: ClassVar[str] = "maximum_seconds"
    options: ClassVar[Sequence[ClassOption]] = (
        ClassOption(
            name="maximum",
            help="seconds of the maximum filters, 0 for none: one number, or label=seconds,...",
            default=0.0,
            most=LONGEST,
        ),
    )
    needs_clip: ClassVar[bool] = False
    is_rank_filter: ClassVar[bool] = True

    def apply(self, scores: FrameScores) -> FrameScores:
        """Return the filtered scores."""
        from scipy.ndimage import maximum_filter1d

        return filtered(scores, self.by_label, lambda x, width: maximum_filter1d(x, size=width, mode="reflect"))

    def reach(self, frame_seconds: float) -> int:
        """Return half of the longest window, in frames."""
        return reach(self.by_label, frame_seconds)
