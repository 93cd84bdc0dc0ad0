"""Median filter along time, by default with the AST-SED paper's window for each of DESED's classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sed.evaluation.postprocessing.class_option import ClassOption
from sed.evaluation.postprocessing.filters import LONGEST, filtered, reach
from sed.evaluation.postprocessing.step import OneNumber

if TYPE_CHECKING:
    from sed.data.scores import FrameScores

# Length of the window in seconds, from FDY-SED, whose filters the AST-SED paper reuses (F in egs/desed/README.md).
PAPER_MEDIAN = {
    "Alarm_bell_ringing": 0.32,
    "Blender": 0.70,
    "Cat": 0.32,
    "Dishes": 0.32,
    "Dog": 0.32,
    "Electric_shaver_toothbrush": 4.29,
    "Frying": 3.90,
    "Running_water": 3.14,
    "Speech": 0.32,
    "Vacuum_cleaner": 1.09,
}
OTHER_MEDIAN = 0.32  # seconds, for labels that PAPER_MEDIAN lacks


@dataclass(frozen=True)
class Median(OneNumber):
    """Median filter with one length in seconds per class; edges are reflected."""

    name: ClassVar[str] = "median"
    title: ClassVar[str] = "median filter"
    meaning: ClassVar[str] = "short peaks and gaps are removed"
    key: ClassVar[str] = "median_seconds"
    options: ClassVar[Sequence[ClassOption]] = (
        ClassOption(
            name="median",
            help="seconds of the median filters, 0 for none: paper (the AST-SED paper's for DESED's classes, "
            f"{OTHER_MEDIAN:g} for other labels), one number, or label=seconds,...",
            default=OTHER_MEDIAN,
            most=LONGEST,
            tables={"paper": PAPER_MEDIAN},
            unset="paper",
        ),
    )
    needs_clip: ClassVar[bool] = False
    is_rank_filter: ClassVar[bool] = True
    grid: ClassVar[Sequence[Any]] = (
        0.0,
        0.1,
        0.2,
        0.32,
        0.5,
        0.7,
        1.09,
        1.5,
        2.0,
        3.14,
        3.9,
        4.29,
    )  # seconds: those of PAPER_MEDIAN and others in common use; 0: no filter

    def apply(self, scores: FrameScores) -> FrameScores:
        """Return the filtered scores."""
        return filtered(scores, self.by_label, medians)

    def reach(self, frame_seconds: float) -> int:
        """Return half of the longest window, in frames."""
        return reach(self.by_label, frame_seconds)


def medians(x: np.ndarray, width: int) -> np.ndarray:
    """Return the running medians of sequences x (sequences, frames), in the same shape, edges reflected; width: odd.

    All are filtered as one sequence, each padded with its own reflections, because one call for each took most of the
    time of a scoring.
    """
    from scipy.ndimage import median_filter

    half = width // 2
    padded = np.pad(x, ((0, 0), (half, half)), "symmetric")
    return median_filter(padded.ravel(), size=width).reshape(padded.shape)[:, half : half + x.shape[1]]
