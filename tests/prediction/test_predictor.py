"""Posteriors of windows are those of clips: stage 2 and 5 on one side, `predict` and live prediction on the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_model
from tiny_model import LABELS, sounds

from sed.data.directory import write_scp
from sed.data.dump import dump_shard
from sed.data.store import FeatureStore
from sed.evaluation.inference import infer
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.prediction.decisions import Decisions
from sed.prediction.model import open_model
from sed.prediction.predictor import Immediate, Predictor, TorchPredictor
from sed.prediction.recording import BaseSink, Track, run
from sed.prediction.windows import WindowPlan

SHORT = " --clip-seconds 2 --input-frames 224 --wave-norm "
WINDOW = 32000
POST = PostProcessing(threshold=Threshold(dict.fromkeys(LABELS, 0.5)))


class Kept(BaseSink):
    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def posteriors(self, frames: np.ndarray) -> None:
        self.rows.append(frames)


def predictor_of(folder: Path, wave_norm: str) -> TorchPredictor:
    model = open_model(tiny_model.save_tiny(folder, options=SHORT + wave_norm)).model
    return TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)


def through(predictor: Predictor, audio: np.ndarray, *, live: bool = False) -> np.ndarray:
    """Return frame posteriors of a recording, by windows laid end to end or as a live stream has them."""
    sizes = {"samples": predictor.samples, "frame_seconds": 0.01, "rate": 16000, "frames": predictor.frames}
    plan = WindowPlan.live(**sizes, hop=0.5, lookahead=0.5) if live else WindowPlan.overlapping(**sizes, overlap=0)
    sink = Kept()
    track = Track(
        "x",
        plan=plan,
        predictor=predictor,
        decisions=Decisions.of(POST, LABELS, 0.01),
        sink=sink,
    )
    cut = plan.grow if live else plan.cut
    blocks = [audio[first : first + 1600] for first in range(0, len(audio), 1600)]
    run([(track, lambda track: cut(track.passed_on(blocks)))], predictor, batch_size=3)
    return np.concatenate(sink.rows)


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    """A quiet window, a loud one, one whose peak is below -60 dBFS, and a short one."""
    audio = sounds(6.6)
    audio[:WINDOW] *= 0.02
    audio[2 * WINDOW : 3 * WINDOW] *= 5e-4 / np.abs(audio[2 * WINDOW : 3 * WINDOW]).max()
    return audio


@pytest.mark.thorough
@pytest.mark.parametrize("wave_norm", ["none", "peak", "centred_peak"])
def test_windows_are_clips(tmp_path: Path, recording: np.ndarray, wave_norm: str) -> None:
    """Compare with each window as a file of its own, dumped and inferred."""
    predictor = predictor_of(tmp_path / "exp", wave_norm)
    wavs = {}
    for i in range(4):
        wavs[f"c{i}"] = str(tmp_path / f"c{i}.wav")
        soundfile.write(wavs[f"c{i}"], recording[i * WINDOW : (i + 1) * WINDOW], 16000, subtype="FLOAT")
    write_scp(tmp_path / "wav.scp", wavs)
    model = open_model(tmp_path / "exp").model
    dump_shard(tmp_path / "wav.scp", tmp_path / "feats.1.h5", model.front_end)
    (tmp_path / "feats.1.scp").rename(tmp_path / "feats.scp")
    frame, _ = infer(model.detector, model.front_end, FeatureStore(tmp_path), batch_size=4, device="cpu")
    expected = frame.reshape(-1, len(LABELS))[:660]
    np.testing.assert_allclose(through(predictor, recording)[:660], expected, atol=1e-3)


@pytest.mark.parametrize("live", [False, True])
def test_each_window_has_a_peak_of_its_own(tmp_path: Path, recording: np.ndarray, live: bool) -> None:
    """Compare with a model that does not divide by the peak, on windows that are divided by hand."""
    ours, plain = predictor_of(tmp_path / "peak", "peak"), predictor_of(tmp_path / "none", "none")

    class ByHand(Immediate):
        def __getattr__(self, name):
            return getattr(plain, name)

        def __call__(self, waveforms):
            peaks = [np.abs(waveform).max() for waveform in waveforms]
            return plain([w / p if p >= 1e-3 else w for w, p in zip(waveforms, peaks, strict=True)])

    plain._detector.load_state_dict(ours._detector.state_dict())
    found, expected = through(ours, recording, live=live), through(ByHand(), recording, live=live)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    without = through(plain, recording, live=live)
    assert np.abs(found - without)[:200].max() > 0.05  # in the quiet window


def test_bins_have_their_frequencies():
    from sed.config import default_options
    from sed.features.logmel import FrontEnd
    from sed.prediction.predictor import bin_hertz

    front_end = FrontEnd.from_config({**default_options("sed.features.logmel"), "f_min": 0.0})
    hertz = np.array(bin_hertz(front_end))
    mel = np.linspace(0, 1127 * np.log(1 + 8000 / 700), 130)[1:-1]
    expected = 700 * (np.exp(mel / 1127) - 1)
    np.testing.assert_allclose(hertz[40:], expected[40:], rtol=0.01)  # narrow filters hold one FFT bin
    assert (np.diff(hertz[20:]) > 0).all()


@pytest.mark.parametrize("wave_norm", ["peak", "centred_peak"])
def test_the_picture_of_a_recording_has_no_steps_of_level(
    tmp_path: Path, recording: np.ndarray, wave_norm: str
) -> None:
    ours, plain = predictor_of(tmp_path / "peak", wave_norm), predictor_of(tmp_path / "none", "none")
    windows = [recording[i * WINDOW : (i + 1) * WINDOW] for i in range(4)]
    for our, plainly in zip(ours(windows).logmel, plain(windows).logmel, strict=True):
        one, other = our(), plainly()
        audible = other > -12  # well over the floor, which both have
        assert one.shape == other.shape and audible.any()
        np.testing.assert_allclose(one[audible], other[audible], atol=0.05)
