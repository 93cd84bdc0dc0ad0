"""ATST-Frame's checkpoints: the authors' and PretrainedSED's files load, files of other networks are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_parity import weights
from torch import Tensor

from sed.checkpoints.importers import kind_of
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import UserError
from sed.models.atst_frame import build_atst_frame
from sed.models.detector import build_detector

Config = Callable[..., dict[str, Any]]
State = dict[str, Tensor]
SIZES = {
    "encoder": "atst_frame", "atst_dim": 8, "atst_depth": 2, "atst_heads": 2, "atst_blocks": 2, "mel_bins": 16,
    "input_frames": 101, "clip_seconds": 1.0, "pooling": "mean", "upsample": 1, "gru_units": 4, "gru_layers": 1,
}  # fmt: skip


@pytest.fixture
def published(config: Config) -> State:
    """State dict of an encoder with the published names, for 50 patches; clips of `SIZES` have 25."""
    like = build_atst_frame(config(**{**SIZES, "input_frames": 201})).state_dict()
    return weights({**like, "mask_embed": torch.empty(1, 1, 8)})


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def pretrained_sed(state: State) -> State:
    """Return the form of PretrainedSED's files: with heads and, in some files, buffers of its front end."""
    heads = {"strong_head.weight": torch.zeros(447, 8), "strong_head.bias": torch.zeros(447)}
    mel = {"model.atst_mel.mel_transform.mel_scale.fb": torch.zeros(513, 64)}
    return {**under("model.atst.", state), **heads, **under("weak_", {"head.bias": torch.zeros(447)}), **mel}


def authors(state: State) -> dict[str, Any]:
    """Return a Lightning checkpoint of the self-distillation, whose student has other weights."""
    student = {name: value + 1 for name, value in state.items()}
    projector = {"model.student.projector.0.weight": torch.zeros(4, 8)}
    both = {**under("model.student.encoder.", student), **under("model.teacher.encoder.", state), **projector}
    return {"state_dict": both, "epoch": 100, "hyper_parameters": {"arch": "base"}}


def load(checkpoint: object, path: Path, config: Config, **values: Any) -> State:
    torch.save(checkpoint, path)
    found = config(**{**SIZES, **values}, pretrained=str(path))
    detector = build_detector(found, 3)
    load_pretrained(detector, found, "abc")
    return detector.get_submodule("encoder").state_dict()


@pytest.mark.parametrize("form", [dict, pretrained_sed, authors])
def test_all_blocks_norm_and_first_positions_are_loaded(
    form: Callable[[State], object], published: State, tmp_path: Path, config: Config
) -> None:
    loaded = load(form(published), tmp_path / "atst.pt", config)
    assert loaded.keys() == published.keys() - {"mask_embed"}
    for name, value in loaded.items():
        # positions of the class token and of 25 patches
        assert torch.equal(value, published[name][:, :26] if name == "pos_embed" else published[name]), name


@pytest.mark.parametrize(
    "blocks, text",
    [(2, ""), (1, ", without block 2 of 2 and what follows (atst_blocks 1)")],
)
def test_fewer_blocks_are_the_first_ones_and_the_rest_is_named(
    blocks: int, text: str, published: State, tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "atst.pt"
    loaded = load(pretrained_sed(published), path, config, atst_blocks=blocks)
    assert {name.split(".")[1] for name in loaded if name.startswith("blocks.")} == {str(k) for k in range(blocks)}
    assert all(torch.equal(value, published[name]) for name, value in loaded.items() if name.startswith("blocks."))
    assert ("norm_frame.weight" in loaded) == (blocks == 2), "the norm was trained after the last block"
    found = config(**{**SIZES, "atst_blocks": blocks}, pretrained=str(path))
    described = load_pretrained(build_detector(found, 3), found, "abc")
    assert described == f"the encoder, {len(loaded)} tensors of {path}{text}"


def test_it_is_recognised_by_its_keys(published: State) -> None:
    assert kind_of(published) == "atst_frame"
    assert kind_of({name: value for name, value in published.items() if name != "norm_frame.weight"}) is None


def changed(state: State, **values: Any) -> State:
    return {name: value for name, value in {**state, **values}.items() if value is not None}


@pytest.mark.parametrize(
    "change, values, message",
    [
        ({"blocks.1.attn.proj.bias": None}, {}, r"not the ATST-Frame .*; missing: blocks\.1\.attn\.proj\.bias"),
        (
            {"blocks.1.mlp.fc1.weight": None, "blocks.1.ffn.w1": torch.zeros(1)},
            {},
            r"missing: blocks\.1\.mlp\.fc1\.weight; unexpected: blocks\.1\.ffn\.w1",
        ),
        ({"blocks.0.attn.qkv.bias": torch.zeros(24)}, {}, r"unexpected: blocks\.0\.attn\.qkv\.bias"),
        ({}, {"atst_depth": 1, "atst_blocks": 1}, r"unexpected: blocks\.1\.norm1\.weight"),
        ({}, {"mel_bins": 20}, r"misshapen: patch_embed\.patch_embed\.weight \[8, 64\] for \[8, 80\]"),
        ({}, {"input_frames": 205}, "positions for 50 patches, the config's clips have 51"),
        ({"norm_frame.bias": torch.full((8,), torch.nan)}, {}, r"norm_frame\.bias has values that are not finite"),
        ({"pos_embed": torch.zeros(51, 8)}, {}, r"misshapen: pos_embed \[51, 8\] for \[1, 26, 8\]"),
    ],
    ids=["missing", "renamed", "bias", "depth", "bins", "positions", "not finite", "shape"],
)
def test_tensors_that_do_not_fit_are_named(
    change: dict[str, Any], values: dict[str, Any], message: str, published: State, tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "ATST-F_strong_1.pt"
    with pytest.raises(UserError, match=message) as error:
        load(pretrained_sed(changed(published, **change)), path, config, **values)
    assert str(error.value).startswith(f"{path}: under 'model.atst.': ") and "\n" not in str(error.value)


def test_another_encoder_s_file_is_refused(published: State, tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match="for encoder 'atst_frame', the config's is 'ast'"):
        load(pretrained_sed(published), tmp_path / "atst.pt", config, encoder="ast", ast_dim=12, patch_freq=8)
