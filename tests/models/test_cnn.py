"""The CNN encoder: sizes in the systems that use it, and its layers one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sed.errors import UserError
from sed.models.cnn import build_cnn
from sed.models.detector import build_detector
from sed.models.encoders import build_encoder

Make = Callable[..., dict[str, Any]]


def crnn(config: Make, **values: Any) -> dict[str, Any]:
    """Return the config of the baseline's model with some values replaced."""
    sizes = {
        "encoder": "cnn", "input_frames": 626, "frame_shift": 0.016, "pooling": "mean", "upsample": 1,
        "gru_units": 128, "gru_layers": 2, "clip_pooling": "attention", "head_dropout": 0.5,
    }  # fmt: skip
    return config(**{**sizes, **values})


WIDE = {"cnn_width": 2.0, "gru_units": 256}


@pytest.mark.parametrize(
    "values, parameters",
    [
        ({"cnn_act": "glu"}, 1_112_420),  # what the DCASE 2022 task 4 baseline prints of itself
        ({"cnn_act": "cg"}, 1_112_420),
        ({"cnn_act": "cg", **WIDE}, 4_427_956),  # FDY-SED's without dynamic convolution
        ({"cnn_conv": "fdy", **WIDE}, 11_061_468),  # FDY-SED's log: 11.061 M
        # SK-CRNN: sizes are ours, since none are published; these numbers only show a change
        ({"cnn_conv": "sk"}, 1_712_132),
        ({"cnn_conv": "sk", **WIDE}, 6_803_828),
    ],
)
def test_has_the_published_or_known_number_of_parameters(config: Make, values: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        detector = build_detector(crnn(config, **values), 10)
    assert sum(p.numel() for p in detector.parameters()) == parameters


def test_ten_seconds_are_156_frames_of_64_ms(config: Make) -> None:
    detector = build_detector(crnn(config, cnn_act="glu"), 10).eval()
    with torch.inference_mode():
        output = detector(torch.rand(2, 626, 128))
    assert output.logits.shape == (2, 156, 10) and output.clip.shape == (2, 10)
    assert detector.frame_seconds == 0.064


@pytest.mark.parametrize("act", ["glu", "cg", "relu"])
def test_layers_are_convolution_norm_gate_and_pool(small: Make, act: str) -> None:
    """Compute a layer from its weights, after the descriptions of the baseline and of FDY-SED."""
    torch.manual_seed(0)
    filters, pools = [3, 5], [(2, 2), (1, 4)]
    config = small(
        mel_bins=8, input_frames=6, cnn_filters=filters, cnn_pools=["2x2", "1x4"], cnn_act=act, encoder="cnn"
    )
    encoder = build_cnn(config)
    assert isinstance(encoder, nn.Module)
    encoder.eval()
    for norm in (module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
        assert (norm.eps, norm.momentum) == (0.001, 0.99)
    x = features = torch.randn(1, 6, 8)
    x = x[None].double()
    state = {key: value.double() for key, value in encoder.state_dict().items()}
    for i, (count, pool) in enumerate(zip(filters, pools, strict=True)):  # a layer is five modules
        padded = F.pad(x[0], (1, 1, 1, 1))
        frames, bands = x.shape[2:]
        y = torch.zeros(count, frames, bands, dtype=torch.float64)
        for t in range(frames):
            for f in range(bands):
                patch = padded[:, t : t + 3, f : f + 3]
                y[:, t, f] = (state[f"layers.{5 * i}.weight"] * patch).sum((1, 2, 3)) + state[f"layers.{5 * i}.bias"]
        norm = {key: state[f"layers.{5 * i + 1}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")}
        scale = norm["weight"] / (norm["running_var"] + 0.001).sqrt()
        y = (y - norm["running_mean"][:, None, None]) * scale[:, None, None] + norm["bias"][:, None, None]
        if act == "relu":
            y = y.clamp_min(0)
        else:
            linear = torch.einsum("oc,ctf->otf", state[f"layers.{5 * i + 2}.linear.weight"], y)
            linear = linear + state[f"layers.{5 * i + 2}.linear.bias"][:, None, None]
            y = linear / (1 + (-y).exp()) if act == "glu" else y / (1 + (-linear).exp())
        x = y.unfold(1, pool[0], pool[0]).unfold(2, pool[1], pool[1]).mean((3, 4))[None]
    assert encoder.grid == (1, 3) and encoder.dim == 5 and encoder.time_stride == 2
    torch.testing.assert_close(encoder(features)[0, 0], x[0, :, :, 0].T.float(), rtol=1e-5, atol=1e-5)


def test_pools_define_stride_frames_and_remaining_bands(small: Make) -> None:
    pools = ["2x2", "2x2", "2x2", "1x2", "1x2", "1x2", "1x1"]
    encoder = build_encoder(small(encoder="cnn", input_frames=496, cnn_pools=pools))
    assert (encoder.grid, encoder.dim, encoder.time_stride) == ((1, 62), 128, 8)
    encoder = build_encoder(small(encoder="cnn", input_frames=100, cnn_filters=[4, 6], cnn_pools=["1x2", "5x2"]))
    assert (encoder.grid, encoder.dim, encoder.time_stride) == ((1, 20), 6 * 16, 5)
    assert encoder(torch.rand(1, 100, 64)).shape == (1, 1, 20, 96)
    fewer_bins = build_encoder(small(encoder="cnn", input_frames=100, mel_bins=16))
    assert fewer_bins(torch.rand(1, 100, 16)).shape == (1, 1, 25, 128)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"input_frames": 3}, "input_frames 3: cnn_pools leave no frames .give at least 4"),
        ({"cnn_pools": ["2x2"]}, "7 cnn_filters and 1 cnn_pools"),
        ({"cnn_filters": [4], "cnn_pools": ["2"]}, "cnn_pools 2: frames x bands are expected"),
        ({"cnn_filters": [4], "cnn_pools": ["0x2"]}, "cnn_pools 0x2: frames x bands"),
    ],
)
def test_inconsistent_configs_are_refused(small: Make, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_detector(small(encoder="cnn", **values), 3)


def test_its_earlier_name_is_the_same_encoder(small: Make) -> None:
    """`encoder: crnn` of earlier configs, checkpoints and packs: context gating, and the same names of parameters."""
    torch.manual_seed(0)
    earlier, now = (build_encoder(small(encoder=name, input_frames=100)) for name in ("crnn", "cnn"))
    assert isinstance(earlier, nn.Module) and isinstance(now, nn.Module)
    now.load_state_dict(earlier.state_dict())
    assert "layers.2.linear.weight" in now.state_dict() and "layers.30.weight" in now.state_dict()
    x = torch.rand(1, 100, 64)
    assert torch.equal(earlier.eval()(x), now.eval()(x))
