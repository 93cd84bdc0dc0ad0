"""Pictures of posteriors above ground truth: colours where they belong, and drawing changes no trained weight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_training import trainer_of

from sed.training.pictures import GAP, NAMES, POSTERIOR, ROW, TRUTH, UNKNOWN, WIDTH, draw, spread


@pytest.mark.parametrize(
    "clips,count,rows", [(10, 2, [0, 9]), (10, 3, [0, 4, 9]), (2, 5, [0, 1]), (1, 1, [0]), (0, 2, []), (5, 0, [])]
)
def test_clips_are_spread_over_the_set(clips: int, count: int, rows: list[int]) -> None:
    assert spread(clips, count) == rows


def test_strips_show_posteriors_and_truth_where_they_are() -> None:
    posteriors, truth = np.zeros((100, 2), np.float32), np.zeros((100, 2), np.float32)
    posteriors[20:40, 0], truth[60:80, 1], truth[90:, 1] = 1, 1, np.nan
    image = draw(posteriors, truth, ["Dog", "鳥"])  # a label that the font lacks is no error
    assert image.shape == (2 * (2 * ROW + GAP), NAMES + WIDTH, 3) and image.dtype == np.uint8

    def strip(label: int, below: bool) -> np.ndarray:
        return image[label * (2 * ROW + GAP) + below * ROW + ROW // 2, NAMES:]

    white = np.full(3, 255)
    for label, below, colour, where in (  # 5 columns per frame
        (0, False, POSTERIOR, slice(100, 200)),
        (1, True, TRUTH, slice(300, 400)),
        (1, True, UNKNOWN, slice(450, 500)),
    ):
        assert (strip(label, below)[where] == colour).all()
    assert (strip(0, False)[200:] == white).all() and (strip(0, True) == white).all()
    assert (image[:, :NAMES] < 128).any()  # the names
    half = draw(posteriors / 2, truth, ["Dog", "Cat"])[ROW // 2, NAMES + 150]
    assert all(min(one, 255) < value < 255 for one, value in zip(POSTERIOR, half, strict=True))


@pytest.mark.thorough
def test_a_training_shows_pictures_in_tensorboard_and_learns_the_same_as_without(
    dump: Path, tiny_config: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    finals = []
    for pictures in (0, 2):
        options = {"valid_set": "synth_valid", "loggers": ["tensorboard"], "log_pictures": pictures}
        config = tiny_config(**options, head_dropout=0.2)  # a teacher left in evaluation mode has no dropout
        trainer_of(config, dump, tmp_path / str(pictures)).run()
        finals.append(torch.load(tmp_path / str(pictures) / "final.pt", weights_only=True)["teacher"])
        events = EventAccumulator(str(tmp_path / str(pictures) / "tensorboard"), size_guidance={"images": 0})
        events.Reload()
        tags = events.Tags()["images"]
        assert len(tags) == pictures and all(tag.startswith("posteriors/") for tag in tags)
        assert all([image.step for image in events.Images(tag)] == [6, 12] for tag in tags)
        assert [event.step for event in events.Scalars("valid/score")] == [6, 12]
    assert all(torch.equal(finals[0][name], finals[1][name]) for name in finals[0])
