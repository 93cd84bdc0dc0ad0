"""Dasheng as an encoder: its authors' outputs block by block, sizes, and what dropped blocks leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import encoder_references
import pytest
import torch
from encoder_parity import outputs_of, read_recorded, recorded, sounds, weights
from encoder_references import PUBLISHED
from resolved_configs import CONF, parse

from sed.checkpoints.dasheng_layout import DashengImporter
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.dasheng import Dasheng, build_dasheng
from sed.models.detector import build_detector
from sed.models.encoders import check_front_end

Config = Callable[..., dict[str, Any]]
FEATURES = parse(CONF / "logmel_dasheng.yaml")
SMALL = {"encoder": "dasheng", "dasheng_dim": 32, "dasheng_depth": 3, "dasheng_heads": 2, "dasheng_blocks": 3}
TINY = {**FEATURES, **SMALL, "input_frames": 101, "pooling": "mean", "upsample": 1, "gru_units": 4}


def published_names(encoder: Dasheng) -> dict[str, torch.Tensor]:
    return {name.replace("init_bn.", "init_bn.1."): value for name, value in encoder.state_dict().items()}


def of_size(config: Config, *, dim: int, depth: int, heads: int, frames: int) -> Dasheng:
    """Return the encoder with random weights, read under the published names and with the published 252 positions."""
    sizes = {"dasheng_dim": dim, "dasheng_depth": depth, "dasheng_heads": heads, "dasheng_blocks": depth}
    values = config(**{**FEATURES, **sizes, "input_frames": frames})
    encoder = build_dasheng(values)
    state = weights({**published_names(encoder), "time_pos_embed": torch.empty(1, dim, 1, 252)})
    DashengImporter().load(encoder, state, values)
    return encoder.eval()


def features_of(waveforms: torch.Tensor) -> torch.Tensor:
    front_end = FrontEnd.from_config(FEATURES)
    raw = front_end(waveforms)
    return front_end.normalise(raw, None, raw.shape[1], "silence")  # whole clips: nothing is padded


def test_blocks_and_features_are_those_recorded_from_its_authors(config: Config) -> None:
    reference = read_recorded("dasheng")
    features = features_of(sounds(reference["seconds"]))
    outputs = outputs_of(encoder := of_size(config, **reference["size"], frames=101), encoder.blocks, features)
    expected = reference["outputs"]
    assert expected.keys() == {"features", "blocks.0", "blocks.1", "blocks.2", "output"} == {"features", *outputs}
    for name, x in {"features": features, **outputs}.items():
        assert list(x.shape) == expected[name]["shape"], name
        tolerance = 1e-4 if name == "features" else 1e-5
        assert recorded(x) == pytest.approx(expected[name]["values"], rel=0, abs=tolerance), name


@pytest.mark.slow
def test_blocks_and_features_are_its_authors_at_the_published_size(config: Config) -> None:
    """Compare with the package `dasheng` itself; skipped without the extra `parity`."""
    pytest.importorskip("dasheng")
    theirs = encoder_references.dasheng(**PUBLISHED, waveforms=sounds(10))
    torch.testing.assert_close(features_of(sounds(10)), theirs["features"], rtol=0, atol=1e-4)
    encoder = of_size(config, **PUBLISHED, frames=1001)
    ours = outputs_of(encoder, encoder.blocks, theirs["features"])
    assert ours.keys() == theirs.keys() - {"features"} and len(ours) == 13
    for name, x in ours.items():
        torch.testing.assert_close(x, theirs[name], rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")


def test_a_quiet_clip_is_the_same_in_a_batch_and_alone(config: Config) -> None:
    """The second of `sounds` is quiet; in the authors' code the loudest clip of a batch sets the floor of all."""
    encoder = of_size(config, dim=32, depth=3, heads=2, frames=101)
    both, alone = features_of(sounds(1.0)), features_of(sounds(1.0)[1:])
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(both)[1:], encoder(alone), rtol=0, atol=1e-5)


@pytest.mark.thorough
def test_has_the_published_sizes_and_ten_seconds_are_250_frames_of_40_ms(config: Config) -> None:
    """86 M, 600 M and 1.2 B parameters, as its authors round them, with the published 252 positions."""
    for dim, depth, heads, millions in ((768, 12, 12, 86), (1280, 32, 16, 600), (1536, 40, 24, 1200)):
        with torch.device("meta"):
            encoder = Dasheng(dim=dim, depth=depth, heads=heads, blocks=depth, input_frames=1008)
        block = 12 * dim * dim + 13 * dim  # q, k, v, projection and MLP, with biases, and two norms
        # patches of 64 bins x 4 frames, positions in time and frequency, final norm, batch norm of the bins
        others = 256 * dim + dim + (252 + 1) * dim + 2 * dim + 2 * 64
        assert sum(p.numel() for p in encoder.parameters()) == depth * block + others
        assert (depth * block + others) / 1e6 == pytest.approx(millions, rel=0.06)
        assert encoder.front_end  # published weights: their front end is required
    with torch.device("meta"):
        detector = build_detector(config(**{**TINY, "input_frames": 1001}), 10)
    assert detector.encoder.grid == (1, 250) and not detector.encoder.fresh_norm
    assert detector.num_frames == 250 and detector.frame_seconds == pytest.approx(0.04)


def test_fewer_blocks_are_the_first_ones_and_leave_the_norm_to_the_detector(config: Config) -> None:
    values = config(**{**TINY, "dasheng_blocks": 2})
    whole, first = build_dasheng(values, whole=True).eval(), build_dasheng(values).eval()
    state = weights(published_names(whole))
    for encoder in (whole, first):
        DashengImporter().load(encoder, state, values)
    assert first.fresh_norm and not whole.fresh_norm
    assert "norm.weight" in state and "norm.weight" not in first.state_dict()
    x = 20 * torch.randn(2, 101, 64) - 40  # log-mel in dB
    seen = outputs_of(whole, whole.blocks, x)
    torch.testing.assert_close(outputs_of(first, first.blocks, x)["output"], seen["blocks.1"], rtol=0, atol=0)


def test_a_frozen_batch_norm_keeps_the_published_statistics_in_training(config: Config) -> None:
    for frozen in (True, False):
        detector = build_detector(config(**TINY, freeze_batchnorm=frozen), 3).train()
        before = {name: value.clone() for name, value in detector.encoder.init_bn.state_dict().items()}
        detector(20 * torch.randn(2, 101, 64) - 40).logits.square().mean().backward()
        after = detector.encoder.init_bn.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before) is frozen
        assert detector.encoder.init_bn.weight.requires_grad is not frozen


def test_recomputing_blocks_in_backward_changes_no_gradient(config: Config) -> None:
    x, gradients = 20 * torch.randn(2, 101, 64) - 40, []
    for recompute in (False, True):
        encoder = build_dasheng(config(**TINY, checkpoint_activations=recompute)).train()
        encoder.load_state_dict(weights(encoder.state_dict()))
        encoder(x).square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_inconsistent_sizes_are_refused(config: Config) -> None:
    for values, message in (
        ({"dasheng_blocks": 4}, "dasheng_blocks 4 is more than dasheng_depth 3"),
        ({"input_frames": 3}, "3 frames are fewer than dasheng_patch_time 4"),
        ({"dasheng_heads": 5}, "width 32 is not a multiple of 5 heads"),
    ):
        with pytest.raises(ValueError, match=message):
            build_dasheng(config(**{**TINY, **values}))


def test_the_published_width_is_bound_to_its_features() -> None:
    values = {"encoder": "dasheng", **FEATURES}
    with torch.device("meta"):
        check_front_end(published := Dasheng(), values)
    with pytest.raises(UserError, match=r"encoder 'dasheng' needs its own front end: top_db is 0\.0, not 120"):
        check_front_end(published, {**values, "top_db": 0.0})
