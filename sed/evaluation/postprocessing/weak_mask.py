"""Weak masking: a class whose clip posterior is low is not detected in any frame of the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from sed.errors import UserError

if TYPE_CHECKING:
    import argparse

    from sed.data.scores import FrameScores
    from sed.evaluation.postprocessing.class_option import ClassOption


@dataclass(frozen=True)
class WeakMask:
    """Post-processing step (`Step`) that rejects a class in a clip unless its clip posterior is above the threshold.

    This is as in FDY-SED (source F of egs/desed/README.md), and for all thresholds at once: the lower of frame and clip
    posterior exceeds a threshold exactly if both do.
    """

    name: ClassVar[str] = "weak_mask"
    title: ClassVar[str] = "weak masking"
    meaning: ClassVar[str] = "no frame above its clip's posterior"
    options: ClassVar[Sequence[ClassOption]] = ()
    needs_clip: ClassVar[bool] = True
    is_rank_filter: ClassVar[bool] = False

    @classmethod
    def resolve(  # the interface
        cls,
        args: argparse.Namespace,  # noqa: ARG003
        labels: Sequence[str],  # noqa: ARG003
        stored: WeakMask | None = None,  # noqa: ARG003
    ) -> WeakMask:
        """Return the step; it has no options.

        Args:
            args: unused.
            labels: unused.
            stored: unused.

        Returns:
            The step.
        """
        return cls()

    def apply(self, scores: FrameScores) -> FrameScores:
        """Return the lower of frame and clip posterior in each frame; UserError without clip posteriors."""
        if scores.clip_values is None:
            raise UserError("weak masking needs clip posteriors, which this input lacks (leave out weak_mask)")
        lengths = np.diff(scores.start)
        return scores.with_values(np.minimum(scores.values, np.repeat(scores.clip_values, lengths, axis=0)))

    def reach(self, frame_seconds: float) -> int:  # noqa: ARG002 (the interface)
        """Return 0: frames are treated one by one."""
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Return an empty dictionary: the step has no parameters."""
        return {}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], labels: Sequence[str]) -> WeakMask:  # noqa: ARG003 (the interface)
        """Return the step."""
        return cls()
