"""Clip posteriors from frame posteriors."""

from __future__ import annotations

from torch import Tensor, nn

KINDS = ["linear_softmax", "attention", "mean", "max"]
LOW, HIGH = 1e-7, 1.0


OPTIONS = {
    "clip_pooling": {
        "default": "linear_softmax",
        "help": "clip posteriors from frame posteriors",
        "choices": KINDS,
    },
}


class ClipPooling(nn.Module):
    """(batch, frames, classes) frame posteriors -> (batch, classes) clip posteriors in [1e-7, 1].

    `linear_softmax` is sum y^2 / sum y (P says "softmax", L). `attention` is the DCASE baseline's: weights are a
    softmax over the classes of a second linear map of the decoder's output.
    """

    def __init__(self, *, kind: str, dim: int, classes: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"clip_pooling '{kind}' is not known ({', '.join(KINDS)})")
        self.kind = kind
        self.attention = nn.Linear(dim, classes) if kind == "attention" else None

    def forward(self, posteriors: Tensor, hidden: Tensor) -> Tensor:
        """`hidden` (batch, frames, dim) is what the frame logits were computed from."""
        if self.kind == "max":
            clip = posteriors.amax(1)
        elif self.kind == "mean":
            clip = posteriors.mean(1)
        elif self.attention is None:
            clip = posteriors.square().sum(1) / posteriors.sum(1).clamp_min(LOW)
        else:
            weights = self.attention(hidden).softmax(-1).clamp(LOW, 1.0)
            clip = (posteriors * weights).sum(1) / weights.sum(1)
        return clip.clamp(LOW, HIGH)
