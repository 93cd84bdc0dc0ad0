"""A detector of loudness, and recordings run through it."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.ndimage import uniform_filter1d

from sed.errors import UserError
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask
from sed.prediction.centring import Centring
from sed.prediction.decisions import Decisions
from sed.prediction.predictor import Immediate, Output
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.windows import WindowPlan

RATE, FRAME = 1600, 16  # samples per second; samples of a frame of 10 ms


class Loudness(Immediate):
    """A detector of loudness with 0.3 s of context to either side, which is silence beyond the window.

    So it is wrong near the ends of a window, as real detectors are.
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
        return Output(frames, frames.max(1), [partial(np.repeat, row, 4, 1) for row in frames])


POST = PostProcessing(steps=[WeakMask(), Median({"loud": 0.05})], threshold=Threshold({"loud": 0.5}))


class Recorder(BaseSink):
    """A sink that keeps everything in memory."""

    uses_logmel = True

    def __init__(self):
        self.posterior_frames, self.logmel_frames, self.samples, self.result, self.abandoned = [], [], [], None, False

    def audio(self, samples):
        self.samples.append(samples)

    def posteriors(self, frames):
        self.posterior_frames.append(frames)

    def logmel(self, frames):
        self.logmel_frames.append(frames)

    def finish(self, result):
        self.result = result

    def abandon(self):
        self.abandoned = True


def predict(recordings, overlap=None, batch_size=4, block=999, model=None, centred=False, advance=None):
    """Run recordings, arrays at `RATE`, through a detector.

    Windows overlap by `overlap` seconds (None: the default). `block` is the number of samples per block that is read; a
    block with NaN stands for a file that cannot be read. `model` is the detector (None: `Loudness`). With `centred`,
    events that windows share are centred. `advance` gets the seconds of recordings that are done.

    Returns:
        The recordings' sinks, (name, error or None) of each finished recording, and the detector.
    """
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
                decisions=Decisions.of(POST, model.labels, 0.01, piece=300),
                sink=sink,
                centring=Centring(plan=plan, predictor=model, scout=Decisions.of(POST, model.labels, 0.01, piece=300))
                if centred
                else None,
            )
            yield track, lambda track, audio=audio: plan.cut(track.passed_on(blocks(audio)))

    run(
        tracks(),
        model,
        batch_size=batch_size,
        report=lambda track, problem: problems.append((track.result.name, problem)),
        advance=advance or (lambda _: None),
    )
    return sinks, problems, model


def burst(onset, length, total):
    """Return a recording with a loud event; all arguments are in seconds."""
    audio = np.full(round(total * RATE), 0.01, np.float32)
    audio[round(onset * RATE) : round((onset + length) * RATE)] = 1
    return audio
