from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from sed.evaluation.pipeline import PostProcessing
from sed.log import UserError
from sed.prediction.centring import Centring
from sed.prediction.predictor import Output
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.settings import decisions
from sed.prediction.windows import WindowPlan

RATE, FRAME = 1600, 16  # 10 ms frames


class Loudness:
    """A detector that hears loudness with 0.3 s of context to either side, and nothing beyond its window.

    So it is wrong near a window's ends, as real ones are.
    """

    labels = ("loud",)
    rate, samples, min_samples = RATE, 10 * RATE, FRAME
    frames, frame_seconds, encoder_seconds, feature_seconds = 1000, 0.01, 0.1, 0.01

    def __init__(self):
        self.batches = []

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        self.batches.append(len(waveforms))
        frames = np.zeros((len(waveforms), 1000, 1), np.float32)
        for row, waveform in zip(frames, waveforms, strict=True):
            count = len(waveform) // FRAME
            level = np.abs(waveform[: count * FRAME]).reshape(count, FRAME).mean(1)
            context = uniform_filter1d(level, 61, mode="constant")
            row[:count, 0] = 1 / (1 + np.exp(-12 * (0.8 * level + 0.2 * context - 0.45)))
        return Output(frames, frames.max(1), [np.repeat(row, 4, 1) for row in frames])


POST = PostProcessing(
    steps=["weak_mask", "median"], median={"loud": 0.05}, maximum={"loud": 0}, threshold={"loud": 0.5}
)


class Recorder(BaseSink):
    def __init__(self):
        self.posterior_frames, self.logmel_frames, self.heard, self.result, self.abandoned = [], [], [], None, False

    def audio(self, samples):
        self.heard.append(samples)

    def posteriors(self, frames):
        self.posterior_frames.append(frames)

    def logmel(self, frames):
        self.logmel_frames.append(frames)

    def finish(self, result):
        self.result = result

    def abandon(self):
        self.abandoned = True


def predict(recordings, overlap=None, batch_size=4, block=999, model=None, centred=False):
    model = model or Loudness()
    plan = WindowPlan.overlapping(samples=model.samples, frame_seconds=0.01, rate=RATE, frames=1000, overlap=overlap)
    sinks = [Recorder() for _ in recordings]
    problems = []

    def blocks(audio):
        for at in range(0, len(audio), block):
            if np.isnan(audio[at : at + block]).any():
                raise UserError("broken")
            yield audio[at : at + block]

    def tracks():
        for i, (audio, sink) in enumerate(zip(recordings, sinks, strict=True)):
            track = Track(
                str(i),
                plan=plan,
                predictor=model,
                decisions=decisions(POST, model.labels, 0.01, piece=300),
                sink=sink,
                centring=Centring(plan=plan, predictor=model, scout=decisions(POST, model.labels, 0.01, piece=300))
                if centred
                else None,
            )
            yield track, lambda track, audio=audio: plan.cut(track.heard(blocks(audio)))

    run(
        tracks(),
        model,
        batch_size=batch_size,
        report=lambda track, problem: problems.append((track.result.name, problem)),
    )
    return sinks, problems, model


def burst(onset, length, total):
    audio = np.full(round(total * RATE), 0.01, np.float32)
    audio[round(onset * RATE) : round((onset + length) * RATE)] = 1
    return audio


@pytest.mark.parametrize(
    "length", [pytest.param(0.25, marks=pytest.mark.slow), 1.0, pytest.param(3.5, marks=pytest.mark.slow)]
)
def test_an_event_across_a_window_border_is_one_event_in_its_place(length):
    """At every offset of 10 ms over the borders of windows [0, 10), [6, 16), [12, 22)."""
    middle = predict([burst(4, length, 26)])[0][0].result.detections[0].event
    onsets = np.arange(round((5.9 - length) * 100), 1010) / 100
    sinks, _, _ = predict([burst(onset, length, 26) for onset in onsets])
    for onset, sink in zip(onsets, sinks, strict=True):
        assert len(sink.result.detections) == 1, onset
        event = sink.result.detections[0].event
        assert abs(event.onset - onset - (middle.onset - 4)) <= 0.02 + 1e-9, onset
        assert abs(event.offset - onset - (middle.offset - 4)) <= 0.02 + 1e-9, onset


def test_what_sinks_get_covers_the_recording_once():
    audio = np.random.default_rng(0).uniform(-1, 1, round(43.21 * RATE)).astype(np.float32)
    (sink,), problems, _ = predict([audio])
    assert problems == [("0", None)]
    np.testing.assert_array_equal(np.concatenate(sink.heard), audio)
    assert sink.result.seconds == pytest.approx(43.21)
    posteriors = np.concatenate(sink.posterior_frames)
    assert len(posteriors) == 3600 + 1000  # windows at 0, 6 ... 36
    assert (posteriors[:4321] > 0).all() and (posteriors[4321:] == 0).all()
    assert len(np.concatenate(sink.logmel_frames)) == 3600 + 1000


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batches_over_recordings_change_nothing(batch_size):
    lengths = [3, 10, 10.01, 0.5, 27, 18, 12]
    recordings = [
        np.random.default_rng(i).uniform(-1, 1, round(s * RATE)).astype(np.float32) for i, s in enumerate(lengths)
    ]
    sinks, _, model = predict(recordings, batch_size=batch_size)
    for audio, sink in zip(recordings, sinks, strict=True):
        (alone,), _, _ = predict([audio], batch_size=1)
        np.testing.assert_array_equal(np.concatenate(sink.posterior_frames), np.concatenate(alone.posterior_frames))
        assert sink.result.detections == alone.result.detections
    assert all(size == batch_size for size in model.batches[:-1])


def test_a_recording_that_breaks_off_harms_no_other():
    bad = np.zeros(30 * RATE, np.float32)
    bad[-5] = np.nan
    recordings = [burst(1, 1, 25), bad, burst(2, 1, 5), np.zeros(3, np.float32)]
    sinks, problems, _ = predict(recordings)
    assert [sink.abandoned for sink in sinks] == [False, True, False, True]
    assert sinks[1].result is None and sinks[0].result.detections and sinks[2].result.detections
    assert dict(problems)["1"] == "broken" and "shorter than" in dict(problems)["3"]
