import itertools
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sed.errors import UserError
from sed.prediction.windows import Join, WindowPlan, samples_of

PLAN = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=0.2)  # 10 samples/frame


def joined(plan: WindowPlan, windows, model, clip=lambda _: np.zeros(1)):
    """Return (frames, 2): frame posteriors of one class, and the clip posteriors that mask them."""
    join = Join(plan, 1)
    return np.concatenate([join.add(window, model(window), clip(window)) for window in windows])


def cut_up(samples, sizes):
    at = 0
    while at < len(samples):
        size = next(sizes)
        yield samples[at : at + size]
        at += size


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 2500), st.integers(1, 700))
@example(800, 800)  # two windows in one block, the second of which is full and the last
def test_windows_are_the_same_for_any_blocks_and_cover_every_sample(count, block):
    samples = np.arange(count, dtype=np.float32)
    windows = list(PLAN.cut(cut_up(samples, iter(lambda: block, None))))
    assert [w.next_first for w in windows] == [w.first for w in windows[1:]] + [None]
    assert [w.start for w in windows] == [30 * i for i in range(len(windows))]
    for window in windows:
        np.testing.assert_array_equal(window.samples, samples[window.start * 10 :][: len(window.samples)])
        assert len(window.samples) == 500 or window.next_first is None
    assert windows[-1].start * 10 + len(windows[-1].samples) == count
    assert len(windows) == 1 or len(windows[-1].samples) > 200  # more than the overlap: it brings something new


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 2500), st.integers(1, 700), st.sampled_from([0, 0.16, 0.32]))
def test_windows_whose_last_frame_is_not_whole_cover_every_sample(count, block, overlap):
    plan = WindowPlan.overlapping(samples=500, frame_seconds=0.016, rate=1000, frames=32, overlap=overlap)
    samples = np.arange(count, dtype=np.float32)
    windows = list(plan.cut(cut_up(samples, iter(lambda: block, None))))
    assert windows[-1].next_first is None and windows[-1].start * 16 + len(windows[-1].samples) == count
    for window, following in itertools.pairwise(windows):
        np.testing.assert_array_equal(window.samples, samples[window.start * 16 :][:500])
        assert following.start * 16 <= window.start * 16 + 500
    posteriors = joined(plan, windows, lambda window: np.full((-(-len(window.samples) // 16), 1), 0.5))
    assert (posteriors[:, 0] == 0.5).all() and len(posteriors) == -(-count // 16)


def test_live_windows_whose_last_frame_is_not_whole_are_joined():
    def plan(lookahead):
        live = {"samples": 500, "frame_seconds": 0.016, "rate": 1000, "frames": 32}
        return WindowPlan.live(**live, hop=0.16, lookahead=lookahead)

    samples = np.arange(2000, dtype=np.float32)
    windows = list(plan(0.336).grow(cut_up(samples, iter(lambda: 100, None))))
    for window in windows:  # none is longer than the model's
        np.testing.assert_array_equal(window.samples, samples[window.start * 16 :][: min(500, len(window.samples))])
    assert len(joined(plan(0.336), windows, lambda window: np.zeros((-(-len(window.samples) // 16), 1)))) == 125
    with pytest.raises(UserError, match="together exceed"):
        plan(0.352)


def test_one_window_comes_through_to_the_bit():
    values = np.random.default_rng(0).random((50, 1), np.float32)
    for count in (1, 300, 500):
        windows = list(PLAN.cut([np.zeros(count, np.float32)]))
        assert len(windows) == 1
        rows = joined(PLAN, windows, lambda _: values, lambda _: np.full(1, 0.25))
        np.testing.assert_array_equal(rows, np.concatenate([values, np.full((50, 1), 0.25)], 1))


@pytest.mark.parametrize("overlap", [0, 0.01, 0.02, 0.1, 0.25, 0.4, 0.45])
@pytest.mark.parametrize("count", [1, 500, 501, 999, 2000, 2345])
def test_a_frame_gets_the_highest_of_the_windows_that_cover_it(overlap, count):
    """Its clip posterior is the mean of theirs, weighted by their squares."""
    plan = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=overlap)
    windows = list(plan.cut([np.zeros(count, np.float32)]))
    rng = np.random.default_rng(0)
    said = {window.start: (rng.random((50, 1), np.float32), rng.random(1, np.float32)) for window in windows}
    rows = joined(plan, windows, lambda w: said[w.start][0], lambda w: said[w.start][1])
    assert len(rows) == windows[-1].start + 50
    for t, row in enumerate(rows):
        covering = [one for start, one in said.items() if start <= t < start + 50]
        assert row[0] == max(frame[t - start, 0] for start, (frame, _) in said.items() if start <= t < start + 50)
        clips = [float(clip[0]) for _, clip in covering]
        assert row[1] == pytest.approx(np.average(clips, weights=np.square(clips)), rel=1e-6)


@pytest.mark.thorough
@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5))
def test_what_masks_a_frame_lies_between_the_mean_and_the_highest_of_its_windows(clips):
    plan = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=0.4)
    windows = list(plan.cut([np.zeros(500 + 100 * (len(clips) - 1), np.float32)]))
    said = dict(zip([w.start for w in windows], np.array(clips, np.float32), strict=True))
    mask = joined(plan, windows, lambda _: np.zeros((50, 1), np.float32), lambda w: said[w.start][None])[:, 1]
    shared = mask[10 * (len(clips) - 1) : 50]  # in all windows
    assert (shared == shared[0]).all() and np.mean(clips) <= shared[0] * 1.000001 and shared[0] <= max(clips)
    assert mask[0] == np.float32(clips[0]) and mask[-1] == np.float32(clips[-1])  # in one, to the bit
    sure = 1.0 if 1.0 in clips and set(clips) <= {0.0, 1.0} else None
    assert sure is None or shared[0] == sure  # windows without the label do not outvote those that are sure


def test_rows_are_handed_out_as_soon_as_no_window_is_to_come_for_them():
    join = Join(PLAN, 1)
    windows = list(PLAN.cut([np.zeros(2000, np.float32)]))
    handed = [len(join.add(window, np.ones((50, 1), np.float32), np.ones(1, np.float32))) for window in windows]
    assert handed == [30] * (len(windows) - 1) + [50]


@pytest.mark.parametrize("hop,lookahead", [(0.05, 0.1), (0.1, 0), (0.2, 0.3), (0.01, 0.2)])
@pytest.mark.parametrize("count", [7, 100, 499, 1500, 2345])
def test_live_windows_end_with_the_stream_and_decide_every_frame(hop, lookahead, count):
    plan = WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=hop, lookahead=lookahead)
    samples = np.arange(count, dtype=np.float32)
    windows = list(plan.grow(cut_up(samples, iter(lambda: 13, None))))
    for window in windows:
        np.testing.assert_array_equal(window.samples, samples[window.start * 10 :][: len(window.samples)])
    assert windows[-1].start * 10 + len(windows[-1].samples) == count
    # values that say which frame they are: the highest of equal values is that value
    frames = joined(plan, windows, lambda w: np.arange(w.start, w.start + 50, dtype=np.float32)[:, None])
    np.testing.assert_allclose(frames[:, 0], np.arange(len(frames)), rtol=1e-4)
    assert len(frames) * 10 >= count


def test_a_stream_in_one_block_is_not_copied_for_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=0.1, lookahead=0.1)
    copied, concatenate = 0, np.concatenate

    def counting(arrays: list[np.ndarray]) -> np.ndarray:
        nonlocal copied
        copied += sum(map(len, arrays))
        return concatenate(arrays)

    monkeypatch.setattr(np, "concatenate", counting)
    assert len(list(plan.grow([np.zeros(100_000, np.float32)]))) == 1000
    assert copied < 10 * 100_000  # each hop is copied with the window that it ends: 5 hops


def test_live_windows_say_nothing_of_their_newest_frames():
    plan = WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=0.1, lookahead=0.1)
    windows = list(plan.grow([np.zeros(2000, np.float32)]))
    *most, last = (w.start + len(w.samples) // 10 for w in windows)  # where each ends

    def wrong_at_the_end(window):
        values = np.zeros((50, 1), np.float32)
        values[max(0, len(window.samples) // 10 - 5) :] = 1  # 5 frames: half of the lookahead
        return values

    wrong = joined(plan, windows, wrong_at_the_end)[:, 0]
    assert (wrong[: last - 5] == 0).all() and (wrong[last - 5 :] == 1).all() and most


@pytest.mark.parametrize("hop,lookahead", [(0.05, 0.3), (0.1, 0.1), (0.1, 0.2)])
def test_a_live_window_counts_for_half_of_its_lookahead_and_at_most_a_hop(hop, lookahead):
    plan = WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=hop, lookahead=lookahead)
    windows = list(plan.grow([np.zeros(2000, np.float32)]))
    values = {id(window): 1 - number / 64 for number, window in enumerate(windows)}  # earlier windows have higher ones
    frames = joined(plan, windows, lambda window: np.full((50, 1), values[id(window)], np.float32))[:, 0]
    for t, value in enumerate(frames[:170]):  # of 200; the last window decides its newest frames, too
        ends = [(number + 1) * hop - lookahead + min(lookahead / 2, hop) for number in range(len(windows))]
        earliest = next(number for number, end in enumerate(ends) if round(end * 100) > t)
        assert value == 1 - earliest / 64, t


@pytest.mark.parametrize("overlap", [0, 0.1, 0.2, 0.25, 0.4])
def test_frames_are_shared_if_a_border_is_within_them_or_two_windows_cover_one(overlap):
    plan = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=overlap)
    starts = range(0, 300, plan.hop)
    for begin, end in itertools.combinations(range(130), 2):
        covered = any(sum(start <= t < start + 50 for start in starts) > 1 for t in (begin, end - 1))
        cut = any(begin < border < end for start in starts[1:] for border in (start, start + 50 - plan.hop))
        assert plan.shared(begin, end) == (covered or cut), (begin, end)


@pytest.mark.parametrize("option", ["overlap", "hop", "lookahead"])
def test_lengths_whose_frames_exceed_the_range_of_floats_are_refused(option):
    plan, lengths = (
        (WindowPlan.overlapping, {}) if option == "overlap" else (WindowPlan.live, {"hop": 1, "lookahead": 1})
    )
    with pytest.raises(UserError, match=f"--(live-)?{option} 1e\\+308"):
        plan(samples=500, frame_seconds=0.01, rate=1000, frames=50, **lengths | {option: 1e308})


@pytest.mark.parametrize("frames", [50, 154, 155, 313])  # 0.9 of which are 45, 138.6, 139.5 and 281.7
def test_the_largest_overlap_that_is_named_is_accepted(frames):
    size = {"samples": 10 * frames, "frame_seconds": 0.01, "rate": 1000, "frames": frames}
    with pytest.raises(UserError) as refused:
        WindowPlan.overlapping(**size, overlap=frames * 0.01)
    most = float(re.search(r"overlap by 0 to ([\d.]+) s", str(refused.value))[1])
    plan = WindowPlan.overlapping(**size, overlap=most)
    assert 0 <= 0.9 * frames - plan.common < 1


def test_impossible_plans_are_refused():
    with pytest.raises(UserError, match=r"by 0 to 0\.45 s"):
        WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=0.46)
    with pytest.raises(UserError, match="exceed"):
        WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=0.3, lookahead=0.3)
    sizes = {"samples": 500, "frame_seconds": 0.01, "rate": 1000, "frames": 50, "min_samples": 25}
    for shortest in (25, 30):
        assert WindowPlan.live(**{**sizes, "min_samples": shortest}, hop=0.03, lookahead=0.1).hop == 3
    with pytest.raises(UserError, match=r"^--live-hop 0.02: shorter than the model's 0.025 s"):
        WindowPlan.live(**sizes, hop=0.02, lookahead=0.1)
    with pytest.raises(UserError, match="whole samples"):
        samples_of(0.01, 11025)
