"""Interface of a model for prediction: from waveforms of at most one window to posteriors and log-mel."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from sed.evaluation.inference import silence_padding
from sed.features.units import QUIETEST, decibel, silence
from sed.prediction.window_settings import WindowSettings

if TYPE_CHECKING:
    import torch

    from sed.features.logmel import FrontEnd
    from sed.models.detector import Detector


class Output(NamedTuple):
    """Output of the model for a batch of windows."""

    frame: np.ndarray
    """frame posteriors (windows, frames, classes) float32"""
    clip: np.ndarray
    """clip posteriors (windows, classes) float32"""
    logmel: Sequence[Callable[[], np.ndarray]]
    """functions that return each window's log-mel (its frames, bins), not normalised, at the recording's level (see
    `at_own_level`); only some results show it"""


class Predictor(Protocol):
    """A model that is ready to run; see `TorchPredictor` and `sed.prediction.onnx.OnnxPredictor`."""

    labels: list[str]
    rate: int
    """sampling rate of the waveforms in Hz"""
    samples: int
    """samples of the longest waveform: a clip of the training"""
    min_samples: int
    """samples of the shortest waveform that has a frame of log-mel"""
    frames: int
    """frames of posteriors per window"""
    frame_seconds: float
    """length of a frame of posteriors"""
    encoder_seconds: float
    """length of a frame of the encoder's output, which the decoder may repeat"""
    feature_seconds: float
    """time from one frame of the log-mel to the next"""
    bin_hertz: list[float] | None
    """centre of each bin of the log-mel in Hz; None in older ONNX files"""
    windows: WindowSettings
    """settings for longer recordings, as stored with the model"""
    concurrent: bool
    """whether `begin` returns before the output is computed"""

    def begin(self, waveforms: Sequence[np.ndarray]) -> Callable[[], Output]:
        """Begin to compute; return a function that waits for the output.

        Args:
            waveforms: of each window, (its samples,) float32 in [-1, 1] at `rate`, `min_samples` to `samples` of them.
        """
        ...

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        """Return the output for waveforms as in `begin`."""
        ...


def window_geometry(predictor: Predictor) -> dict[str, Any]:
    """Return the properties of a model that a `WindowPlan` depends on, as its keyword arguments."""
    return {
        "samples": predictor.samples,
        "frame_seconds": predictor.frame_seconds,
        "rate": predictor.rate,
        "frames": predictor.frames,
    }


def predict_windows(predictor: Predictor, waveforms: Sequence[np.ndarray]) -> Output:
    """Run the model on windows and set the posteriors after the end of each to 0.

    Windows shorter than the model takes, which end a recording if windows hardly overlap, are padded with zeros.
    """
    return begin_windows(predictor, waveforms)()


def begin_windows(predictor: Predictor, waveforms: Sequence[np.ndarray]) -> Callable[[], Output]:
    """Begin `predict_windows`; return a function that waits for its result."""
    missing = [max(0, predictor.min_samples - len(waveform)) for waveform in waveforms]
    padded = [np.pad(one, (0, count)) if count else one for one, count in zip(waveforms, missing, strict=True)]
    seconds = np.array([len(waveform) / predictor.rate for waveform in waveforms])
    wait = predictor.begin(padded)

    def finish() -> Output:
        output = wait()
        silence_padding(output.frame, seconds, predictor.frame_seconds)
        return output

    return finish


class Immediate:
    """Base class of a predictor that computes before it returns."""

    concurrent = False

    def begin(self, waveforms: Sequence[np.ndarray]) -> Callable[[], Output]:
        """Compute; return a function that returns the output."""
        output = self(waveforms)
        return lambda: output

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        """Return the model's output for waveforms."""
        raise NotImplementedError


def bin_hertz(front_end: FrontEnd) -> list[float]:
    """Return the centre of gravity of each of a front end's mel filters, in Hz."""
    bank = front_end.bank.cpu().double()  # (FFT bins, mel bins); a GPU would load kernels for it
    # Frequency of each FFT bin: 0, 1, 2, ... times the rate over the FFT's size. Not torch.arange: this module does
    # without importing torch.
    hertz = (bank.new_ones(len(bank)).cumsum(0) - 1) * front_end.sample_rate / front_end.fft_size
    return (hertz @ bank / bank.sum(0).clamp_min(1e-12)).tolist()  # 0 for a filter without any FFT bin


def at_own_level(logmel: np.ndarray, waveform: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Undo the front end's division by the window's peak, so that a picture of several windows has no steps.

    Args:
        logmel: (frames, bins), as the front end computed it from the window.
        waveform: samples of the window.
        settings: resolved settings of the front end (`FrontEnd.settings`: no `auto`, no 0 for a preset).

    Returns:
        (frames, bins).
    """
    if settings["wave_norm"] == "none":
        return logmel
    centred = waveform - waveform.mean() if settings["wave_norm"] == "centred_peak" else waveform
    peak = float(np.abs(centred).max())
    if peak < QUIETEST:
        return logmel
    return np.maximum(logmel + 20 * math.log10(peak) * decibel(settings), silence(settings))


class TorchPredictor:
    """A detector and its front end in torch.

    They run as in stages 2 (features) and 5 (scores) of the recipes: log-mel, rounding to float16, normalisation,
    detector.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        front_end: FrontEnd,
        labels: Sequence[str],
        device: torch.device | str = "cpu",
        amp: bool = False,
        windows: WindowSettings | None = None,
    ) -> None:
        """
        Args:
            detector: in evaluation mode, on `device`.
            front_end: its front end.
            labels: names of the classes.
            device: where both run.
            amp: run the detector in bfloat16 autocast.
            windows: settings for recordings longer than a window; None: the defaults.
        """
        import torch

        self._detector, self._front_end, self._device, self._amp = detector, front_end, torch.device(device), amp
        self.labels = list(labels)
        self.rate = front_end.sample_rate
        self.samples, self.min_samples = front_end.clip_samples, front_end.min_samples
        self.frames, self.frame_seconds = detector.num_frames, detector.frame_seconds
        self.encoder_seconds = detector.encoder_seconds
        self.feature_seconds = front_end.frame_shift
        self.bin_hertz: list[float] | None = bin_hertz(front_end)
        self.windows = windows or WindowSettings()
        self.concurrent = self._device.type == "cuda"

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        return self.begin(waveforms)()

    def begin(self, waveforms: Sequence[np.ndarray]) -> Callable[[], Output]:
        """Begin to compute on a GPU, or compute on a CPU; return a function that waits for the output."""
        import torch

        from sed.evaluation.inference import posteriors

        with torch.inference_mode():
            by_row: dict[int, torch.Tensor] = {}
            lengths = [len(waveform) for waveform in waveforms]
            for length in set(lengths):  # the front end needs waveforms of one length; most windows are full
                rows = [row for row, other in enumerate(lengths) if other == length]
                # A GPU copies from pinned memory while we go on.
                batch = torch.empty(len(rows), length, pin_memory=self.concurrent)
                np.stack([waveforms[row] for row in rows], out=batch.numpy())
                on_device = batch.to(self._device, non_blocking=True)
                by_row.update(zip(rows, self._front_end(on_device).half(), strict=True))  # as stage 2 stores them
            logmel = [by_row[row] for row in range(len(waveforms))]
            frames = [len(one) for one in logmel]
            valid = torch.tensor(frames, device=self._device)
            padded = torch.nn.utils.rnn.pad_sequence(logmel, batch_first=True)
            frame, clip = posteriors(self._detector, self._front_end, padded, valid, amp=self._amp)

        on_cpu = functools.cache(padded.cpu)  # one copy per batch

        def own_level(row: int) -> np.ndarray:
            rows = on_cpu()[row, : frames[row]].float().numpy()
            return at_own_level(rows, waveforms[row], self._front_end.settings)

        def finish() -> Output:
            shown = [functools.partial(own_level, row) for row in range(len(waveforms))]
            return Output(frame.cpu().numpy(), clip.cpu().numpy(), shown)

        return finish
