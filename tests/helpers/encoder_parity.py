"""Made-up weights, sounds and recorded values, to compare an encoder with another implementation of it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from paths import ROOT
from torch import Tensor, nn

RATE = 16000
VALUES = 8  # elements of an output that are recorded
RECORDED = ROOT / "tests/fixtures/encoders"


def weights(like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return random tensors with the names and shapes of a state dict, seeded by their names alone.

    Matrices keep about the variance of their input, embeddings have a standard deviation of 0.2, weights of norms are
    about 1, other vectors about 0; statistics of a batch norm are as for decibels.
    """
    return {name: _random(name, tuple(value.shape)) for name, value in like.items()}


def _random(name: str, shape: tuple[int, ...]) -> Tensor:
    values = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith(("running_mean", "running_var")):
        values = 20 * values - 40 if name.endswith("mean") else 400 * np.exp(0.1 * values)
    elif len(shape) > 1:
        values /= np.sqrt(np.prod(shape[1:])) if not name.endswith("embed") else 5
    else:
        values = 0.1 * values + (("norm" in name or "_bn" in name) and name.endswith("weight"))
    return torch.from_numpy(np.asarray(values, np.float32))


def sounds(seconds: float) -> Tensor:
    """Return two clips (2, samples): a loud tone in noise, and quiet noise that fades."""
    rng = np.random.default_rng(7)
    samples = round(seconds * RATE)
    time = np.arange(samples) / RATE
    loud = 0.8 * np.sin(2 * np.pi * 700 * time) + 0.02 * rng.standard_normal(samples)
    quiet = 0.01 * np.exp(-6 * time) * rng.standard_normal(samples)
    return torch.from_numpy(np.stack([loud, quiet]).astype(np.float32))


def recorded(x: Tensor) -> list[float]:
    """Return `VALUES` elements of a tensor (batch, frames, dim), its mean and its standard deviation."""
    flat = x.detach().double().flatten()
    places = np.random.default_rng(len(flat)).choice(len(flat), VALUES, replace=False)
    return [*flat[torch.from_numpy(places)].tolist(), flat.mean().item(), flat.std().item()]


def read_recorded(encoder: str) -> dict[str, Any]:
    """Return what encoder_references.py recorded: `size`, `seconds`, `outputs` {name: {"shape", "values"}}."""
    found: dict[str, Any] = json.loads((RECORDED / f"{encoder}.json").read_text())
    return found


def outputs_of(encoder: nn.Module, blocks: Iterable[nn.Module], features: Tensor) -> dict[str, Tensor]:
    """Return the output of each block, `blocks.0` and so on, and of the encoder, `output` (batch, patches, dim)."""
    found: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_hook(lambda _module, _inputs, x, name=f"blocks.{number}": found.update({name: x}))
        for number, block in enumerate(blocks)
    ]
    with torch.inference_mode():
        found["output"] = encoder(features).flatten(1, 2)
    for hook in hooks:
        hook.remove()
    return found
