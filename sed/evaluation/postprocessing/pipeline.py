"""Post-processing as a sequence of steps and the decision after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sed.errors import UserError
from sed.evaluation.postprocessing.step import Step
from sed.evaluation.postprocessing.threshold import Threshold

if TYPE_CHECKING:
    from sed.data.scores import FrameScores


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Steps in order and the thresholds, with parameters for each label.

    tuned_on: description of the set that the parameters were tuned on; None if they were not tuned.
    """

    steps: Sequence[Step] = ()
    threshold: Threshold
    tuned_on: str | None = None

    @property
    def names(self) -> list[str]:
        """Names of the steps in order."""
        return [step.name for step in self.steps]

    def apply(self, scores: FrameScores) -> FrameScores:
        """Run the steps in order, one block of clips at a time, which limits the copies that the steps make.

        Scores that are mapped from a file, as large ones are, are released block by block, so that memory does not hold
        both them and the result.

        Raises:
            UserError: a step needs clip posteriors, and the scores have none.
        """
        from sed.data.scores import BLOCK, FrameScores, release

        for steps in self._on_the_same_frames():
            parts = []
            for block in scores.blocks(BLOCK):
                done = block
                for step in steps:
                    done = step.apply(done)
                parts.append(done)
                release(block.values)
            scores = FrameScores.joined(parts)
        return scores

    def _on_the_same_frames(self) -> list[list[Step]]:
        """Return the steps in groups, each ended by a step that may change the frames.

        Steps take the usual length of a frame from the frames of all clips (`FrameScores.frame_seconds`). So a
        step after one that may change the frames runs only when all blocks have been through the earlier one. Rank
        filters and steps that need clip posteriors keep the frames (`Step`).
        """
        groups: list[list[Step]] = [[]]
        for step in self.steps:
            groups[-1].append(step)
            if not (step.needs_clip or step.is_rank_filter):
                groups.append([])
        return [group for group in groups if group]

    def thresholds(self, labels: Sequence[str]) -> list[float]:
        """Return the decision threshold of each label."""
        return [self.threshold.by_label[label] for label in labels]

    def reach(self, frame_seconds: float) -> int:
        """Return how many frames on either side a frame's decision depends on; UserError if it depends on all."""
        total = 0
        for step in self.steps:
            frames = step.reach(frame_seconds)
            if frames is None:
                raise UserError(f"prediction cannot apply {step.name}, which needs whole recordings (leave it out)")
            total += frames
        return total

    def with_step(self, step: Step) -> PostProcessing:
        """Return the pipeline with `step` replacing the step of the same name."""
        return replace(self, steps=[step if other.name == step.name else other for other in self.steps])

    def split(self) -> tuple[PostProcessing, PostProcessing]:
        """Split into the steps that need clip posteriors, to be applied first, and the others.

        Returns:
            Both pipelines; applied one after the other they give the same as this one.

        Raises:
            UserError: a step that needs clip posteriors comes after one that it does not commute with.
        """
        first = [step for step in self.steps if step.needs_clip]
        rest = [step for step in self.steps if not step.needs_clip]
        for place, step in enumerate(self.steps):
            before = [other.name for other in self.steps[:place] if not (other.needs_clip or other.is_rank_filter)]
            if step.needs_clip and before:
                order = ",".join(one.name for one in (*first, *rest))
                raise UserError(f"prediction applies {step.name} before {before[0]} (--post-processing {order})")
        return replace(self, steps=first), replace(self, steps=rest)
