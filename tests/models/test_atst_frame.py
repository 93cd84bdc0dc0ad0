"""ATST-Frame as an encoder: avex's outputs block by block, sizes, and what dropped blocks leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import encoder_references
import pytest
import torch
from encoder_parity import outputs_of, read_recorded, recorded, sounds, weights
from encoder_references import PUBLISHED
from resolved_configs import CONF, parse

from sed.checkpoints.atst_layout import AtstImporter
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.atst_frame import AtstFrame, build_atst_frame
from sed.models.detector import build_detector
from sed.models.encoders import check_front_end

Config = Callable[..., dict[str, Any]]
SMALL = {"encoder": "atst_frame", "atst_dim": 32, "atst_depth": 3, "atst_heads": 2, "atst_blocks": 3}
TINY = {**SMALL, "mel_bins": 64, "input_frames": 101, "pooling": "mean", "upsample": 1, "gru_units": 4}


def of_size(config: Config, *, dim: int, depth: int, heads: int, frames: int) -> AtstFrame:
    """Return the encoder with random weights, read under the published names."""
    sizes = {"atst_dim": dim, "atst_depth": depth, "atst_heads": heads, "atst_blocks": depth}
    values = config(mel_bins=64, input_frames=frames, **sizes)
    encoder = build_atst_frame(values)
    state = weights({**encoder.state_dict(), "mask_embed": torch.empty(1, 1, dim)})
    AtstImporter().load(encoder, state, values)
    return encoder.eval()


def features_of(seconds: float) -> torch.Tensor:
    front_end = FrontEnd.from_config(parse(CONF / "logmel_atst.yaml"))
    raw = front_end(sounds(seconds))
    return front_end.normalise(raw, None, raw.shape[1], "silence")


def test_blocks_and_features_are_those_recorded_from_avex(config: Config) -> None:
    reference = read_recorded("atst_frame")
    features = features_of(reference["seconds"])
    outputs = outputs_of(encoder := of_size(config, **reference["size"], frames=101), encoder.blocks, features)
    expected = reference["outputs"]
    assert expected.keys() == {"features", "blocks.0", "blocks.1", "blocks.2", "output"} == {"features", *outputs}
    for name, x in {"features": features, **outputs}.items():
        assert list(x.shape) == expected[name]["shape"], name
        tolerance = 1e-4 if name == "features" else 1e-5
        assert recorded(x) == pytest.approx(expected[name]["values"], rel=0, abs=tolerance), name


@pytest.mark.slow
def test_blocks_and_features_are_avex_s_at_the_published_size(config: Config) -> None:
    """Compare with avex itself; skipped without the extra `parity`."""
    pytest.importorskip("avex")
    theirs = encoder_references.atst_frame(**PUBLISHED, waveforms=sounds(10))
    torch.testing.assert_close(features_of(10), theirs["features"], rtol=0, atol=1e-4)
    encoder = of_size(config, **PUBLISHED, frames=1001)
    ours = outputs_of(encoder, encoder.blocks, theirs["features"])
    assert ours.keys() == theirs.keys() - {"features"} and len(ours) == 13
    for name, x in ours.items():
        torch.testing.assert_close(x, theirs[name], rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}")


def test_a_quiet_clip_is_the_same_in_a_batch_and_alone(config: Config) -> None:
    features = features_of(1.0)
    encoder = of_size(config, dim=32, depth=3, heads=2, frames=101)
    front_end = FrontEnd.from_config(parse(CONF / "logmel_atst.yaml"))
    alone = front_end.normalise(front_end(sounds(1.0)[1:]), None, 101, "silence")
    torch.testing.assert_close(features[1:], alone, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(features)[1:], encoder(alone), rtol=0, atol=1e-6)


def test_has_the_published_size_and_ten_seconds_are_250_frames_of_40_ms(config: Config) -> None:
    """12 blocks of 7,085,568 without the bias of q, k and v; 197,376 of the patches; 251 positions; the norm."""
    with torch.device("meta"):
        encoder = AtstFrame()
        detector = build_detector(config(**{**TINY, "input_frames": 1001}), 10)
    block = 4 * 768 * 768 + 768 + 8 * 768 * 768 + 4 * 768 + 768 + 4 * 768
    assert sum(p.numel() for p in encoder.parameters()) == 12 * block + 256 * 768 + 768 + 251 * 768 + 2 * 768
    assert encoder.grid == (1, 250) and not encoder.fresh_norm
    assert detector.num_frames == 250 and detector.frame_seconds == pytest.approx(0.04)


def test_fewer_blocks_are_the_first_ones_and_leave_the_norm_to_the_detector(config: Config) -> None:
    values = config(**{**TINY, "atst_blocks": 2})
    whole, first = build_atst_frame(values, whole=True).eval(), build_atst_frame(values).eval()
    state = weights(whole.state_dict())
    for encoder in (whole, first):
        AtstImporter().load(encoder, state, values)
    assert first.fresh_norm and not whole.fresh_norm and not any("norm_frame" in key for key in first.state_dict())
    x = torch.randn(2, 101, 64)
    seen = outputs_of(whole, whole.blocks, x)
    torch.testing.assert_close(outputs_of(first, first.blocks, x)["output"], seen["blocks.1"], rtol=0, atol=0)


def test_recomputing_blocks_in_backward_changes_no_gradient(config: Config) -> None:
    x, gradients = torch.randn(2, 101, 64), []
    for recompute in (False, True):
        encoder = build_atst_frame(config(**TINY, checkpoint_activations=recompute)).train()
        encoder.load_state_dict(weights(encoder.state_dict()))
        encoder(x).square().sum().backward()
        gradients.append([p.grad for p in encoder.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*gradients, strict=True))


def test_inconsistent_sizes_are_refused(config: Config) -> None:
    for values, message in (
        ({"atst_blocks": 4}, "atst_blocks 4 is more than atst_depth 3"),
        ({"input_frames": 3}, "3 frames are fewer than atst_patch_time 4"),
        ({"atst_heads": 5}, "width 32 is not a multiple of 5 heads"),
    ):
        with pytest.raises(ValueError, match=message):
            build_atst_frame(config(**{**TINY, **values}))


def test_the_published_width_is_bound_to_its_features() -> None:
    values = {"encoder": "atst_frame", **parse(CONF / "logmel_atst.yaml")}
    with torch.device("meta"):
        check_front_end(published := AtstFrame(), values)
    with pytest.raises(UserError, match=r"encoder 'atst_frame' needs its own front end: top_db is 0\.0, not 80"):
        check_front_end(published, {**values, "top_db": 0.0})
