"""The Conformer against plain loops and the published size; its token."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.models.conformer import Conformer, RelativeAttention, build_conformer, shifted, sinusoids
from sed.models.detector import build_detector
from sed.training.parameters import decayed

Make = Callable[..., dict[str, Any]]


def tiny(*, blocks: int = 2, dropout: float = 0.0) -> Conformer:
    torch.manual_seed(0)
    decoder = Conformer(
        dim=5, frames=6, upsample=1, width=8, blocks=blocks, heads=2, hidden=10, kernel=3, dropout=dropout
    )
    for module in decoder.modules():
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm):
            nn.init.normal_(module.weight), nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean), nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, RelativeAttention):
            nn.init.normal_(module.content), nn.init.normal_(module.position)
    return decoder.eval()


def test_has_the_published_number_of_parameters(config: Make) -> None:
    """Compare with the authors' project (ConformerSED); the encoder and a block are counted by hand from the sizes."""
    values = {
        "encoder": "cnn", "cnn_act": "relu", "cnn_pools": ["2x2"] * 3 + ["1x2"] * 3 + ["1x1"], "mel_bins": 64,
        "input_frames": 496, "frame_shift": 323 / 16000, "pooling": "mean", "decoder": "conformer", "upsample": 1,
        "clip_pooling": "token",
    }  # fmt: skip
    detector = build_detector(config(**values), 10)
    assert sum(p.numel() for p in detector.parameters()) == 2_069_834
    filters = [1, 16, 32, 64, 128, 128, 128, 128]
    encoder = sum((9 * a + 1) * b + 2 * b for a, b in itertools.pairwise(filters))  # convolutions with biases, norms
    assert sum(p.numel() for p in detector.get_submodule("encoder").parameters()) == encoder
    feed_forward = 2 * 144 + 145 * 576 + 577 * 144
    attention = 2 * 144 + 3 * 144**2 + 144**2 + 2 * 144 + 144**2  # norm; q, k, v; distances; two biases; projection
    convolution = 2 * 144 + 145 * 288 + 8 * 144 + 2 * 144 + 145 * 144  # norm, gated, depthwise, batch norm, projection
    block = 2 * feed_forward + attention + convolution + 2 * 144
    assert sum(p.numel() for p in detector.get_submodule("decoder.blocks.0").parameters()) == block
    assert detector.num_frames == 62 and detector.frame_seconds == pytest.approx(0.1615)


def norm(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    deviation = (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return (x - x.mean(-1, keepdim=True)) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return x @ state[f"{name}.weight"].squeeze(-1).T + state.get(f"{name}.bias", torch.zeros(()))


def swish(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def attention(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    """Compute the attention one pair of frames at a time."""
    frames, dim = x.shape
    heads, size = state[f"{name}.content"].shape
    query, key, value = linear(norm(x, state, f"{name}.norm"), state, f"{name}.query_key_value").split(dim, -1)
    far = torch.zeros(frames, dim, dtype=x.dtype)
    for distance in range(frames):
        waves = [distance * 10000.0 ** (-2 * k / dim) for k in range(dim // 2)]
        both = [math.sin(w) for w in waves] + [math.cos(w) for w in waves]
        far[distance] = state[f"{name}.distance.weight"] @ torch.tensor(both, dtype=x.dtype)
    out = torch.zeros(frames, dim, dtype=x.dtype)
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        u, v = state[f"{name}.content"][head], state[f"{name}.position"][head]
        for i in range(frames):
            scores = torch.zeros(frames, dtype=x.dtype)
            for j in range(frames):
                scores[j] = (query[i, own] + u) @ key[j, own]
                if j <= i:
                    scores[j] += (query[i, own] + v) @ far[i - j, own]
                elif j > i + 1:  # what the shift leaves there
                    scores[j] += (query[i + 1, own] + v) @ far[frames + 1 - (j - i), own]
            powers = (scores / math.sqrt(size)).exp()
            out[i, own] = powers / powers.sum() @ value[:, own]
    return out @ state[f"{name}.out.weight"].T


def feed_forward(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return linear(swish(linear(norm(x, state, f"{name}.0"), state, f"{name}.1")), state, f"{name}.4")


def convolution(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    frames, dim = x.shape
    kept, gate = linear(norm(x, state, f"{name}.norm"), state, f"{name}.spread").split(dim, -1)
    padded = F.pad(kept / (1 + (-gate).exp()), (0, 0, 1, 1))
    kernel = state[f"{name}.depthwise.weight"][:, 0]
    y = torch.stack([(kernel.T * padded[t : t + 3]).sum(0) for t in range(frames)]) + state[f"{name}.depthwise.bias"]
    of = {key: state[f"{name}.batch_norm.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
    y = (y - of["running_mean"]) / (of["running_var"] + 1e-5).sqrt() * of["weight"] + of["bias"]
    return linear(swish(y), state, f"{name}.mix")


def test_equals_loops_over_frames() -> None:
    decoder, x = tiny(), torch.randn(1, 6, 5)
    state = {key: value.double() for key, value in decoder.state_dict().items()}
    token = state["token.weight"][:, 0] + state["token.bias"]
    y = torch.cat([token[None], x[0].double()])
    y = norm(linear(y, state, "input.0"), state, "input.1").clamp_min(0) * math.sqrt(8)
    for place in range(7):
        for k in range(4):
            angle = place * 10000.0 ** (-2 * k / 8)
            y[place, 2 * k] += math.sin(angle)
            y[place, 2 * k + 1] += math.cos(angle)
    for block in ("blocks.0", "blocks.1"):
        y = y + 0.5 * feed_forward(y, state, f"{block}.before")
        y = y + attention(y, state, f"{block}.attention")
        y = y + convolution(y, state, f"{block}.convolution")
        y = norm(y + 0.5 * feed_forward(y, state, f"{block}.after"), state, f"{block}.norm")
    hidden, summary = decoder(x)
    assert summary is not None
    torch.testing.assert_close(torch.cat([summary[:, None], hidden], 1)[0].double(), y, rtol=1e-4, atol=1e-4)


def test_rows_are_shifted_to_align_distances_with_frames() -> None:
    scores = torch.arange(9.0).view(3, 3)  # of row i: distances 2, 1, 0
    # row i has distance i - j in columns j <= i; then a 0, and then the first scores of row i + 1
    assert shifted(scores).tolist() == [[2.0, 0.0, 3.0], [4.0, 5.0, 0.0], [6.0, 7.0, 8.0]]


def test_sinusoids_have_decreasing_frequencies() -> None:
    sine, cosine = sinusoids(torch.tensor([0, 3]), 4)
    assert sine.tolist() == [[0, 0], pytest.approx([math.sin(3), math.sin(0.03)])]
    assert cosine.tolist() == [[1, 1], pytest.approx([math.cos(3), math.cos(0.03)])]


def test_the_token_sees_the_clip_and_the_frames_see_the_token() -> None:
    decoder, x = tiny(), torch.randn(1, 6, 5)
    summary = decoder(x).summary
    other = decoder(torch.cat([x[:, :5], x[:, 5:] + 1], 1))
    assert summary is not None and other.summary is not None and not torch.allclose(summary, other.summary)
    hidden = decoder(x).hidden
    with torch.no_grad():
        decoder.token.bias.add_(1.0)
    assert not torch.allclose(decoder(x).hidden, hidden)


def test_clip_logits_come_from_the_frames_own_classifier(small: Make) -> None:
    torch.manual_seed(0)
    sizes = {"conformer_dim": 12, "conformer_blocks": 1, "conformer_heads": 2, "conformer_hidden": 16}
    config = small(decoder="conformer", clip_pooling="token", pooling="mean", upsample=1, **sizes)
    detector = build_detector(config, 3).eval()
    x = torch.randn(2, 1024, 64)
    summary = detector.decoder(detector.encode(x)).summary
    assert summary is not None
    torch.testing.assert_close(detector(x).clip, detector.classifier(summary).sigmoid())
    detector.train()
    output = detector(x)
    output.clip.sum().backward()  # of the clip alone: the classifier and the token learn from it
    for parameter in (detector.classifier.weight, detector.get_submodule("decoder.token").weight):
        assert parameter.grad is not None and parameter.grad.any()


def test_the_token_and_position_biases_have_no_weight_decay() -> None:
    names = decayed(tiny())
    assert not {name for name in names if "token" in name or name.endswith(("content", "position"))}
    assert {"blocks.0.attention.distance.weight", "input.0.weight"} <= names


@pytest.mark.parametrize(
    "values, message",
    [
        ({"conformer_heads": 5}, "conformer_dim 144 is not a multiple of conformer_heads 5"),
        ({"conformer_kernel": 4}, "conformer_kernel 4: an odd number"),
    ],
)
def test_inconsistent_sizes_are_refused(small: Make, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_conformer(small(**values), dim=6, frames=9)
