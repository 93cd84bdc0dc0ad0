"""Files of pre-trained encoders: written, recognised, loaded into a detector and a tagger, and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sed.checkpoints import own_layout
from sed.checkpoints.importers import Mismatch
from sed.checkpoints.pretrained import load_pretrained, load_tagger
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.models.encoders import ENCODERS
from sed.models.tagger import GridTagger, build_any_tagger

Config = Callable[..., dict[str, Any]]
SIZES = {"cnn_width": 0.125, "input_frames": 208, "conformer_dim": 12}


def tagger(config: dict[str, Any], classes: int = 5) -> GridTagger:
    torch.manual_seed(0)
    built = build_any_tagger(config, classes)
    assert isinstance(built, GridTagger)
    for name, value in built.state_dict().items():
        if "running" in name:
            nn.init.uniform_(value, 0.5, 2)
    return built.eval()


@pytest.mark.thorough
@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "ast"])
def test_what_is_written_is_loaded_into_detector_and_tagger(small: Config, tmp_path: Path, name: str) -> None:
    path = tmp_path / "own.pth"
    config = small(encoder=name, pretrained=str(path), **SIZES)
    trained = tagger(config)
    torch.save(own_layout.export(name, trained), path)
    path.with_suffix(".labels.txt").write_text("a\nb\nc\nd\ne\n")
    detector = build_detector({**config, "pooling": "mean"}, 3)
    assert "the encoder" in load_pretrained(detector, config, ["x", "y", "z"])
    x = torch.randn(2, 208, config["mel_bins"])
    assert isinstance(trained.encoder, nn.Module)
    torch.testing.assert_close(detector.eval().encoder(x), trained.encoder(x))
    again, labels = load_tagger(config)
    assert labels == [*"abcde"] and torch.equal(again(x), trained(x))


def test_files_name_their_encoder(small: Config) -> None:
    state = own_layout.export("crnn", tagger(small(encoder="crnn", **SIZES)))
    assert own_layout.encoder_of(state) == "cnn"  # by its name of today
    assert own_layout.OwnImporter().recognises(state)
    assert own_layout.encoder_of({**state, "other": torch.zeros(1)}) is None
    assert own_layout.encoder_of({}) is None and own_layout.encoder_of({"pretrained": torch.zeros(1)}) is None


def test_other_sizes_and_values_that_are_not_finite_are_refused(small: Config, tmp_path: Path) -> None:
    config = small(encoder="cnn", **SIZES)
    state = own_layout.export("cnn", tagger(config))
    wider = build_detector(small(encoder="cnn", **{**SIZES, "cnn_width": 0.25}), 3).get_submodule("encoder")
    with pytest.raises(Mismatch, match=r"layers.0.weight is \[2, 1, 3, 3\], not \[4, 1, 3, 3\], .* more"):
        own_layout.OwnImporter().load(wider, state, config)
    encoder = build_detector(config, 3).get_submodule("encoder")
    fewer = {key: value for key, value in state.items() if "layers.5.bias" not in key}
    with pytest.raises(Mismatch, match=r"layers\.5\.bias is missing"):
        own_layout.OwnImporter().load(encoder, fewer, config)
    state["pretrained.cnn.encoder.layers.5.bias"][0] = float("nan")
    with pytest.raises(Mismatch, match=r"layers\.5\.bias has values that are not finite"):
        own_layout.OwnImporter().load(encoder, state, config)
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(UserError, match="not finite") as refused:
        load_pretrained(build_detector(config, 3), {**config, "pretrained": str(tmp_path / "nan.pth")}, "abc")
    assert "\n" not in str(refused.value)


def test_an_ast_does_not_load_a_file_of_another_encoder(small: Config, tmp_path: Path) -> None:
    torch.save(own_layout.export("cnn", tagger(small(encoder="cnn", **SIZES))), tmp_path / "cnn.pth")
    config = small(pretrained=str(tmp_path / "cnn.pth"))
    with pytest.raises(UserError, match="for encoder 'cnn', the config's is 'ast'"):
        load_pretrained(build_detector(config, 3), config, "abc")
    with pytest.raises(UserError, match="for encoder 'cnn', the config's is 'ast'"):
        load_tagger(config)
