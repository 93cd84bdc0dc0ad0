"""Post-processing by change-detection sound event bounding boxes (cSEBBs), as `boxes` describes and computes them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from sed.evaluation.postprocessing.class_option import ClassOption
from sed.evaluation.postprocessing.step import PerClass

if TYPE_CHECKING:
    import argparse

    from sed.data.scores import FrameScores

REACH_SECONDS = 60.0
"""longest distance over which streaming prediction lets boxes depend on each other; our choice, since merging has no
limit"""


class BoxParameters(NamedTuple):
    """Parameters of one class: length of the step filter in seconds, and the two limits of merging (`boxes`).

    The step filter measures the change of the posterior at a frame border: the mean over half its length after the
    border minus that over half before it. A gap or an event is kept if either limit says so.

    The defaults are values that other systems use (which ones is not recorded); `Csebbs.grid` has the candidates of
    tuning.
    """

    filter_seconds: float = 0.64
    absolute: float = 0.3
    relative: float = 3.0


BOXES = BoxParameters()


@dataclass(frozen=True)
class Csebbs(PerClass[BoxParameters]):
    """Post-processing step (`Step`) that replaces scores by each box's confidence inside it and 0 elsewhere."""

    name: ClassVar[str] = "csebbs"
    title: ClassVar[str] = "bounding boxes"
    meaning: ClassVar[str] = "one value per detected stretch"
    options: ClassVar[Sequence[ClassOption]] = (  # in the order of BoxParameters
        ClassOption(
            name="csebbs-filter", help="cSEBBs: length of the step filter in seconds", default=BOXES.filter_seconds
        ),
        ClassOption(
            name="csebbs-absolute",
            help="cSEBBs: a gap is kept if its mean posterior is lower than that of the higher event beside it by at "
            "least this difference, an event if it is as much higher than the lower gap",
            default=BOXES.absolute,
            most=1.0,
        ),
        ClassOption(
            name="csebbs-relative",
            help="cSEBBs: a gap is also kept if its mean posterior is lower than that of the higher event beside it by "
            "at least this factor, an event if it is as much higher than the lower gap",
            default=BOXES.relative,
            least=1.0,
        ),
    )
    needs_clip: ClassVar[bool] = False
    is_rank_filter: ClassVar[bool] = False
    # The defaults first, since tuning gives the first candidate to classes without events; then a grid by hand.
    grid: ClassVar[Sequence[Any]] = (
        BOXES,
        *itertools.starmap(
            BoxParameters, itertools.product((0.32, 0.48, 0.64, 0.96), (0.1, 0.2, 0.3, 0.4), (1.5, 2, 3))
        ),
    )

    @classmethod
    def resolve(cls, args: argparse.Namespace, labels: Sequence[str], stored: Csebbs | None = None) -> Csebbs:
        """Build from the options; numbers that they do not give are those of `stored`, or else the default.

        Args:
            args: the parsed options.
            labels: the classes.
            stored: the step as stored with a model; None if there is none.

        Returns:
            The step.

        Raises:
            UserError: an unknown label, no number, or one out of range.
        """
        kept = stored.by_label if stored is not None else dict.fromkeys(labels, BOXES)
        columns = []
        for place, option in enumerate(cls.options):
            column = {label: kept[label][place] for label in labels}
            given = option.given(args, labels, column)
            columns.append(column if given is None else given)
        return cls({label: BoxParameters(*(column[label] for column in columns)) for label in labels})

    def apply(self, scores: FrameScores) -> FrameScores:
        """Return the boxes as scores, on frames of unequal length: from each border of any class's box to the next."""
        from sed.evaluation.postprocessing.boxes import bounding_boxes

        return bounding_boxes(scores, self.by_label)

    def reach(self, frame_seconds: float) -> int:
        """Return the number of frames in `REACH_SECONDS`, although boxes are merged over any distance.

        Pieces of a long recording may give other boxes than the whole where a merged event or gap is longer.
        """
        return round(REACH_SECONDS / frame_seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return {"csebbs": {label: {parameter: number}}}."""
        return {self.name: {label: box._asdict() for label, box in self.by_label.items()}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], labels: Sequence[str]) -> Csebbs:
        """Read what `to_dict` wrote; ValueError for numbers that the options would refuse."""
        boxes = {label: BoxParameters(**stored[cls.name][label]) for label in labels}
        for box in boxes.values():
            for option, value in zip(cls.options, box, strict=True):
                option.checked(value)
        return cls(boxes)
