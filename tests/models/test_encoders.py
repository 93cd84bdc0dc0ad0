"""Every encoder of the registry fulfils the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from resolved_configs import CONF, parse
from torch import nn

from sed.errors import UserError
from sed.models.encoders import ENCODERS, SplitEncoder, build_encoder, check_front_end
from sed.models.panns import Cnn14


def make(small: Callable[..., dict[str, Any]], name: str) -> tuple[Any, torch.Tensor]:
    """Return the small encoder of a name, and two clips of features."""
    torch.manual_seed(0)
    config = small(encoder=name, cnn_width=0.25, input_frames=208)
    encoder = build_encoder(config)
    assert isinstance(encoder, nn.Module)
    return encoder.eval(), torch.randn(2, 208, config["mel_bins"])


@pytest.mark.thorough
@pytest.mark.parametrize("name", ENCODERS)
def test_the_grid_has_the_declared_shape(small: Callable[..., dict[str, Any]], name: str) -> None:
    encoder, x = make(small, name)
    bands, patches = encoder.grid
    assert encoder(x).shape == (2, bands, patches, encoder.dim)
    assert isinstance(encoder.fresh_norm, bool)
    # Patches are `time_stride` frames apart. The last begins at most two strides before the input's end: those of AST
    # overlap, and a remainder that fills no patch is dropped.
    assert (patches - 1) * encoder.time_stride < 208 <= (patches + 1) * encoder.time_stride


@pytest.mark.parametrize("name", ENCODERS)
def test_parameters_without_decay_are_the_encoder_s_own(small: Callable[..., dict[str, Any]], name: str) -> None:
    for module in make(small, name)[0].modules():
        own = dict(module.named_parameters(recurse=False))
        assert set(getattr(module, "no_weight_decay", ())) <= own.keys()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ENCODERS)
def test_a_split_encoder_is_the_whole_one(small: Callable[..., dict[str, Any]], name: str) -> None:
    encoder, x = make(small, name)
    if not isinstance(encoder, SplitEncoder):
        pytest.skip(f"{name} is not split")
    assert torch.equal(encoder.from_embedded(encoder.embed(x)), encoder(x))


@pytest.mark.parametrize("name", ["ast", "atst_frame", "beats", "dasheng", "eat"])
def test_blocks_run_again_in_backward_if_their_activations_are_not_stored(
    small: Callable[..., dict[str, Any]], name: str
) -> None:
    """Equal gradients, which the tests of each encoder check, do not show it."""
    for stored in (True, False):
        config = small(encoder=name, input_frames=208, checkpoint_activations=not stored)
        encoder: Any = build_encoder(config)
        runs: list[nn.Module] = []
        for block in encoder.blocks:
            block.register_forward_pre_hook(lambda block, _, runs=runs: runs.append(block))
        encoder.train()(torch.randn(2, 208, config["mel_bins"])).sum().backward()
        assert len(runs) == (1 if stored else 2) * len(encoder.blocks)


class Bound(nn.Identity):
    """Encoder that needs a certain front end, as published weights do."""

    front_end: ClassVar = {"front_end": "stft", "mel_bins": 64, "mel_norm": "area"}


def test_an_encoder_of_another_front_end_is_refused(small: Callable[..., dict[str, Any]]) -> None:
    config = {**small(), "encoder": "bound", "front_end": "stft", "mel_bins": 64}
    for changes, message in (
        ({"front_end": "kaldi"}, "front_end is kaldi, not stft"),
        ({}, "mel_norm is peak, not area"),
    ):
        with pytest.raises(UserError, match=f"encoder 'bound' needs its own front end: {message}"):
            check_front_end(Bound(), {**config, **changes})
    check_front_end(Bound(), {**config, "mel_norm": "area"})
    check_front_end(nn.Identity(), config)


def test_cnn14_needs_the_front_end_of_its_published_weights() -> None:
    panns = {"encoder": "panns", **parse(CONF / "logmel_panns.yaml")}
    with torch.device("meta"):
        published, small = Cnn14(), Cnn14(channels=2)
    check_front_end(published, panns)
    kaldi = parse(CONF / "logmel.yaml")
    with pytest.raises(UserError, match="encoder 'panns' needs its own front end: front_end is kaldi, not stft"):
        check_front_end(published, {**panns, **kaldi})
    with pytest.raises(UserError, match=r"f_min is 0\.0, not 50"):
        check_front_end(published, {**panns, "f_min": 0.0})
    check_front_end(small, {**panns, **kaldi})


def test_an_unknown_name_is_refused(small: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(
        ValueError, match=r"encoder 'unheard-of' is not known \(ast, atst_frame, beats, cnn, crnn, dasheng, eat"
    ):
        build_encoder({**small(), "encoder": "unheard-of"})
