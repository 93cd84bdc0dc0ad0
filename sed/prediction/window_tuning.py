"""Choose a model's windows: compare settings on long recordings, and keep the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sed.errors import UserError
from sed.prediction.comparison import Remembered, Scorer, predict, sounds_at
from sed.prediction.predictor import Predictor
from sed.prediction.soundscapes import Recording
from sed.prediction.window_settings import WindowSettings
from sed.prediction.windows import OVERLAP

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing


class Measured(NamedTuple):
    """Settings, and their event-based F1 by kind of recordings (such as dense, sparse).

    It is the mean over the classes with true events of F1 from the counts of all recordings of the kind.
    """

    settings: WindowSettings
    f1: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean F1 over the kinds."""
        return sum(self.f1.values()) / len(self.f1)


def candidates(predictor: Predictor, shares: Sequence[float]) -> list[WindowSettings]:
    """Return settings with these overlaps (shares of a window), each with and without centring, the default first.

    Of equal scores `best` takes the first. None as overlap is the default in `WindowSettings`.
    """
    window = predictor.frames * predictor.frame_seconds
    overlaps = [None if share == OVERLAP else share * window for share in sorted(shares, key=lambda s: s != OVERLAP)]
    return [WindowSettings(overlap=one, centre_events=centre) for one in overlaps for centre in (True, False)]


def measure(
    predictor: Predictor,
    post: PostProcessing,
    recordings: Mapping[str, Sequence[Recording]],
    settings: Sequence[WindowSettings],
    *,
    batch_size: int = 32,
) -> list[Measured]:
    """Score settings on long recordings.

    Args:
        predictor: the model.
        post: its post-processing.
        recordings: {kind: recordings}.
        settings: the settings to compare.
        batch_size: windows per batch.

    Returns:
        Each of the settings with its scores, in order.

    Raises:
        UserError: the recordings of a kind have no event.
    """
    found: list[dict[str, float]] = [{} for _ in settings]
    for kind, some in recordings.items():
        remembered, sounds = Remembered(predictor), sounds_at(predictor.rate, some)
        scorer = Scorer(some, predictor.labels, predictor.samples / predictor.rate)
        for scores, one in zip(found, settings, strict=True):
            events = predict(sounds, remembered, post, windows=one, batch_size=batch_size)
            scores[kind] = float(scorer.of_recordings(str(one), events).whole.total().macro())
            if math.isnan(scores[kind]):
                raise UserError(f"{kind}: no event in {len(some)} recordings, so they give no F1 (add events)")
    return [Measured(*pair) for pair in zip(settings, found, strict=True)]


def best(measured: Sequence[Measured]) -> Measured:
    """Return the settings with the highest mean F1, the first if several have it."""
    return max(measured, key=lambda one: one.mean)
