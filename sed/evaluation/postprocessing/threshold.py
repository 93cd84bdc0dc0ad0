"""The decision after all steps: a class is active in the frames whose score is above its threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sed.evaluation.postprocessing.class_option import ClassOption
from sed.evaluation.postprocessing.step import OneNumber

if TYPE_CHECKING:
    from sed.data.scores import FrameScores
    from sed.evaluation.metrics.events import EventTable

DEFAULT = 0.5


@dataclass(frozen=True)
class Threshold(OneNumber):
    """One threshold for each class. PSDS and other areas under curves use many thresholds and do not depend on it."""

    name: ClassVar[str] = "threshold"
    key: ClassVar[str] = "threshold"
    options: ClassVar[Sequence[ClassOption]] = (
        ClassOption(
            name="threshold",
            help="decision threshold, which F1 and the written events depend on: one number, or label=threshold,...",
            default=DEFAULT,
            most=1.0,
        ),
    )

    def with_values(self, values: Mapping[str, float], labels: Sequence[str]) -> Threshold:
        """Return the thresholds with those in `values` {label: number} replaced; `*` replaces all not named."""
        (option,) = self.options
        return Threshold(option.by_label(values if "*" in values else {**self.by_label, **values}, labels))

    def decide(self, scores: FrameScores) -> EventTable:
        """Return the events of post-processed scores."""
        from sed.evaluation.metrics.decode import decode_one

        return decode_one(scores, [self.by_label[label] for label in scores.labels])
