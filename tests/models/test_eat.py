"""EAT as an encoder: its authors' outputs block by block, positions, sizes, and fewer blocks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import encoder_references
import pytest
import torch
from encoder_parity import outputs_of, read_recorded, recorded, sounds, weights
from encoder_references import PUBLISHED
from resolved_configs import CONF, parse

from sed.checkpoints.eat_layout import EatImporter
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector
from sed.models.eat import Eat, PostNormBlock, build_eat, fixed_positions
from sed.models.encoders import check_front_end

Config = Callable[..., dict[str, Any]]
FEATURES = parse(CONF / "logmel.yaml")
SMALL = {"encoder": "eat", "eat_dim": 32, "eat_depth": 3, "eat_heads": 2, "eat_blocks": 3}
TINY = {**FEATURES, **SMALL, "input_frames": 112, "pooling": "mean", "upsample": 1, "gru_units": 4}
IMAGE = "modality_encoders.IMAGE."


def published_name(name: str) -> str:
    if name.startswith("blocks."):
        return name
    return IMAGE + name.replace("pre_norm.", "context_encoder.norm.")


def of_size(config: Config, *, dim: int, depth: int, heads: int, frames: int) -> Eat:
    """Return the encoder with random weights, read under the published names and with positions of 768 time steps."""
    sizes = {"eat_dim": dim, "eat_depth": depth, "eat_heads": heads, "eat_blocks": depth}
    values = config(**{**FEATURES, **sizes, "input_frames": frames})
    encoder = build_eat(values)
    state = weights({published_name(name): x for name, x in encoder.state_dict().items() if name != "positions"})
    state[f"{IMAGE}fixed_positional_encoder.positions"] = fixed_positions(768, 8, dim)
    EatImporter().load(encoder, state, values)
    return encoder.eval()


def features_of(seconds: float, frames: int) -> torch.Tensor:
    front_end = FrontEnd.from_config(FEATURES)
    return front_end.normalise(front_end(sounds(seconds)), None, frames, "raw")


def token_by_token(outputs: dict[str, torch.Tensor], encoder: Eat) -> dict[str, torch.Tensor]:
    """Reorder the grid's output from band by band to the authors' order, step by step."""
    return {**outputs, "output": outputs["output"].unflatten(1, encoder.grid).transpose(1, 2).flatten(1, 2)}


def test_blocks_and_features_are_those_recorded_from_its_authors(config: Config) -> None:
    """The recorded features are avex's, normalised by mean and deviation as EAT rounds them."""
    reference = read_recorded("eat")
    features = features_of(reference["seconds"], 112)
    encoder = of_size(config, **reference["size"], frames=112)
    outputs = token_by_token(outputs_of(encoder, encoder.blocks, features), encoder)
    expected = reference["outputs"]
    assert expected.keys() == {"features", "blocks.0", "blocks.1", "blocks.2", "output"} == {"features", *outputs}
    for name, x in {"features": features, **outputs}.items():
        assert list(x.shape) == expected[name]["shape"], name
        assert recorded(x) == pytest.approx(expected[name]["values"], rel=0, abs=1e-4), name


def test_blocks_are_those_recorded_to_more_digits_with_eat_s_rounding_of_the_statistics(config: Config) -> None:
    """Only arithmetic rounding differs if mean and deviation are rounded like EAT's."""
    reference = read_recorded("eat")
    front_end = FrontEnd.from_config({**FEATURES, "norm_mean": -4.268, "norm_std": 4.569})
    features = front_end.normalise(front_end(sounds(reference["seconds"])), None, 112, "raw")
    encoder = of_size(config, **reference["size"], frames=112)
    for name, x in token_by_token(outputs_of(encoder, encoder.blocks, features), encoder).items():
        assert recorded(x) == pytest.approx(reference["outputs"][name]["values"], rel=0, abs=1e-5), name


@pytest.mark.slow
@pytest.mark.skipif("EAT_CHECKOUT" not in os.environ, reason="no checkout of EAT")
def test_blocks_and_features_are_its_authors_at_the_published_size(config: Config) -> None:
    """Compare with the authors' code and avex's features; skipped without them."""
    pytest.importorskip("avex")
    theirs = encoder_references.eat(**PUBLISHED, waveforms=sounds(10))
    frames = theirs["features"].shape[1]
    torch.testing.assert_close(features_of(10, frames), theirs["features"], rtol=0, atol=1e-4)
    encoder = of_size(config, **PUBLISHED, frames=frames)
    ours = token_by_token(outputs_of(encoder, encoder.blocks, theirs["features"]), encoder)
    assert ours.keys() == theirs.keys() - {"features"} and len(ours) == 13
    for name, x in ours.items():
        torch.testing.assert_close(x, theirs[name], rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")


def test_positions_are_the_sines_and_cosines_of_band_and_step() -> None:
    found = fixed_positions(5, 3, 16)[0]
    assert found.shape == (15, 16)
    for step in range(5):
        for band in range(3):
            angles = [[place / 10000 ** (k / 4) for k in range(4)] for place in (band, step)]
            wanted = [[math.sin(a) for a in of] + [math.cos(a) for a in of] for of in angles]
            assert found[step * 3 + band].tolist() == pytest.approx(wanted[0] + wanted[1], abs=1e-6)


def test_has_the_published_sizes_and_ten_seconds_are_63_steps_in_eight_bands(config: Config) -> None:
    """Base and large, without the decoder of pre-training."""
    for dim, depth, heads in ((768, 12, 12), (1024, 24, 16)):
        with torch.device("meta"):
            encoder = Eat(dim=dim, depth=depth, heads=heads, blocks=depth)
        block = 12 * dim * dim + 13 * dim  # q, k, v, projection and MLP, with biases, and two norms
        around = 256 * dim + dim + dim + 2 * dim  # patches with biases, the token, the first norm
        assert sum(p.numel() for p in encoder.parameters()) == depth * block + around
        assert encoder.grid == (8, 64) and encoder.front_end
    values = {**TINY, "input_frames": 1024, "pooling": "fte", "upsample": 16}
    with torch.device("meta"):
        detector = build_detector(config(**values), 10)
    assert detector.decoder.frames == 63  # of the 64 steps of 1024 frames, those that begin within the clip
    assert detector.num_frames == 1000 and detector.frame_seconds == pytest.approx(0.01)
    assert detector.encoder_seconds == pytest.approx(0.16)


def test_fewer_blocks_are_the_first_ones_whose_output_is_normalised_already(config: Config) -> None:
    values = config(**{**TINY, "eat_blocks": 2})
    whole, first = build_eat(values, whole=True).eval(), build_eat(values).eval()
    state = weights({published_name(name): x for name, x in whole.state_dict().items() if name != "positions"})
    for encoder in (whole, first):
        EatImporter().load(encoder, state, values)
    x = torch.randn(2, 112, 128)
    seen = outputs_of(whole, whole.blocks, x)["blocks.1"]
    bands, steps = first.grid
    ours = first(x).detach()
    assert not first.fresh_norm
    torch.testing.assert_close(ours, seen[:, 1:].unflatten(1, (steps, bands)).transpose(1, 2), rtol=0, atol=0)


def test_a_cell_of_the_grid_follows_its_patch_of_the_features() -> None:
    """Without blocks, a change in one band and step moves that cell alone."""
    torch.manual_seed(0)
    encoder, x = Eat(mel_bins=64, input_frames=80, dim=8, heads=1, blocks=0).eval(), torch.randn(1, 80, 64)
    moved = x.clone()
    moved[0, 35, 50] += 1  # the third step and the fourth band
    with torch.inference_mode():
        differs = (encoder(x) != encoder(moved)).any(-1)[0]
    assert differs.nonzero().tolist() == [[3, 2]]


def test_the_first_token_alone_is_that_of_the_whole_block() -> None:
    block = PostNormBlock(dim=16, heads=2, mlp_ratio=2).eval()
    x = torch.randn(3, 5, 16)
    torch.testing.assert_close(block.first(x), block(x)[:, :1], rtol=0, atol=1e-6)


def test_recomputing_blocks_in_backward_changes_no_gradient(config: Config) -> None:
    x, gradients = torch.randn(2, 112, 128), []
    for recompute in (False, True):
        encoder = build_eat(config(**TINY, checkpoint_activations=recompute)).train()
        made = weights(dict(encoder.named_parameters()))
        encoder.load_state_dict(made, strict=False)
        (encoder(x) * torch.linspace(-1, 1, 32)).square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(*pair) and pair[0].any() for pair in zip(*gradients, strict=True))


def test_inconsistent_sizes_are_refused(config: Config) -> None:
    for values, message in (
        ({"eat_blocks": 4}, "eat_blocks 4 is more than eat_depth 3"),
        ({"input_frames": 15}, "patches of 16 bins x 16 frames do not fit in 128 mel bins x 15 frames"),
        ({"eat_dim": 30}, "eat_dim 30 is not a multiple of 4"),
        ({"eat_heads": 5}, "width 32 is not a multiple of 5 heads"),
    ):
        with pytest.raises(ValueError, match=message):
            build_eat(config(**{**TINY, **values}))


def test_the_published_width_is_bound_to_the_ast_s_features() -> None:
    values = {"encoder": "eat", **FEATURES}
    with torch.device("meta"):
        check_front_end(published := Eat(), values)
    check_front_end(published, {**values, "norm_mean": -4.268, "norm_std": 4.569})
    with pytest.raises(UserError, match="encoder 'eat' needs its own front end: wave_norm is peak, not none"):
        check_front_end(published, {**values, "wave_norm": "peak"})
