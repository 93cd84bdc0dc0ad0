"""Level normalisation of waveforms before the analysis: none, or to a peak of 1 per clip.

A clip is what the front end processes at once: a clip of a dump, or a window of a longer recording, at the front end's
rate and no longer than `clip_seconds`. Letters such as (F) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

from torch import Tensor

from sed.features.units import QUIETEST


def none(waveforms: Tensor, valid: Tensor | None = None) -> Tensor:  # noqa: ARG001 (one signature for all)
    """Return the waveforms (..., samples) unchanged; arguments as in `centred_peak`."""
    return waveforms


def peak(waveforms: Tensor, valid: Tensor | None = None) -> Tensor:  # noqa: ARG001 (one signature for all)
    """Divide waveforms (..., samples) by their largest absolute value (F, L), unless it is below `QUIETEST`.

    Arguments are those of `centred_peak`.
    """
    highest = waveforms.abs().amax(-1, keepdim=True)
    return waveforms / highest.where(highest >= QUIETEST, highest.new_ones(()))


def centred_peak(waveforms: Tensor, valid: Tensor | None = None) -> Tensor:
    """Subtract the mean, then divide by the largest absolute value, as `peak` does (E).

    Args:
        waveforms: (..., samples), zero beyond the valid ones.
        valid: number of valid samples (..., 1); None: all.

    Returns:
        (..., samples), zero beyond the valid ones.
    """
    if valid is None:
        return peak(waveforms - waveforms.mean(-1, keepdim=True))
    inside = waveforms.new_ones(waveforms.shape[-1]).cumsum(-1) <= valid
    return peak((waveforms - waveforms.sum(-1, keepdim=True) / valid) * inside)
