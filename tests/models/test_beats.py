"""BEATs as an encoder: avex's outputs block by block, distances, sizes, and fewer blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import encoder_references
import pytest
import torch
from encoder_parity import outputs_of, read_recorded, recorded, sounds, weights
from encoder_references import PUBLISHED
from resolved_configs import CONF, parse
from torch import Tensor

from sed.checkpoints.beats_layout import BeatsImporter
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.beats import Beats, PositionalConvolution, build_beats, distance_buckets
from sed.models.detector import build_detector
from sed.models.encoders import check_front_end

Config = Callable[..., dict[str, Any]]
FEATURES = parse(CONF / "logmel_beats.yaml")
SMALL = {"encoder": "beats", "beats_dim": 32, "beats_depth": 3, "beats_heads": 2, "beats_blocks": 3}
TINY = {**FEATURES, **SMALL, "input_frames": 98, "pooling": "mean", "upsample": 1, "gru_units": 4}
PUBLISHED_NAMES = {
    "pos_conv.weight_g": "encoder.pos_conv.0.parametrizations.weight.original0",
    "pos_conv.weight_v": "encoder.pos_conv.0.parametrizations.weight.original1",
    "pos_conv.bias": "encoder.pos_conv.0.bias",
    "distances.weight": "encoder.layers.0.self_attn.relative_attention_bias.weight",
}


def published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return random weights with the published names."""
    starts = {"blocks.": "encoder.layers.", "norm.": "encoder.layer_norm."}
    names = [PUBLISHED_NAMES.get(name, name) for name in state]
    for start, theirs in starts.items():
        names = [theirs + name.removeprefix(start) if name.startswith(start) else name for name in names]
    return weights(dict(zip(names, state.values(), strict=True)))


def of_size(config: Config, *, dim: int, depth: int, heads: int, frames: int) -> Beats:
    sizes = {"beats_dim": dim, "beats_depth": depth, "beats_heads": heads, "beats_blocks": depth}
    values = config(**{**FEATURES, **sizes, "input_frames": frames})
    encoder = build_beats(values)
    BeatsImporter().load(encoder, published(encoder.state_dict()), values)
    return encoder.eval()


def features_of(seconds: float) -> Tensor:
    front_end = FrontEnd.from_config(FEATURES)
    features = front_end(sounds(seconds))
    return front_end.normalise(features, None, features.shape[1], "raw")


def step_by_step(outputs: dict[str, Tensor], encoder: Beats) -> dict[str, Tensor]:
    """Reorder the grid's output from band by band to the authors' order, step by step."""
    return {**outputs, "output": outputs["output"].unflatten(1, encoder.grid).transpose(1, 2).flatten(1, 2)}


def test_blocks_and_features_are_those_recorded_from_another_implementation(config: Config) -> None:
    reference = read_recorded("beats")
    features = features_of(reference["seconds"])
    encoder = of_size(config, **reference["size"], frames=98)
    outputs = step_by_step(outputs_of(encoder, encoder.blocks, features), encoder)
    expected = reference["outputs"]
    assert expected.keys() == {"features", "blocks.0", "blocks.1", "blocks.2", "output"} == {"features", *outputs}
    for name, x in {"features": features, **outputs}.items():
        assert list(x.shape) == expected[name]["shape"], name
        within = 1e-4 if name == "features" else 1e-5
        assert recorded(x) == pytest.approx(expected[name]["values"], rel=0, abs=within), name


@pytest.mark.slow
def test_blocks_and_features_are_another_implementation_s_at_the_published_size(config: Config) -> None:
    """Compare with avex; skipped without the extra `parity`."""
    pytest.importorskip("avex")
    theirs = encoder_references.beats(**PUBLISHED, waveforms=sounds(10))
    torch.testing.assert_close(features_of(10), theirs["features"], rtol=0, atol=1e-4)
    encoder = of_size(config, **PUBLISHED, frames=998)
    ours = step_by_step(outputs_of(encoder, encoder.blocks, theirs["features"]), encoder)
    assert ours.keys() == theirs.keys() - {"features"} and len(ours) == 13
    for name, x in ours.items():
        torch.testing.assert_close(x, theirs[name], rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")


def test_near_distances_have_buckets_of_their_own_and_far_ones_share_wider_ones() -> None:
    """Distances whose logarithm is at a border between buckets are left to the comparison at the published size."""
    found = distance_buckets(900)
    # 160 buckets per direction: one for each distance below 80, and 80 that grow from there to 10 times as far, 800
    for offset in (*range(-79, 80), -799, -450, -101, 93, 300, 799, 850, -850):
        distance = abs(offset)
        far = 80 + math.floor(80 * math.log(max(distance, 80) / 80) / math.log(10))
        wanted = (distance if distance < 80 else min(far, 159)) + 160 * (offset > 0)
        assert found[max(-offset, 0), max(offset, 0)] == wanted, offset
    assert all(torch.equal(found[0, :-k], found[k, k:]) for k in (1, 7, 500))


def test_the_convolution_is_a_weight_normalised_one_of_torch() -> None:
    torch.manual_seed(0)
    ours, x = PositionalConvolution(dim=32), torch.randn(2, 40, 32)
    theirs = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(32, 32, 128, padding=64, groups=16), dim=2)
    made = weights(theirs.state_dict())
    theirs.load_state_dict(made)
    names = {
        "bias": "bias",
        "weight_g": "parametrizations.weight.original0",
        "weight_v": "parametrizations.weight.original1",
    }
    ours.load_state_dict({name: made[its] for name, its in names.items()})
    wanted = torch.nn.functional.gelu(theirs(x.transpose(1, 2))[..., :40]).transpose(1, 2)
    torch.testing.assert_close(ours(x), wanted, rtol=0, atol=1e-6)


def test_has_the_published_size_and_ten_seconds_are_63_steps_in_eight_bands() -> None:
    with torch.device("meta"):
        encoder = Beats()
        detector = build_detector(parse(CONF / "beats_sed.yaml"), 10)
    block = 12 * 768**2 + 13 * 768 + 64 * 8 + 8 + 12  # projections and MLP, biases, two norms, the gate
    # patches, their norm and projection, the positional convolution and its scales, a norm, the table of distances
    around = 256 * 512 + 2 * 512 + 513 * 768 + (48 * 128 + 1) * 768 + 128 + 2 * 768 + 320 * 12
    assert sum(p.numel() for p in encoder.parameters()) == 12 * block + around
    assert encoder.grid == (8, 63) and detector.num_frames == 1000
    assert detector.encoder_seconds == pytest.approx(0.16)


@pytest.mark.thorough
def test_fewer_blocks_are_the_first_ones_of_the_whole_encoder(config: Config) -> None:
    """DeepNorm's weight of a residual depends on the whole depth, not on the number of blocks that are kept."""
    values = config(**{**TINY, "beats_blocks": 2})
    whole, first = build_beats(values, whole=True).eval(), build_beats(values).eval()
    state = published(whole.state_dict())
    for encoder in (whole, first):
        BeatsImporter().load(encoder, state, values)
    x = torch.randn(2, 98, 128)
    seen = outputs_of(whole, whole.blocks, x)["blocks.1"]
    wanted = seen.unflatten(1, (6, 8)).transpose(1, 2)  # six steps of eight bands
    with torch.inference_mode():
        torch.testing.assert_close(first(x), wanted, rtol=0, atol=0)
    assert not first.fresh_norm


def test_recomputing_blocks_in_backward_changes_no_gradient(config: Config) -> None:
    x, gradients = torch.randn(2, 98, 128), []
    for recompute in (False, True):
        encoder = build_beats(config(**TINY, checkpoint_activations=recompute)).train()
        encoder.load_state_dict(weights(encoder.state_dict()))
        (encoder(x) * torch.linspace(-1, 1, 32)).square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
        assert one.any()


def test_inconsistent_sizes_are_refused(config: Config) -> None:
    for values, message in (
        ({"beats_blocks": 4}, "beats_blocks 4 is more than beats_depth 3"),
        ({"input_frames": 15}, "patches of 16 bins x 16 frames do not fit in 128 mel bins x 15 frames"),
        ({"beats_dim": 40}, "beats_dim 40 is not a multiple of 16"),
        ({"beats_heads": 5}, "width 32 is not a multiple of 5 heads"),
    ):
        with pytest.raises(ValueError, match=message):
            build_beats(config(**{**TINY, **values}))


def test_the_published_width_is_bound_to_its_features() -> None:
    with torch.device("meta"):
        encoder = Beats()
    values = {"encoder": "beats", **FEATURES}
    check_front_end(encoder, values)
    with pytest.raises(UserError, match=r"encoder 'beats' needs its own front end: wave_scale is 1\.0, not 32768"):
        check_front_end(encoder, {**values, "wave_scale": 1.0})


def test_all_patches_averaged_to_frames_are_those_of_adaptive_pooling(small: Callable[..., dict[str, Any]]) -> None:
    values = {"encoder": "beats", "mel_bins": 128, "input_frames": 998}
    bands = build_beats(small(**values)).eval()
    frames = build_beats(small(**values, beats_frames=250)).eval()
    frames.load_state_dict(bands.state_dict())
    assert (frames.grid, frames.time_stride) == ((1, 250), 4)
    x = torch.randn(2, 998, 128)
    with torch.inference_mode():
        tokens = bands(x).transpose(1, 2).flatten(1, 2)  # a step's bands side by side
        assert tokens.shape[1] == 496
        expected = torch.nn.functional.adaptive_avg_pool1d(tokens.transpose(1, 2), 250).transpose(1, 2)
        torch.testing.assert_close(frames(x), expected.unsqueeze(1), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="beats_frames 500 is more than BEATs' 496 patches"):
        build_beats(small(**values, beats_frames=500))
