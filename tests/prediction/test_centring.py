from dataclasses import replace

import numpy as np
import pytest
from loudness import POST, RATE, Loudness, burst, predict

from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask
from sed.prediction.centring import Centring
from sed.prediction.decisions import Decisions
from sed.prediction.predictor import Output
from sed.prediction.windows import Join, WindowPlan


class Wandering(Loudness):
    """A model that shifts events away from the window's middle: not at all there, by 0.1 s at the ends."""

    def __call__(self, waveforms):
        frame, clip, logmel = super().__call__(waveforms)
        shifted = np.clip(np.round(500 + (np.arange(1000) - 500) / 1.02).astype(int), 0, 999)
        return Output(frame[:, shifted], clip, logmel)


def farthest(sinks, onsets, length):
    """Return the largest distance of borders from their places mid-window; every recording has one event."""
    (middle,) = predict([burst(5 - length / 2, length, 10)], model=Wandering())[0][0].result.detections
    off = []
    for onset, sink in zip(onsets, sinks, strict=True):
        (found,) = sink.result.detections
        off += [a - onset - (b - 5 + length / 2) for a, b in zip(found.event[:2], middle.event[:2], strict=True)]
    return np.abs(off).max()


@pytest.mark.parametrize(
    "length, step", [*(pytest.param(length, 1, marks=pytest.mark.slow) for length in (0.3, 1.5)), (1.5, 7)]
)
def test_borders_are_those_of_mid_window_at_every_offset_over_a_window_border(length, step):
    """Try events from one that ends just after the start of the window [6, 16) to one that begins before [0, 10) ends.

    Each begins `step` times 10 ms after the one before.
    """
    onsets = np.arange(round((6 - length) * 100) + 1, 1000, step) / 100
    recordings = [burst(onset, length, 26) for onset in onsets]
    assert farthest(predict(recordings, model=Wandering(), overlap=4)[0], onsets, length) > 0.05
    for overlap in (4, None):
        centred = predict(recordings, model=Wandering(), overlap=overlap, centred=True)[0]
        assert farthest(centred, onsets, length) <= 0.02 + 1e-9  # two frames


@pytest.mark.parametrize("step", [0.08, 0.1, 0.4])
def test_windows_start_on_the_encoders_grid(step):
    class Noting(Loudness):
        encoder_seconds = step

        def __init__(self):
            super().__init__()
            self.starts = []

        def __call__(self, waveforms):
            self.starts += [100 * (waveform[0] - sound[0]) for waveform in waveforms]
            return super().__call__(waveforms)

    model = Noting()
    sound = burst(8.13, 0.6, 26) + np.arange(26 * RATE, dtype=np.float32) / RATE / 100  # its samples tell the time
    predict([sound], model=model, overlap=4, centred=True)
    assert len(model.starts) == 5  # windows 0, 6, 12 and 18 s, and the event's
    np.testing.assert_allclose(np.asarray(model.starts) / step, np.rint(np.asarray(model.starts) / step), atol=1e-3)
    # the event's middle, 8.13 + 0.6 / 2, less half a window
    assert min(abs(np.asarray(model.starts) - 3.43)) <= step / 2 + 1e-3


class Placed(Loudness):
    """A model whose posteriors state a frame's place in its window: they fall from the middle to both ends.

    Its clip posterior is higher if an event of any length lies in the window's middle.
    """

    def __call__(self, waveforms):
        self.batches.append(len(waveforms))
        places = 1 - np.abs(np.arange(1000) - 500) / 5000
        levels = np.zeros((len(waveforms), 1000), np.float32)
        for row, waveform in zip(levels, waveforms, strict=True):
            row[: -(-len(waveform) // 16)] = np.where(waveform[::16] > 0.5, 0.9, 0.2)
        clip = np.where(levels[:, 495:505].max(1) > 0.5, 0.9, 0.7).astype(np.float32)
        return Output((levels * places).astype(np.float32)[..., None], clip[:, None], [None] * len(waveforms))


@pytest.mark.parametrize("piece", [1, 300, 4000])  # 4000: the scout finds all events at the recording's end
@pytest.mark.parametrize(
    "onset,offset,seconds,overlap,start",
    [
        (9.5, 10.5, 20, 0, 500),
        (9.34, 10.5, 30, 0, 490),  # the middle, 9.92 s, less half a window is 4.92 s; the grid has 0.1 s
        (9.0, 11.8, 30, 4, 540),
        (17.0, 17.8, 20.004, 2, 1010),  # the first on the grid from which a window reaches the end
        (24.9, 25.7, 40, 5, 2030),
    ],
)
def test_an_event_has_the_posteriors_of_its_own_window_faded_in_around_it(
    piece, onset, offset, seconds, overlap, start
):
    model, audio = Placed(), burst(onset, offset - onset, seconds)
    plan = WindowPlan.overlapping(samples=16000, frame_seconds=0.01, rate=RATE, frames=1000, overlap=overlap)
    post = replace(POST, steps=[Median({"loud": 0.05})])
    centring = Centring(plan=plan, predictor=model, scout=Decisions.of(post, ["loud"], 0.01, piece=piece))
    join, plain, centred = Join(plan, 1), [], []
    for window in plan.cut([audio]):
        frame, clip, _ = model([window.samples])
        plain.append(join.add(window, frame[0], clip[0]))
        centred.append(centring.add(window, plain[-1]))
    before, after = np.concatenate(plain), np.concatenate(centred)
    ((own,), (tag,), _) = model([audio[start * 16 :][:16000]])
    number = np.arange(len(before))
    distance = np.maximum(onset * 100 - number, number - (offset * 100 - 1)).clip(0)
    share = np.interp(distance, [25, 50], [1, 0])[:, None]  # all of it up to 0.25 s from the event, nothing from 0.5 s
    expected = np.zeros_like(before)
    expected[start : start + 1000] = np.concatenate([own, np.broadcast_to(tag, own.shape)], 1)[: len(before) - start]
    np.testing.assert_allclose(after, before + share * (expected - before), atol=1e-6)
    assert np.abs(after - before).max() > 0.01


def noisy(seconds, seed=0):
    """Return noise with bursts of 0.2 to 3 s."""
    rng = np.random.default_rng(seed)
    audio = rng.uniform(0, 0.1, round(seconds * RATE)).astype(np.float32)
    for onset in np.arange(0, seconds, 2.3):
        at = round((onset + rng.uniform(0, 2)) * RATE)
        audio[at : at + round(rng.uniform(0.2, 3) * RATE)] += 0.8
    return audio


@pytest.mark.parametrize("batch_size,block", [(1, 100), (16, 100_000)])
def test_batches_and_blocks_change_nothing(batch_size, block):
    recordings = [noisy(seconds, seed) for seed, seconds in enumerate([61.234, 10, 17.5])]
    kwargs = {"model": Wandering(), "centred": True}
    expected = predict(recordings, **kwargs)[0]
    for sink, other in zip(predict(recordings, batch_size=batch_size, block=block, **kwargs)[0], expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(sink.posterior_frames), np.concatenate(other.posterior_frames))
        assert sink.result.detections == other.result.detections


@pytest.mark.parametrize("seconds", [10.01, 14, 61.234])
def test_posteriors_cover_the_recording_once_and_are_zero_beyond_it(seconds):
    (plain,), (centred,) = (predict([noisy(seconds)], centred=on)[0] for on in (False, True))
    plain, centred = (np.concatenate(sink.posterior_frames) for sink in (plain, centred))
    assert plain.shape == centred.shape
    assert (centred[int(seconds * 100) + 1 :] == 0).all() and (centred[: int(seconds * 100)] > 0).all()
    # this model responds the same everywhere but at a window's ends
    np.testing.assert_allclose(centred, plain, atol=1e-5)


@pytest.mark.parametrize("onset,length,total", [(2, 3, 10), (0.2, 1.5, 30), (3, 9.5, 30), (3, 40, 60)])
def test_events_in_one_window_only_and_those_as_long_as_one_are_not_centred(onset, length, total):
    sinks, models = [], []
    for centred in (False, True):
        (sink,), _, model = predict([burst(onset, length, total)], model=Wandering(), centred=centred)
        sinks.append(sink)
        models.append(model)
    np.testing.assert_array_equal(*(np.concatenate(sink.posterior_frames) for sink in sinks))
    assert models[0].batches == models[1].batches


class Two(Wandering):
    labels = ("loud", "steady")

    def __call__(self, waveforms):
        frame, clip, logmel = super().__call__(waveforms)
        steady = np.random.default_rng(len(self.batches)).uniform(0, 0.4, frame.shape).astype(np.float32)
        return Output(np.concatenate([frame, steady], 2), np.concatenate([clip, clip], 1), logmel)


def posteriors(model, audio):
    """Return posteriors as joined, as centred, and the most rows and samples held on the way.

    A joined frame is simply that of the last window that covers it.
    """
    plan = WindowPlan.overlapping(samples=model.samples, frame_seconds=0.01, rate=RATE, frames=1000)
    post = replace(
        POST,
        steps=[WeakMask(), Median(dict.fromkeys(model.labels, 0.05))],
        threshold=Threshold(dict.fromkeys(model.labels, 0.5)),
    )
    centring = Centring(plan=plan, predictor=model, scout=Decisions.of(post, model.labels, 0.01, piece=300))
    plain, out, rows, sound = [], [], 0, 0
    start = 0
    for window in plan.cut([audio]):
        end = None if window.next_first is None else window.next_first - window.start
        frame, clip, _ = model([window.samples])
        values = np.concatenate([frame[0], np.broadcast_to(clip[0], frame[0].shape)], 1)[start - window.start : end]
        start += len(values)
        plain.append(values)
        out.append(centring.add(window, values))
        rows, sound = max(rows, len(centring._rows)), max(sound, len(centring._audio))
    return np.concatenate(plain), np.concatenate(out), rows, sound


def test_only_the_events_label_is_taken_from_its_window():
    plain, centred, _, _ = posteriors(Two(), burst(7.5, 1.5, 26))
    np.testing.assert_array_equal(centred[:, [1, 3]], plain[:, [1, 3]])
    assert not np.array_equal(centred[:, 0], plain[:, 0])


@pytest.mark.parametrize("audio", [noisy(600), burst(1, 600, 600)], ids=["bursts", "loud all along"])
def test_what_is_held_is_bounded(audio):
    _, _, rows, sound = posteriors(Loudness(), audio)
    assert rows < 3000 and sound < 40 * RATE  # of 60,000 frames, and 600 s
