"""BEATs' checkpoints: forms of the authors' and of PretrainedSED's files load, other files are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_parity import weights
from torch import Tensor

from sed.checkpoints.importers import LICENCES, kind_of
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import UserError
from sed.models.beats import build_beats
from sed.models.detector import build_detector

Config = Callable[..., dict[str, Any]]
State = dict[str, Tensor]
SIZES = {
    "encoder": "beats", "beats_dim": 16, "beats_patch_dim": 8, "beats_depth": 2, "beats_heads": 2, "beats_blocks": 2,
    "mel_bins": 32, "input_frames": 112, "clip_seconds": 1.0, "pooling": "mean", "upsample": 1, "gru_units": 4,
    "gru_layers": 1,
}  # fmt: skip
TABLE = "self_attn.relative_attention_bias.weight"
NORMED = "encoder.pos_conv.0.parametrizations.weight.original"


@pytest.fixture
def ours(config: Config) -> State:
    """State dict of an encoder with our names."""
    return weights(build_beats(config(**SIZES)).state_dict())


def authors(state: State) -> State:
    """Rename to the authors' layout, in which each block has a copy of the table of position biases."""
    found = {}
    for name, value in state.items():
        if name == "distances.weight":
            found |= {f"encoder.layers.{block}.{TABLE}": value for block in (0, 1)}
        elif name.startswith("blocks."):
            found[name.replace("blocks.", "encoder.layers.", 1)] = value
        elif name.startswith("pos_conv."):
            found[name.replace("pos_conv.", "encoder.pos_conv.0.", 1)] = value
        else:
            found[f"encoder.layer_norm.{name.removeprefix('norm.')}" if name.startswith("norm.") else name] = value
    return found


def parametrised(state: State) -> State:
    """Rename the two tensors of the weight-normalised convolution as torch's parametrizations do."""
    names = {f"encoder.pos_conv.0.weight_{part}": f"{NORMED}{k}" for k, part in enumerate("gv")}
    return {names.get(name, name): value for name, value in authors(state).items()}


def official(state: State) -> dict[str, Any]:
    return {"cfg": {"encoder_layers": 2, "deep_norm": True}, "model": authors(state)}


def tuned(state: State) -> dict[str, Any]:
    head = {"predictor.weight": torch.zeros(527, 16), "predictor.bias": torch.zeros(527)}
    return {"cfg": {"finetuned_model": True}, "model": {**authors(state), **head}}


def pretrained_sed(state: State) -> State:
    heads = {f"{head}_head.weight": torch.zeros(447, 16) for head in ("strong", "weak")}
    return {**{f"model.beats.{name}": value for name, value in parametrised(state).items()}, **heads}


def load(checkpoint: object, path: Path, config: Config, **values: Any) -> State:
    torch.save(checkpoint, path)
    found = config(**{**SIZES, **values}, pretrained=str(path))
    detector = build_detector(found, 3)
    load_pretrained(detector, found, "abc")
    return detector.get_submodule("encoder").state_dict()


@pytest.mark.parametrize("form", [authors, parametrised, official, tuned, pretrained_sed])
def test_every_form_s_tensors_are_loaded(
    form: Callable[[State], object], ours: State, tmp_path: Path, config: Config
) -> None:
    loaded = load(form(ours), tmp_path / "beats.pt", config)
    assert loaded.keys() == ours.keys()
    for name, value in loaded.items():
        assert torch.equal(value, ours[name]), name


def test_fewer_blocks_are_the_first_ones(ours: State, tmp_path: Path, config: Config) -> None:
    loaded = load(official(ours), tmp_path / "beats.pt", config, beats_blocks=1)
    assert loaded.keys() == {name for name in ours if not name.startswith("blocks.1.")}
    assert torch.equal(loaded["blocks.0.fc1.weight"], ours["blocks.0.fc1.weight"])


def test_it_is_recognised_by_its_keys_and_has_a_licence(ours: State) -> None:
    assert kind_of(authors(ours)) == kind_of(parametrised(ours)) == "beats" and LICENCES["beats"] == "MIT"
    assert kind_of({name: value for name, value in authors(ours).items() if "pos_conv" not in name}) is None


@pytest.mark.parametrize(
    "change, values, message",
    [
        ({"encoder.layers.1.fc2.bias": None}, {}, r"not the BEATs .*; missing: blocks\.1\.fc2\.bias"),
        (
            {"encoder.layers.1.fc1.weight": None, "encoder.layers.1.linear1.weight": torch.zeros(1)},
            {},
            r"missing: blocks\.1\.fc1\.weight; unexpected: blocks\.1\.linear1\.weight",
        ),
        ({f"encoder.layers.{k}.{TABLE}": None for k in (0, 1)}, {}, r"missing: distances\.weight"),
        (
            {f"encoder.layers.1.{TABLE}": torch.zeros(320, 2)},
            {},
            r"blocks\.1\.self_attn\.relative_attention_bias\.weight differs from that of the other blocks",
        ),
        ({f"{NORMED}0": torch.zeros(1, 1, 128)}, {}, r"holds pos_conv\.weight_g under two names"),
        ({}, {"beats_depth": 1, "beats_blocks": 1}, r"unexpected: blocks\.1\.self_attn\.grep_a"),
        ({}, {"beats_mlp_ratio": 2.0}, r"misshapen: blocks\.0\.fc1\.weight \[64, 16\] for \[32, 16\]"),
        ({"layer_norm.bias": torch.full((8,), torch.nan)}, {}, r"layer_norm\.bias has values that are not finite"),
    ],
    ids=["missing", "renamed", "no table", "two tables", "both forms", "depth", "ratio", "not finite"],
)
def test_tensors_that_do_not_fit_are_named(
    change: dict[str, Any], values: dict[str, Any], message: str, ours: State, tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "BEATs.pt"
    model = {name: value for name, value in {**authors(ours), **change}.items() if value is not None}
    with pytest.raises(UserError, match=message) as error:
        load({"cfg": {}, "model": model}, path, config, **values)
    assert str(error.value).startswith(f"{path}: under 'model.': ") and "\n" not in str(error.value)
