"""Signals that front ends are compared on: tones, noise, silence and mixtures of them."""

from __future__ import annotations

import torch

RATE = 16000


def signals() -> dict[str, torch.Tensor]:
    """Return {name: waveform (samples,)} of two seconds each."""
    torch.manual_seed(0)
    t = torch.arange(2 * RATE) / RATE
    tones = {f"tone {f}": 0.99 * torch.sin(2 * torch.pi * f * t) for f in (30, 440, 1000, 3999, 7900)}
    noise = torch.randn(2 * RATE)
    return {
        **tones,
        "noise": 0.1 * noise,
        "quiet noise": 1e-5 * noise,
        "clipped": (4 * noise).clamp(-1, 1),
        "square": tones["tone 440"].sign(),
        "offset": 0.5 + 0.1 * noise,
        "silence": torch.zeros(2 * RATE),
        "half silence": torch.cat([torch.zeros(RATE), 0.3 * noise[:RATE]]),
        "click": torch.nn.functional.one_hot(torch.tensor(RATE), 2 * RATE).float(),
    }
