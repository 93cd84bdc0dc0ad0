"""Plain Fourier transform of windows: the analysis of DESED_task (the DCASE baseline), PANNs and most others."""

from __future__ import annotations

from torch import Tensor


class Stft:
    """`Analysis` that changes neither waveforms nor frames."""

    def prepare(self, waveforms: Tensor, valid: Tensor | None = None) -> Tensor:  # noqa: ARG002 (the protocol's)
        return waveforms

    def condition(self, frames: Tensor, out: Tensor) -> Tensor:
        return out.copy_(frames)

    def traced(self, frames: Tensor) -> Tensor:
        return frames
