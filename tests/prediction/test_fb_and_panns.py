"""FB-CRNN, Bi-CRNN and PANN-RNN in use: exported to ONNX, over windows of a long recording, packed for other labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from paths import ROOT
from resolved_configs import parse
from tiny_model import call, write_sounds

from sed.bin import export_onnx, pack, predict
from sed.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from sed.checkpoints.pretrained import load_pretrained
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector

LABELS = ["Cat", "Dog", "Speech"]
SIZES = {
    "fb_crnn": {"fbcrnn_width": 0.05, "gru_units": 4, "head_hidden": 4, "detection_frames": 5},
    "bi_crnn": {"fbcrnn_width": 0.05, "gru_units": 4, "head_hidden": 4},
    "pann_rnn": {"panns_channels": 1, "gru_units": 4, "gru_layers": 1},
}


def end(line: str) -> float:
    offset = line.split("\t")[2]
    return 0.0 if offset == "offset" else float(offset)


@pytest.mark.parametrize(
    "system",
    ["fb_crnn", pytest.param("bi_crnn", marks=pytest.mark.slow), pytest.param("pann_rnn", marks=pytest.mark.slow)],
)
def test_a_system_is_exported_predicts_and_is_packed_for_other_labels(
    system: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {**parse(ROOT / f"conf/{system}.yaml"), **SIZES[system], "clip_seconds": 2.0}
    if config["normaliser"] == "bins":
        config["norm_bins"] = ",".join(["-4"] * config["mel_bins"] + ["2"] * config["mel_bins"])
    front_end = FrontEnd.from_config(config)
    # Cnn14 pools time by 32: the 201 frames of 2 s are padded to 7 * 32.
    config["input_frames"] = 224 if system == "pann_rnn" else front_end.clip_frames
    torch.manual_seed(0)
    model = build_detector(config, 3).eval()
    assert model.num_frames * model.frame_seconds == pytest.approx(2.0)
    (tmp_path / "exp").mkdir()
    weights = {"student": model.state_dict(), "teacher": model.state_dict(), "optimizer": {}, "step": 1}
    facts = {"config": config, "labels": LABELS, "front_end": front_end.params(), "info": {"seed": 0}}
    save_checkpoint(tmp_path / "exp" / "final.pt", {**weights, **facts})

    # export compares the file with torch, on recordings shorter than a window, of one window, and of several
    assert call(export_onnx, tmp_path / "exp", tmp_path / "model.onnx") == 0
    write_sounds(tmp_path / "long.wav", 5.3)
    capsys.readouterr()
    for options in (["--model", tmp_path / "exp"], ["--onnx", tmp_path / "model.onnx"]):
        assert call(predict, *options, "--threshold", "0.2", tmp_path / "long.wav") == 0
        said = capsys.readouterr().out.splitlines()
        assert any("long.wav" in line for line in said) and all(end(line) <= 5.3 + model.frame_seconds for line in said)

    assert call(pack, "--licence", "CC0", "--data", "none", tmp_path / "exp", tmp_path / "packed") == 0
    start = dict(load_checkpoint(tmp_path / "exp" / "final.pt")["config"], pretrained=str(tmp_path / "packed"))
    other = build_detector(start, 2)
    assert load_pretrained(other, start, ["Dog", "Horse"]).endswith("fresh: Horse")
    for name, value in model.classifier.state_dict().items():
        assert torch.equal(other.classifier.state_dict()[name][0], value[LABELS.index("Dog")])
