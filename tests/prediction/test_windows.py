import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.errors import UserError
from sed.prediction.windows import CrossFade, WindowPlan, samples_of

PLAN = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=0.2)  # 10 samples a frame


def blend(plan: WindowPlan, windows, model):
    fade = CrossFade(plan, 1)
    return np.concatenate([fade.add(window, model(window)) for window in windows])


def cut_up(samples, sizes):
    at = 0
    while at < len(samples):
        size = next(sizes)
        yield samples[at : at + size]
        at += size


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 2500), st.integers(1, 700))
def test_windows_are_the_same_for_any_blocks_and_cover_every_sample(count, block):
    samples = np.arange(count, dtype=np.float32)
    windows = list(PLAN.cut(cut_up(samples, iter(lambda: block, None))))
    assert [w.next_ramp for w in windows] == [w.ramp for w in windows[1:]] + [None]
    assert [w.start for w in windows] == [30 * i for i in range(len(windows))]
    for window in windows:
        np.testing.assert_array_equal(window.samples, samples[window.start * 10 :][: len(window.samples)])
        assert len(window.samples) == 500 or window.next_ramp is None
    assert windows[-1].start * 10 + len(windows[-1].samples) == count
    assert len(windows) == 1 or len(windows[-1].samples) > 200  # more than the overlap: it brings something new


def test_one_window_comes_through_to_the_bit():
    values = np.random.default_rng(0).random((50, 1), np.float32)
    for count in (1, 300, 500):
        windows = list(PLAN.cut([np.zeros(count, np.float32)]))
        assert len(windows) == 1
        np.testing.assert_array_equal(blend(PLAN, windows, lambda _: values), values)


@pytest.mark.parametrize("overlap", [0, 0.01, 0.02, 0.1, 0.25])
@pytest.mark.parametrize("count", [1, 500, 501, 999, 2000, 2345])
def test_shares_add_up_to_one(overlap, count):
    plan = WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=overlap)
    windows = list(plan.cut([np.zeros(count, np.float32)]))
    ones = blend(plan, windows, lambda _: np.ones((50, 1), np.float32))
    assert len(ones) == windows[-1].start + 50
    np.testing.assert_allclose(ones, 1, atol=1e-6)


@pytest.mark.parametrize("hop,lookahead", [(0.05, 0.1), (0.1, 0), (0.2, 0.3), (0.01, 0.2)])
@pytest.mark.parametrize("count", [7, 100, 499, 1500, 2345])
def test_live_windows_end_with_the_stream_and_share_every_frame(hop, lookahead, count):
    plan = WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=hop, lookahead=lookahead)
    samples = np.arange(count, dtype=np.float32)
    windows = list(plan.grow(cut_up(samples, iter(lambda: 13, None))))
    for window in windows:
        np.testing.assert_array_equal(window.samples, samples[window.start * 10 :][: len(window.samples)])
    assert windows[-1].start * 10 + len(windows[-1].samples) == count
    # values that say which frame they are: a blend of equal values is that value, whatever the shares
    frames = blend(plan, windows, lambda w: np.arange(w.start, w.start + 50, dtype=np.float32)[:, None])
    np.testing.assert_allclose(frames[:, 0], np.arange(len(frames)), rtol=1e-4)
    assert len(frames) * 10 >= count


def test_windows_say_nothing_of_their_outermost_frames():
    windows = list(PLAN.cut([np.zeros(2000, np.float32)]))

    def wrong_at_the_ends(_):
        values = np.ones((50, 1), np.float32)
        values[:5] = values[-5:] = 1000
        return values

    blended = blend(PLAN, windows, wrong_at_the_ends)
    np.testing.assert_allclose(blended[5:-5], 1, atol=1e-5)


def test_impossible_plans_are_refused():
    with pytest.raises(UserError, match="by 0 to half"):
        WindowPlan.overlapping(samples=500, frame_seconds=0.01, rate=1000, frames=50, overlap=0.3)
    with pytest.raises(UserError, match="exceed"):
        WindowPlan.live(samples=500, frame_seconds=0.01, rate=1000, frames=50, hop=0.3, lookahead=0.3)
    with pytest.raises(UserError, match="whole samples"):
        samples_of(0.01, 11025)
