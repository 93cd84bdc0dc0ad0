"""EAT's checkpoints: those of the authors (pre-trained, fine-tuned) and of Hugging Face are loaded, others refused."""

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
from sed.models.detector import build_detector
from sed.models.eat import build_eat, fixed_positions

Config = Callable[..., dict[str, Any]]
State = dict[str, Tensor]
SIZES = {
    "encoder": "eat", "eat_dim": 8, "eat_depth": 2, "eat_heads": 2, "eat_blocks": 2, "mel_bins": 32,
    "input_frames": 112, "clip_seconds": 1.0, "pooling": "mean", "upsample": 1, "gru_units": 4, "gru_layers": 1,
}  # fmt: skip
IMAGE = "modality_encoders.IMAGE."


@pytest.fixture
def ours(config: Config) -> State:
    """State dict of an encoder with our names.

    Its positions are for 13 steps of two bands. Clips of `SIZES` have 7 steps (112 frames, 16 per step), and use the
    first 14 positions.
    """
    like = build_eat(config(**SIZES)).state_dict()
    return {**weights(like), "positions": fixed_positions(13, 2, 8)}


def authors(state: State) -> State:
    names = {name: name if name.startswith("blocks.") else IMAGE + name for name in state}
    names = {name: theirs.replace("pre_norm.", "context_encoder.norm.") for name, theirs in names.items()}
    return {
        theirs.replace("IMAGE.positions", "IMAGE.fixed_positional_encoder.positions"): state[name]
        for name, theirs in names.items()
    }


def pretraining(state: State) -> dict[str, Any]:
    """Return fairseq's form of pre-training, in which the teacher is a mapping among the student's tensors."""
    student, teacher = authors(state), {name: value + 1 for name, value in authors(state).items()}
    others = {f"{IMAGE}decoder.proj.weight": torch.zeros(4, 8), "cls_proj.bias": torch.zeros(8)}
    return {"model": {**student, **others, "_ema": teacher}, "cfg": None, "optimizer_history": [{"num_updates": 1}]}


def fine_tuning(state: State) -> dict[str, Any]:
    """Return fairseq's form of fine-tuning, in which the encoder is the `model` of a classifier."""
    head = {"head.weight": torch.zeros(527, 8), "fc_norm.weight": torch.ones(8)}
    return {"model": {**{f"model.{name}": value for name, value in authors(state).items()}, **head}, "cfg": None}


def hugging_face(state: State) -> State:
    names = {name: name.replace("positions", "fixed_positional_encoder.positions") for name in state}
    return {f"model.{names[name]}": value for name, value in state.items()} | {"model.head.bias": torch.zeros(527)}


def without_positions(state: State) -> State:
    return hugging_face({name: value for name, value in state.items() if name != "positions"})


def load(checkpoint: object, path: Path, config: Config, **values: Any) -> State:
    torch.save(checkpoint, path)
    found = config(**{**SIZES, **values}, pretrained=str(path))
    detector = build_detector(found, 3)
    load_pretrained(detector, found, ["a", "b", "c"])
    return detector.get_submodule("encoder").state_dict()


@pytest.mark.parametrize("form", [authors, pretraining, fine_tuning, hugging_face, without_positions])
def test_the_student_s_blocks_norm_token_and_first_positions_are_loaded(
    form: Callable[[State], object], ours: State, tmp_path: Path, config: Config
) -> None:
    loaded = load(form(ours), tmp_path / "eat.pt", config)
    assert loaded.keys() == ours.keys()
    for name, value in loaded.items():
        assert torch.equal(value, ours[name][:, :14] if name == "positions" else ours[name]), name


def test_positions_of_the_file_are_used_if_it_has_some(ours: State, tmp_path: Path, config: Config) -> None:
    changed = {**ours, "positions": ours["positions"] + 0.5}
    assert torch.equal(
        load(authors(changed), tmp_path / "eat.pt", config)["positions"], ours["positions"][:, :14] + 0.5
    )


def test_it_is_recognised_by_its_keys_in_both_layouts_and_has_a_licence(ours: State) -> None:
    # `ours` is Hugging Face's layout after `unwrapped` has removed the prefix `model.`
    assert kind_of(authors(ours)) == kind_of(ours) == "eat" and LICENCES["eat"] == "MIT"
    assert kind_of({name: value for name, value in ours.items() if name != "extra_tokens"}) is None


def changed(state: State, **values: Any) -> State:
    return {name: value for name, value in {**state, **values}.items() if value is not None}


@pytest.mark.parametrize(
    "change, values, message",
    [
        ({"blocks.1.attn.proj.bias": None}, {}, r"not the EAT .*; missing: blocks\.1\.attn\.proj\.bias"),
        (
            {"blocks.1.mlp.fc1.weight": None, "blocks.1.ffn.w1": torch.zeros(1)},
            {},
            r"missing: blocks\.1\.mlp\.fc1\.weight; unexpected: blocks\.1\.ffn\.w1",
        ),
        ({"alibi_scale": torch.zeros(1)}, {}, "unexpected: alibi_scale"),
        ({}, {"eat_depth": 1, "eat_blocks": 1}, r"unexpected: blocks\.1\.norm1\.weight"),
        ({}, {"eat_mlp_ratio": 2.0}, r"misshapen: blocks\.0\.mlp\.fc1\.weight \[32, 8\] for \[16, 8\]"),
        ({}, {"input_frames": 224}, "positions are of 26 patches, the config's clips have 28"),
        ({"pre_norm.bias": torch.full((8,), torch.nan)}, {}, r"pre_norm\.bias has values that are not finite"),
        ({"positions": torch.zeros(26, 8)}, {}, r"misshapen: positions \[26, 8\] for \[1, 14, 8\]"),
    ],
    ids=["missing", "renamed", "another encoder", "depth", "ratio", "positions", "not finite", "shape"],
)
def test_tensors_that_do_not_fit_are_named(
    change: dict[str, Any], values: dict[str, Any], message: str, ours: State, tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "EAT.pt"
    with pytest.raises(UserError, match=message) as error:
        load(pretraining(changed(ours, **change)), path, config, **values)
    assert str(error.value).startswith(f"{path}: under 'model.': ") and "\n" not in str(error.value)


def test_another_encoder_s_file_is_refused(ours: State, tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match="for encoder 'eat', the config's is 'ast'"):
        load(pretraining(ours), tmp_path / "eat.pt", config, encoder="ast", ast_dim=12, patch_freq=8)
