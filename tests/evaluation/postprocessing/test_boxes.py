import itertools

import numpy as np
import pytest

from sed.data.scores import Scores
from sed.evaluation.metrics.decode import decode_one
from sed.evaluation.postprocessing.boxes import _boxes, _candidates, bounding_boxes
from sed.evaluation.postprocessing.csebbs import BoxParameters


def boxes_of(values, frame_seconds=0.02, **parameters):
    """Return the boxes [(onset in s, offset in s, confidence)] of the posteriors (frames,) of one clip and class."""
    values = np.asarray(values, np.float32)
    scores = Scores(
        clips=["c"], labels=["a"], frame=values[None, :, None], clip=values.max(keepdims=True)[:, None],
        frame_seconds=frame_seconds,
    )  # fmt: skip
    made = bounding_boxes(scores.flat(), {"a": BoxParameters(**parameters)})
    found = decode_one(made, 0.0)
    level = [float(made.values[(made.onset >= a) & (made.offset <= b), 0].max()) for a, b in zip(
        found.onset, found.offset, strict=True)]  # fmt: skip
    return list(zip(found.onset.tolist(), found.offset.tolist(), level, strict=True))


def bump(frames, centre, width, height):
    """Return a raised cosine (frames,) over 2 * `width` frames around `centre`.

    It is the posterior that a smooth model gives of an event of `width` frames, its extent at half height.
    """
    x = (np.arange(frames) + 0.5 - centre) / width
    return np.where(np.abs(x) < 1, height * 0.5 * (1 + np.cos(np.pi * x)), 0.0)


def test_cosine_bumps_have_borders_at_half_height_whatever_the_height():
    frames, dt = 500, 0.02
    for height in (0.1, 0.5, 1.0):  # a threshold would give every height another extent
        values = bump(frames, 120, 40, height) + bump(frames, 320, 80, 0.6 * height)
        found = boxes_of(values, dt, filter_seconds=0.48, absolute=0.2, relative=2.0)
        borders = [(onset, offset) for onset, offset, _ in found]
        np.testing.assert_allclose(borders, [(2.0, 2.8), (5.6, 7.2)], atol=dt)


@pytest.mark.parametrize("seed", range(5))
def test_planted_events_under_noise_are_found_within_a_frame(seed):
    rng = np.random.default_rng(seed)
    # in frames; the last event is cut by the clip's end
    dt, planted = 0.01, [(100, 180, 0.9), (300, 500, 0.7), (640, 700, 0.5), (900, 1000, 0.8)]
    values = np.full(1000, 0.05)
    for begin, end, height in planted:
        values[begin:end] = height
    values = np.clip(values + 0.03 * rng.standard_normal(1000), 0, 1)
    found = [box for box in boxes_of(values, dt, filter_seconds=0.3, absolute=0.2, relative=2.0) if box[2] > 0.3]
    np.testing.assert_allclose([box[:2] for box in found], [(a * dt, b * dt) for a, b, _ in planted], atol=dt + 1e-9)
    np.testing.assert_allclose([box[2] for box in found], [height for *_, height in planted], atol=0.03)


def test_a_shallow_gap_merges_and_a_deep_one_does_not():
    values = np.zeros(300)
    values[50:100], values[100:120], values[120:200] = 0.8, 0.65, 0.8
    assert len(boxes_of(values, absolute=0.2, relative=2.0)) == 1
    assert len(boxes_of(values, absolute=0.1, relative=2.0)) == 2
    assert len(boxes_of(values, absolute=0.2, relative=1.1)) == 2
    values[100:120] = 0.1
    assert len(boxes_of(values, absolute=0.2, relative=2.0)) == 2


def test_events_and_gaps_keep_their_places_after_a_rise_too_small_to_count():
    values = np.zeros(100)
    values[:3] = [0.9e-9, 1.8e-9, 2.7e-9]  # each change is below the limit, and the fall after them is above it
    values[50:70] = 0.75
    assert boxes_of(values, filter_seconds=0.04) == [(1.0, 1.4, 0.75)]


def test_silence_has_no_boxes_and_a_constant_one_box():
    assert boxes_of(np.zeros(50)) == []
    assert boxes_of(np.full(50, 0.5)) == [(0.0, 1.0, 0.5)]


@pytest.mark.parametrize("seconds", [1e9, 1e300])
def test_a_filter_longer_than_the_clip_is_no_error(seconds):
    assert boxes_of(bump(100, 50, 20, 0.9), filter_seconds=seconds) == []  # every change is negligible


def test_a_faint_event_in_silence_stays_a_box():
    values = np.zeros(300)
    values[50:100], values[150:250] = 0.9, 0.05
    assert [round(box[2], 3) for box in boxes_of(values)] == [0.9, 0.05]


def merged_step_by_step(values, borders, absolute, relative):
    """Return the boxes (begin, end) in frames that rule 3 of the module leaves; each merge searches all segments."""
    borders = list(borders)
    while True:
        means = [values[a:b].mean() if b > a else None for a, b in itertools.pairwise(borders)]
        choices = []
        for i in range(1, len(means) - 1):
            around = [mean for mean in (means[i - 1], means[i + 1]) if mean is not None]
            is_event = i % 2 == 1
            if not around:
                continue
            low, high = (min(around), means[i]) if is_event else (means[i], max(around))
            if high - low < absolute and high < relative * low:
                choices.append((len(around) < 2, high - low, i))  # events with one gap come last
        if not choices:
            return list(zip(borders[1::2], borders[2::2], strict=False))
        place = min(choices)[2]
        del borders[place : place + 2]


@pytest.mark.parametrize("seed", range(20))
def test_merging_is_that_of_a_search_of_all_segments(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, 80) / 8  # sums of eighths are exact, so that equal contrasts are equal
    values[rng.random(80) < 0.2] = 0
    half, absolute, relative = 1, rng.choice([0.1, 0.3, 0.6]), rng.choice([1.5, 3.0, 20.0])
    sums = np.concatenate([[0.0], np.cumsum(values)])
    expected = merged_step_by_step(values, _candidates(sums, half), absolute, relative)
    _, begin, end, confidence = _boxes(values[:, None], *(np.array([one]) for one in (half, absolute, relative)))
    assert list(zip(begin.tolist(), end.tolist(), strict=True)) == expected
    np.testing.assert_allclose(confidence, [values[a:b].mean() for a, b in expected])
