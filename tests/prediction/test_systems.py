"""FDY-CRNN, SK-CRNN and the Conformer in use: by windows, live, in lower precision and as ONNX."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_model
from tiny_model import LABELS, sounds

from sed.bin import export_onnx, predict
from sed.prediction.cpu import lower
from sed.prediction.model import open_model
from sed.prediction.predictor import TorchPredictor, predict_windows

SYSTEMS = {
    "fdy": "--cnn-conv fdy --fdy-kernels 2",
    "sk": "--cnn-conv sk --sk-least 4",
    "conformer": "--cnn-act relu --decoder conformer --conformer-dim 12 --conformer-blocks 2 --conformer-heads 2 "
    "--conformer-hidden 16 --clip-pooling token",
}
# 126 frames of features, one per 16 ms and one more; the CNN pools four into one frame of posteriors: 31 of these
SHORT = " --clip-seconds 2 --input-frames 126 --input-padding silence "


@pytest.fixture(scope="module", params=SYSTEMS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The experiment of a system with random weights."""
    folder = tmp_path_factory.mktemp("systems") / request.param
    experiment: Path = tiny_model.save_tiny(folder, "crnn", options=SHORT + SYSTEMS[request.param])
    return experiment


def torch_predictor(experiment: Path) -> tuple[TorchPredictor, Any]:
    model = open_model(experiment).model
    return TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels), model


@pytest.mark.thorough
def test_onnx_gives_torch_s_posteriors(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from sed.prediction.onnx import OnnxPredictor

    path = tmp_path / "model.onnx"
    assert tiny_model.call(export_onnx, trained, path) == 0  # which compares longer recordings, too
    ours, theirs = torch_predictor(trained)[0], OnnxPredictor(path, threads=1)
    for seconds in (2.0, 0.7):
        clips = [sounds(seconds, seed=seed) for seed in range(3)]
        one, other = predict_windows(theirs, clips), predict_windows(ours, clips)
        np.testing.assert_allclose(one.frame, other.frame, atol=1e-3)
        np.testing.assert_allclose(one.clip, other.clip, atol=1e-3)


def test_a_window_does_not_depend_on_its_batch(trained: Path) -> None:
    predictor = torch_predictor(trained)[0]
    clips = [sounds(2.0, seed=seed) for seed in range(4)]
    together = predictor(clips)
    alone = [predictor([clip]) for clip in clips]
    np.testing.assert_allclose(together.frame, np.concatenate([one.frame for one in alone]), atol=1e-4)
    np.testing.assert_allclose(together.clip, np.concatenate([one.clip for one in alone]), atol=1e-4)
    assert together.frame.shape == (4, 31, len(LABELS))
    assert abs(together.frame[1:] - together.frame[:-1]).mean() > 0.05, "posteriors that do not depend on the window"


@pytest.mark.thorough
@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("bfloat16", 1e-2), ("int8", 2e-2)])
def test_lower_precision_keeps_the_posteriors(trained: Path, precision: str, tolerance: float) -> None:
    predictor, model = torch_predictor(trained)
    detector = lower(copy.deepcopy(model.detector), precision, "cpu", 1)
    low = TorchPredictor(detector=detector, front_end=model.front_end, labels=model.labels)
    clips = [sounds(2.0), sounds(1.2, seed=1)]
    # far below the difference between two clips: 0.08 to 0.36 in eight pairs of sounds, over the three systems
    assert abs(predictor(clips).frame - low(clips).frame).mean() <= tolerance


@pytest.mark.thorough
def test_files_and_streams_are_predicted(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    audio = sounds(7)
    tiny_model.write_sounds(tmp_path / "x.wav", 7)
    common = ("--model", trained, "--device", "cpu", "--post-processing", "none")
    assert tiny_model.call(predict, *common, tmp_path / "x.wav") == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) > 1 and rows[0].startswith("filename")
    (tmp_path / "pcm").write_bytes((audio * 32767).astype("<i2").tobytes())
    with (tmp_path / "pcm").open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert tiny_model.call(predict, *common, "--live", "--live-rate", 16000) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1
