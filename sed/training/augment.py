"""Augmentation of FDY-CRNN (F): time shift, mixup, time mask, FilterAugment.

The random numbers of a step are drawn on the host for the whole global batch from (seed, step), so they are the same on
every device and for any number of processes; those of frequency warping and waveform mixing, which have separate
modules, are drawn here, too. A few batched operations apply them on the device. Shifts and masks are in seconds, gains
in decibels, so that they mean the same for every front end. Features are raw log-mel, in which a decibel is a constant
difference; mixup adds amplitudes. Letters such as (F) name sources: see egs/desed/README.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sed.data.labels import UNKNOWN
from sed.errors import UserError
from sed.training.frequency_warp import draw_warps
from sed.training.waveform_mixing import draw_levels

FILTERS = ["none", "step", "linear"]

SECTION = "augmentation"
OPTIONS = {
    "shift_seconds": {
        "default": 1.44,
        "help": "standard deviation of the time shift, s (F: 90 frames of 16 ms)",
        "least": 0,
    },
    "mixup_probability": {
        "default": 1.0,
        "help": "probability that mixup is applied to a strong or weak clip, with interpolation_consistency also to an "
        "unlabelled one (F: every step; D: 0.5)",
        "least": 0,
        "most": 1,
    },
    "mixup_alpha": {"default": 0.2, "help": "mixing weights are drawn from Beta(alpha, alpha) (F)", "least": 1e-3},
    "mixup_labels": {
        "default": "soft",
        "help": "labels of a mixture: their weighted sum (soft: F) or their union (hard)",
        "choices": ["soft", "hard"],
    },
    "mask_min_seconds": {
        "default": 0.5,
        "help": "shortest time mask of strong clips, s (F: 1/20 of the clip)",
        "least": 0,
    },
    "mask_max_seconds": {"default": 2.0, "help": "longest time mask, s; 0: none (F: 1/5 of the clip)", "least": 0},
    "filter_augment": {
        "default": "step",
        "help": "FilterAugment: random gains, constant per band (step: F) or linear between band edges; none: off",
        "choices": FILTERS,
    },
    "filter_min_db": {"default": -4.5, "help": "lowest band gain, dB (F)"},
    "filter_max_db": {"default": 6.0, "help": "highest band gain, dB (F)"},
    "filter_min_bands": {"default": 2, "help": "smallest number of bands of FilterAugment (F)", "least": 1},
    "filter_max_bands": {"default": 4, "help": "largest number of bands of FilterAugment (F)", "least": 1},
    "filter_min_width": {"default": 4, "help": "narrowest band, mel bins (F)", "least": 1},
}
OPTIONS_FROM = ["sed.training.frequency_warp", "sed.training.waveform_mixing"]


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """The options of this module and of those of `OPTIONS_FROM`, with the same defaults."""

    shift_seconds: float = 1.44
    mixup_probability: float = 1.0
    mixup_alpha: float = 0.2
    mixup_labels: str = "soft"
    mask_min_seconds: float = 0.5
    mask_max_seconds: float = 2.0
    filter_augment: str = "step"
    filter_min_db: float = -4.5
    filter_max_db: float = 6.0
    filter_min_bands: int = 2
    filter_max_bands: int = 4
    filter_min_width: int = 4
    warp_probability: float = 0.0
    warp_least: float = 0.6
    wavmix_probability: float = 0.0
    wavmix_decibels: float = 5.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AugmentOptions:
        """Return the options of a flat config.

        Raises:
            UserError: a lower limit is above the upper one.
        """
        pairs = [("filter_min_db", "filter_max_db"), ("filter_min_bands", "filter_max_bands")]
        if config["mask_max_seconds"] > 0:  # else there are no masks
            pairs.append(("mask_min_seconds", "mask_max_seconds"))
        for low, high in pairs:
            if config[low] > config[high]:
                raise UserError(f"{low} {config[low]} is above {high} {config[high]} (change one of them)")
        return cls(**{key: config[key] for key in cls.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Random numbers of one global batch on the host; clips are in the order strong, weak, unlabelled.

    A label frame is an output frame of the model, for which a strong clip has a target.
    """

    shift: np.ndarray
    """label frames to roll by, later in time if positive (batch,) int64"""
    partner: np.ndarray
    """index in the batch of the clip to mix with (batch,) int64"""
    mix: np.ndarray
    """weight of the clip itself in the sum of amplitudes, or of powers if `added`; 1: not mixed (batch,) float32"""
    added: np.ndarray
    """whether powers are mixed instead of amplitudes, as in a mixture of waveforms (batch,) bool"""
    mask_start: np.ndarray
    """first masked label frame (batch,) int64"""
    mask_width: np.ndarray
    """number of masked label frames, 0 if none (batch,) int64"""
    student_gain: np.ndarray
    """decibels to add for the student (batch, bins) float32"""
    teacher_gain: np.ndarray
    """decibels to add for the teacher (batch, bins) float32"""
    student_warp: np.ndarray
    """first bin and step of the student's frequency warp, from `draw_warps` (batch, 2) float32"""
    teacher_warp: np.ndarray
    """first bin and step of the teacher's frequency warp (batch, 2) float32"""


def draw(
    rng: np.random.Generator,
    options: AugmentOptions,
    *,
    strong: int,
    weak: int,
    unlabelled: int,
    frames: int,
    frame_seconds: float,
    bins: int,
    mix_unlabelled: bool = False,
) -> Draws:
    """Draw the augmentation of a global batch.

    Args:
        rng: source of random numbers.
        options: augmentation options.
        strong: number of strong clips.
        weak: number of weak clips.
        unlabelled: number of unlabelled clips.
        frames: label frames per clip.
        frame_seconds: length of a label frame in seconds.
        bins: mel bins.
        mix_unlabelled: whether mixup is applied to unlabelled clips as well, as interpolation consistency needs.

    Returns:
        The random numbers; partners are drawn among the clips of the same kind.
    """
    batch = strong + weak + unlabelled
    shift = np.rint(rng.normal(0, 1, batch) * options.shift_seconds / frame_seconds).astype(np.int64)
    mix = np.ones(batch, np.float32)
    mixed = rng.random(batch) < options.mixup_probability
    mixed[strong + weak :] = False
    weights = rng.beta(options.mixup_alpha, options.mixup_alpha, batch)
    mix[mixed] = weights[mixed]
    partner = np.concatenate(
        [rng.permutation(strong), strong + rng.permutation(weak), np.arange(strong + weak, batch)]
    ).astype(np.int64)
    low, high = (round(s / frame_seconds) for s in (options.mask_min_seconds, options.mask_max_seconds))
    # `high` itself is drawn only if it equals `low` (F)
    width = rng.integers(low, max(high, low + 1), batch).clip(0, frames) if high > 0 else np.zeros(batch, np.int64)
    start = np.floor(rng.random(batch) * (frames - width + 1)).astype(np.int64)
    width[strong:] = 0  # only strong clips (F): a mask may hide all that a weak clip's tag names
    gains = [filter_gains(rng, options, clips=batch, bins=bins) for _ in range(2)]
    # Options that were added later draw last, and only if they are used: without them, the numbers stay as they were.
    warps = [draw_warps(rng, options.warp_probability, options.warp_least, clips=batch, bins=bins) for _ in range(2)]
    added, share = draw_levels(rng, options.wavmix_probability, options.wavmix_decibels, clips=batch)
    added[strong + weak :] = False  # unlabelled clips have no labels to unite (`waveform_mixing`)
    if mix_unlabelled:
        mixed = rng.random(unlabelled) < options.mixup_probability
        weights = rng.beta(options.mixup_alpha, options.mixup_alpha, unlabelled)
        mix[strong + weak :] = np.where(mixed, weights, 1)
        partner[strong + weak :] = strong + weak + rng.permutation(unlabelled)
    return Draws(
        shift=shift,
        partner=partner,
        mix=np.where(added, share, mix),
        added=added,
        mask_start=start,
        mask_width=width.astype(np.int64),
        student_gain=gains[0],
        teacher_gain=gains[1],
        student_warp=warps[0],
        teacher_warp=warps[1],
    )


def filter_gains(rng: np.random.Generator, options: AugmentOptions, *, clips: int, bins: int) -> np.ndarray:
    """Draw the gains of FilterAugment.

    Bands are at least `filter_min_width` wide, or less if there are too few bins for that.

    Args:
        rng: source of random numbers.
        options: `filter_augment` is step (one gain per band), linear (interpolated between gains at band edges) or
            none (gains 0).
        clips: number of clips.
        bins: mel bins.

    Returns:
        Gains in decibels (clips, bins) float32.
    """
    if options.filter_augment == "none":
        return np.zeros((clips, bins), np.float32)
    most = min(options.filter_max_bands, bins)
    bands = rng.integers(min(options.filter_min_bands, most), most + 1, clips)
    width = np.minimum(options.filter_min_width, bins // bands)
    # Inner edges: sorted draws from the bins left over by the minimum widths, then moved apart by these widths. All
    # clips have an array of `most` bands; those beyond a clip's number are empty, after the last bin.
    spare = bins - bands * width
    inner = np.floor(rng.random((clips, most - 1)) * (spare[:, None] + 1)).astype(np.int64)
    nth = np.arange(1, most)
    inner = np.where(nth < bands[:, None], inner, spare[:, None])
    inner = np.sort(inner, axis=1) + nth * width[:, None]
    edges = np.concatenate([np.zeros((clips, 1), np.int64), inner, np.full((clips, 1), bins)], axis=1)
    edges = np.where(np.arange(most + 1) < bands[:, None], edges, bins)
    gains = rng.uniform(options.filter_min_db, options.filter_max_db, (clips, most + 1))
    bin_ = np.arange(bins)
    band = (bin_[None, :, None] >= edges[:, None, 1:-1]).sum(-1) if most > 1 else np.zeros((clips, bins), np.int64)
    left = np.take_along_axis(gains, band, axis=1)
    if options.filter_augment == "step":
        return left.astype(np.float32)
    from_, to = np.take_along_axis(edges, band, axis=1), np.take_along_axis(edges, band + 1, axis=1)
    right = np.take_along_axis(gains, band + 1, axis=1)
    return (left + (right - left) * (bin_ - from_) / np.maximum(to - from_, 1)).astype(np.float32)


def roll(x: torch.Tensor, shift: torch.Tensor, period: torch.Tensor) -> torch.Tensor:
    """Roll each clip circularly in time, within its first frames.

    Args:
        x: features or targets (clips, time, ...).
        shift: frames to roll each clip by, later in time if positive (clips,).
        period: number of first frames of each clip that are rolled (clips,); later ones, its padding, stay.

    Returns:
        The rolled clips (clips, time, ...).
    """
    clips, time = x.shape[:2]
    t = torch.arange(time, device=x.device)
    source = torch.where(t < period[:, None], (t - shift[:, None]) % period.clamp(min=1)[:, None], t)
    at = source + time * torch.arange(clips, device=x.device)[:, None]
    return x.reshape(clips * time, *x.shape[2:]).index_select(0, at.reshape(-1)).view_as(x)


def mix_features(
    x: torch.Tensor,
    valid: torch.Tensor,
    partner: torch.Tensor,
    weight: torch.Tensor,
    *,
    decibel: float,
    floor: float,
    added: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix the first n clips with their partners, adding amplitudes (or powers): weight * clip + (1 - weight) * partner.

    Args:
        x: raw features (clips, time, bins) float32; frames beyond a clip's valid ones are ignored.
        valid: number of valid frames of each clip (clips,).
        partner: index of the clip that each of the first n is mixed with (n,).
        weight: mixing weight of the clip itself (n,); 1: it is not mixed.
        decibel: one decibel in the units of the features.
        floor: feature value of silence, the lower limit of the result.
        added: for which clips powers are mixed instead of amplitudes (n,) bool; None: for none.

    Returns:
        Features (n, time, bins), 0 beyond the valid frames, and numbers of valid frames (n,); a mixture is as long as
        the longer of its clips.
    """
    n = len(weight)
    log_amplitude = math.log(10) / 20 / decibel  # converts features to natural logarithms of amplitudes
    time = torch.arange(x.shape[1], device=x.device)
    other, other_valid = x.index_select(0, partner), valid.index_select(0, partner)
    own = torch.where((time < valid[:n, None])[..., None], x[:n] * log_amplitude, -math.inf)
    other = torch.where((time < other_valid[:, None])[..., None], other * log_amplitude, -math.inf)
    w = weight.view(n, 1, 1)
    if added is None:
        total = torch.logaddexp(own + w.log(), other + (1 - w).log())
    else:
        # 2 where powers are mixed (the logarithm of a power is twice that of the amplitude), else 1
        exponent = 1 + added.view(n, 1, 1).to(x.dtype)
        total = torch.logaddexp(own * exponent + w.log(), other * exponent + (1 - w).log()) / exponent
    total = (total / log_amplitude).clamp_min(floor)
    longer = torch.where(weight < 1, torch.maximum(valid[:n], other_valid), valid[:n])
    return torch.where((time < longer[:, None])[..., None], total, 0.0), longer


def as_known(y: torch.Tensor) -> torch.Tensor:
    """Convert targets (uint8, or float32 if soft) to float32, and `UNKNOWN` to NaN."""
    return torch.where(y == UNKNOWN, math.nan, y.float())


def mix_labels(
    y: torch.Tensor, partner: torch.Tensor, weight: torch.Tensor, kind: str, added: torch.Tensor | None = None
) -> torch.Tensor:
    """Mix the labels of the first n clips with those of their partners.

    Args:
        y: targets (clips, ...); NaN: unknown, which it stays in a mixture.
        partner: index of the clip that each of the first n is mixed with (n,).
        weight: mixing weight of the clip itself (n,).
        kind: soft (weighted sum) or hard (union).
        added: which clips get the union whatever `kind` is, because their powers are mixed (n,) bool; None: none.

    Returns:
        Targets (n, ...).
    """
    n = len(weight)
    w = weight.view(n, *[1] * (y.ndim - 1))
    other = y.index_select(0, partner)
    if kind == "hard":
        return torch.where(w < 1, torch.maximum(y[:n], other), y[:n])
    mixed = w * y[:n] + (1 - w) * other
    if added is not None:
        mixed = torch.where(added.view_as(w), torch.maximum(y[:n], other), mixed)
    return torch.where(w < 1, mixed, y[:n])  # clips that are not mixed: their partner's 0 * NaN would be NaN


def time_mask(x: torch.Tensor, start: torch.Tensor, width: torch.Tensor, value: float) -> torch.Tensor:
    """Set a range of frames of each clip to a value.

    Args:
        x: features or targets (clips, time, ...).
        start: first masked frame of each clip (clips,).
        width: number of masked frames of each clip (clips,).
        value: what they are set to: silence for features, 0 for targets and posteriors.

    Returns:
        The masked clips (clips, time, ...).
    """
    t = torch.arange(x.shape[1], device=x.device)
    inside = (t >= start[:, None]) & (t < (start + width)[:, None])
    return x.masked_fill(inside.view(*inside.shape, *[1] * (x.ndim - 2)), value)
