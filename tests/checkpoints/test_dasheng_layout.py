"""Dasheng's checkpoints: the authors' files and Hugging Face's load, files of other networks are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
from encoder_parity import weights
from resolved_configs import CONF, parse
from torch import Tensor

from sed.checkpoints.importers import LICENCES, kind_of
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import UserError
from sed.models.dasheng import build_dasheng
from sed.models.detector import build_detector

Config = Callable[..., dict[str, Any]]
State = dict[str, Tensor]
SIZES = {
    **parse(CONF / "logmel_dasheng.yaml"), "encoder": "dasheng", "dasheng_dim": 8, "dasheng_depth": 2,
    "dasheng_heads": 2, "dasheng_blocks": 2, "input_frames": 101, "clip_seconds": 1.0, "pooling": "mean",
    "upsample": 1, "gru_units": 4, "gru_layers": 1,
}  # fmt: skip


@pytest.fixture
def published(config: Config) -> State:
    """State dict of an encoder with the published names, for 52 patches, with buffers of torchaudio's front end.

    Clips of `SIZES` have 25 patches.
    """
    like = build_dasheng(config(**{**SIZES, "input_frames": 208})).state_dict()
    mel = torchaudio.transforms.MelSpectrogram(16000, n_fft=512, win_length=512, hop_length=160, f_max=8000, n_mels=64)
    state = weights({name.replace("init_bn.", "init_bn.1."): value for name, value in like.items()})
    return {**state, **{f"front_end.0.{name}": value for name, value in mel.state_dict().items()}}


def authors(state: State) -> dict[str, Any]:
    """Return the release's form: model and configuration of a training."""
    return {"model": state, "config": {"embed_dim": 8, "depth": 2, "num_heads": 2, "f_min": 0}}


def hugging_face(state: State) -> State:
    """Return Hugging Face's form: without the front end, and with a tagging head."""
    encoder = {f"encoder.{name}": value for name, value in state.items() if not name.startswith("front_end.")}
    return {**encoder, "outputlayer.1.weight": torch.zeros(527, 8), "outputlayer.1.bias": torch.zeros(527)}


def load(checkpoint: object, path: Path, config: Config, **values: Any) -> State:
    torch.save(checkpoint, path)
    found = config(**{**SIZES, **values}, pretrained=str(path))
    detector = build_detector(found, 3)
    load_pretrained(detector, found, "abc")
    return detector.get_submodule("encoder").state_dict()


@pytest.mark.parametrize("form", [dict, authors, hugging_face])
def test_all_blocks_norm_statistics_and_first_positions_are_loaded(
    form: Callable[[State], object], published: State, tmp_path: Path, config: Config
) -> None:
    loaded = load(form(published), tmp_path / "dasheng_base.pt", config)
    assert len(loaded) == len(published) - 2  # without the front end's window and mel bank
    for name, value in loaded.items():
        theirs = published[name.replace("init_bn.", "init_bn.1.")]
        assert torch.equal(value, theirs[..., :25] if name == "time_pos_embed" else theirs.to(value.dtype)), name


def test_it_is_recognised_by_its_keys_and_has_a_licence(published: State) -> None:
    assert kind_of(published) == "dasheng" and LICENCES["dasheng"] == "Apache-2.0"
    assert kind_of({name: value for name, value in published.items() if name != "freq_pos_embed"}) is None


def changed(state: State, **values: Any) -> State:
    return {name: value for name, value in {**state, **values}.items() if value is not None}


@pytest.mark.parametrize(
    "change, values, message",
    [
        ({"blocks.1.attn.qkv.bias": None}, {}, r"not the Dasheng .*; missing: blocks\.1\.attn\.qkv\.bias"),
        (
            {"blocks.1.mlp.fc1.weight": None, "blocks.1.ffn.w1": torch.zeros(1)},
            {},
            r"missing: blocks\.1\.mlp\.fc1\.weight; unexpected: blocks\.1\.ffn\.w1",
        ),
        ({"cls_token": torch.zeros(1, 1, 8)}, {}, "unexpected: cls_token"),
        ({}, {"dasheng_depth": 1, "dasheng_blocks": 1}, r"unexpected: blocks\.1\.norm1\.weight"),
        ({}, {"dasheng_patch_time": 5}, r"misshapen: patch_embed\.proj\.weight \[8, 1, 64, 4\] for \[8, 1, 64, 5\]"),
        ({}, {"input_frames": 212}, "time_pos_embed is of 52 patches, the config's clips have 53"),
        ({"norm.bias": torch.full((8,), torch.nan)}, {}, r"norm\.bias has values that are not finite"),
        ({}, {"f_min": 60.0}, r"mel_scale\.fb is 0\.\d+ off the config's: .*logmel_dasheng\.yaml"),
        ({}, {"window": "hamming"}, r"spectrogram\.window is 0\.08 off the config's"),
        ({}, {"frame_length": 0.025, "fft_size": 512}, r"window is of shape \[512\], the config's of \[400\]"),
    ],
    ids=["missing", "renamed", "token", "depth", "patch", "positions", "not finite", "bank", "window", "length"],
)
def test_tensors_that_do_not_fit_are_named(
    change: dict[str, Any], values: dict[str, Any], message: str, published: State, tmp_path: Path, config: Config
) -> None:
    path = tmp_path / "dasheng_base.pt"
    with pytest.raises(UserError, match=message) as error:
        load(authors(changed(published, **change)), path, config, **values)
    assert str(error.value).startswith(f"{path}: under 'model.': ") and "\n" not in str(error.value)


def test_another_encoder_s_file_is_refused(published: State, tmp_path: Path, config: Config) -> None:
    with pytest.raises(UserError, match="for encoder 'dasheng', the config's is 'ast'"):
        load(authors(published), tmp_path / "dasheng.pt", config, encoder="ast", ast_dim=12, patch_freq=8)
