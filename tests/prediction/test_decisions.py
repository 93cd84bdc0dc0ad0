import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.data.scores import Scores
from sed.errors import UserError
from sed.evaluation.metrics.decode import decode_one
from sed.evaluation.postprocessing.boxes import bounding_boxes
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask
from sed.prediction.decisions import Decisions

LABELS = ["a", "b", "c"]
FILTERS = [Median({"a": 0.05, "b": 0.31, "c": 1.13}), Maximum({"a": 0.03, "b": 0.01, "c": 0.11})]
REACH = 113 // 2 + 11 // 2
"""frames to either side that FILTERS depend on: half of the longest median and half of the longest maximum filter"""


def post_processing(mask, thresholds):
    """Return filters, with or without a mask after them, which streaming applies first."""
    steps = [*FILTERS, WeakMask()] if mask else FILTERS
    return PostProcessing(steps=steps, threshold=Threshold(dict(zip(LABELS, thresholds, strict=True))))


def posteriors(rng, count):
    """Return posteriors (count, 3) that rise and fall, so that there are events of all lengths."""
    walk = np.cumsum(rng.normal(0, 0.12, (count, 3)), axis=0)
    return (0.5 + 0.5 * np.sin(walk + rng.uniform(0, 6, 3))).astype(np.float32)


def whole(frame, clip, mask, thresholds):
    """Return the events of the whole recording at once, as stage 5 decides them."""
    scores = Scores(clips=["x"], labels=LABELS, frame=frame[None], clip=clip[None], frame_seconds=0.01).flat()
    post = post_processing(mask, thresholds)
    table = post.threshold.decide(post.apply(scores))
    return sorted((on, off, LABELS[k]) for on, off, k in zip(table.onset, table.offset, table.label, strict=True))


def streamed(frame, clip, mask, thresholds, sizes, piece):
    decisions = Decisions.of(post_processing(mask, thresholds), LABELS, 0.01, piece=piece)
    found, at, held = [], 0, 0
    while at < len(frame):
        size = next(sizes)
        part = frame[at : at + size]
        found += decisions.push(part, np.broadcast_to(clip, part.shape))
        held = max(held, len(decisions._raw))
        at += size
    return found + decisions.finish(), held


@pytest.mark.thorough
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 1500), st.integers(1, 400), st.integers(1, 300), st.booleans())
def test_pieces_give_the_events_of_the_whole(seed, count, size, piece, mask):
    rng = np.random.default_rng(seed)
    frame, clip = posteriors(rng, count), np.array([0.9, 0.4, 0.7], np.float32)
    thresholds = np.array([0.5, 0.3, 0.6])
    found, _ = streamed(frame, clip, mask, thresholds, iter(lambda: size, None), piece)
    assert sorted(tuple(d.event) for d in found) == whole(frame, clip, mask, thresholds)


def test_what_only_raw_posteriors_exceed_is_counted():
    rng = np.random.default_rng(3)
    frame, clip, thresholds = posteriors(rng, 3000), np.array([0.9, 0.2, 0.7], np.float32), np.array([0.5, 0.3, 0.6])
    post = post_processing(True, thresholds)
    decisions = Decisions.of(post, LABELS, 0.01, piece=100)
    seen = []
    decisions.observe = seen.append
    for part in np.array_split(frame, 17):
        decisions.push(part, np.broadcast_to(clip, part.shape))
    decisions.finish()
    scores = Scores(clips=["x"], labels=LABELS, frame=frame[None], clip=clip[None], frame_seconds=0.01).flat()
    processed = post.apply(scores).values
    np.testing.assert_array_equal(np.concatenate(seen), processed)
    wanted = ((frame > thresholds) & (processed <= thresholds)).sum(0)
    np.testing.assert_array_equal(decisions.suppressed, wanted)
    assert wanted[1] == (frame[:, 1] > 0.3).sum() > 0  # the clip is below b's threshold: all is masked


def test_bounding_boxes_in_pieces_are_those_of_the_whole():
    labels = dict.fromkeys(LABELS, BoxParameters())

    def boxes(scores):
        return bounding_boxes(scores, labels)

    rng = np.random.default_rng(5)
    frame = np.full((30_000, 3), 0.02, np.float32)
    for begin in range(300, 29_000, 700):
        frame[begin : begin + rng.integers(40, 500), rng.integers(3)] = rng.uniform(0.3, 1)
    frame += rng.uniform(0, 0.02, frame.shape).astype(np.float32)
    thresholds = np.full(3, 0.5)
    scores = Scores(clips=["x"], labels=LABELS, frame=frame[None], clip=np.ones((1, 3)), frame_seconds=0.01).flat()
    table = decode_one(boxes(scores), thresholds)
    expected = sorted((on, off, LABELS[k]) for on, off, k in zip(table.onset, table.offset, table.label, strict=True))
    decisions = Decisions(  # reach: that of cSEBBs, 60 s
        labels=LABELS, frame_seconds=0.01, mask=None, steps=boxes, reach=6000, thresholds=thresholds, piece=2000
    )
    found = [d for at in range(0, 30_000, 800) for d in decisions.push(frame[at : at + 800], frame[at : at + 800])]
    found += decisions.finish()
    assert sorted(tuple(d.event) for d in found) == expected and len(expected) > 20


def test_score_is_the_mean_posterior_of_the_event():
    frame = posteriors(np.random.default_rng(3), 3000)
    found, _ = streamed(frame, np.ones(3, np.float32), False, np.full(3, 0.5), iter(lambda: 170, None), 256)
    assert len(found) > 20
    for event, score in found:
        rows = frame[round(event.onset * 100) : round(event.offset * 100), LABELS.index(event.label)]
        assert score == pytest.approx(rows.mean(), abs=1e-6)


def test_memory_does_not_grow():
    frame = posteriors(np.random.default_rng(4), 60_000)
    _, held = streamed(frame, np.ones(3, np.float32), True, np.full(3, 0.5), iter(lambda: 800, None), 1000)
    assert held <= 1000 + 800 + 2 * REACH


def test_events_come_as_soon_as_they_are_decided():
    frame = np.zeros((1000, 3), np.float32)
    frame[200:300, 0] = 1
    decisions = Decisions.of(post_processing(False, np.full(3, 0.5)), LABELS, 0.01, piece=1)
    for end in range(10, 1000, 10):
        if decisions.push(frame[end - 10 : end], frame[:10]):
            break
    assert 300 + REACH <= end <= 300 + REACH + 10


def test_a_mask_after_boxes_cannot_be_streamed():
    boxes = Csebbs(dict.fromkeys(LABELS, BoxParameters()))
    post = PostProcessing(steps=[boxes, WeakMask()], threshold=Threshold(dict.fromkeys(LABELS, 0.5)))
    with pytest.raises(UserError, match=r"weak_mask before csebbs \(--post-processing weak_mask,csebbs\)"):
        Decisions.of(post, LABELS, 0.01)
