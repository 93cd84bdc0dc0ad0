"""Models written by commit c6f5938 load and give the posteriors that it gave (tests/fixtures/c6f5938/README.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fixture_sounds import LONG, RATE, SHORT, WINDOW, sound
from paths import ROOT
from tiny_model import call

from sed.bin import predict
from sed.prediction.model import open_model
from sed.prediction.predictor import TorchPredictor

FOLDER = ROOT / "tests/fixtures/c6f5938"
TOLERANCE = 1e-5
"""largest absolute difference of posteriors (our choice)"""


@pytest.fixture(scope="module")
def stored() -> Mapping[str, np.ndarray]:
    return np.load(FOLDER / "posteriors.npz")


@pytest.fixture(scope="module")
def windows() -> list[np.ndarray]:
    return [sound(*WINDOW)[0], sound(*SHORT)[0]]


@pytest.mark.parametrize("name, which", [("experiment", "teacher"), ("experiment", "student"), ("pack", "teacher")])
def test_posteriors_are_those_of_the_commit(
    stored: Mapping[str, np.ndarray], windows: list[np.ndarray], name: str, which: str
) -> None:
    model = open_model(FOLDER / name, which=which).model
    assert model.labels == ["Tone", "Burst"]
    output = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)(windows)
    np.testing.assert_allclose(output.frame, stored[f"{name}_{which}_frame"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(output.clip, stored[f"{name}_{which}_clip"], rtol=0, atol=TOLERANCE)


def test_posteriors_of_onnx_are_those_of_the_commit(
    stored: Mapping[str, np.ndarray], windows: list[np.ndarray]
) -> None:
    pytest.importorskip("onnxruntime")
    from sed.prediction.onnx import OnnxPredictor

    predictor = OnnxPredictor(FOLDER / "model.onnx", threads=1)
    output = predictor(windows)
    np.testing.assert_allclose(output.frame, stored["onnx_frame"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(output.clip, stored["onnx_clip"], rtol=0, atol=TOLERANCE)
    # a recording of any length, whose windows the graph cuts; the third output is its log-mel
    frame, clip, _ = predictor.whole(sound(*LONG)[0][None])
    np.testing.assert_allclose(frame, stored["onnx_long_frame"], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(clip, stored["onnx_long_clip"], rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["experiment", "pack", "model.onnx"])
def test_events_are_decided_by_the_stored_post_processing(
    tmp_path: Path, capsys: pytest.CaptureFixture, name: str
) -> None:
    if name == "model.onnx":
        pytest.importorskip("onnxruntime")
    soundfile.write(tmp_path / "window.wav", sound(*WINDOW)[0], RATE)  # one window: how windows are joined may change
    option = "--onnx" if name == "model.onnx" else "--model"
    assert call(predict, option, FOLDER / name, "--threads", 1, tmp_path / "window.wav") == 0
    rows, then = (
        [(row["onset"], row["offset"], row["event_label"]) for row in csv.DictReader(io.StringIO(text), delimiter="\t")]
        for text in (capsys.readouterr().out, (FOLDER / "events.tsv").read_text())
    )
    assert rows == then and len(rows) == len(sound(*WINDOW)[1])


def test_the_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 300_000
