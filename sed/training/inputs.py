"""Inputs of a training step: clips, targets and augmentation draws, as tensors of fixed shapes.

They are made on the host for any share of the global batch (that of a rank, or of a step of gradient accumulation);
the shares together are the batch that a single process would use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, TypeVar

import numpy as np
import torch

from sed.data.batches import BatchSampler, FeaturePool, TrainingSet
from sed.data.targets import JoinedTargets
from sed.errors import UserError
from sed.prefetch import prefetched
from sed.training import augment
from sed.training.augment import AugmentOptions
from sed.training.interpolation import Mixture
from sed.training.pseudo_labels import PseudoLabels


@dataclass(frozen=True, kw_only=True)
class StepInputs:
    """One share of a batch.

    A label frame is an output frame of the model, for which a strong clip has a target. Clips are those that the share
    contributes to the batch; slots are the clips to be read for it, including mixup partners. Slots are in this order:
    strong clips, their partners, weak clips, their partners, unlabelled clips and, with interpolation consistency
    (ICT), their partners. If a batch is a single share, the partners are among the clips themselves and take no slots
    of their own. The teacher's gains and warps are those of the clips; with ICT, in which the teacher gets the clips
    before mixing, those of all slots.
    """

    features: torch.Tensor
    """raw log-mel (slots, frames, bins), float16 of dumped sets, float32 of the soundscapes that pre-training mixes;
    before `Maker.fetched` maybe only what it needs to make them, such as indices (slots,) in a cache on the device"""
    valid: torch.Tensor
    """number of feature frames of each clip before padding (slots,) int64"""
    shift: torch.Tensor
    """label frames to roll by, later in time if positive (slots,) int64"""
    strong_targets: torch.Tensor
    """(strong slots, label frames, classes) uint8, or float32 if a set's labels are soft; `UNKNOWN` (2): unknown"""
    weak_targets: torch.Tensor
    """(weak slots, classes) uint8"""
    pseudo_targets: torch.Tensor
    """pseudo-labels (slots, label frames, classes) float16, NaN: unknown; (0, ...) without pseudo-labels"""
    strong_partner: torch.Tensor
    """index of the mixup partner among the strong slots (strong clips,) int64"""
    strong_mix: torch.Tensor
    """mixing weight of the clip itself, 1 if it is not mixed (strong clips,) float32"""
    weak_partner: torch.Tensor
    """index of the mixup partner among the weak slots (weak clips,) int64"""
    weak_mix: torch.Tensor
    """as `strong_mix` (weak clips,) float32"""
    strong_added: torch.Tensor
    """whether powers are mixed instead of amplitudes, as in a mixture of waveforms (strong clips,) bool"""
    weak_added: torch.Tensor
    """as `strong_added` (weak clips,) bool"""
    unlabelled_partner: torch.Tensor
    """index of the mixup partner among the unlabelled slots (unlabelled clips,) int64"""
    unlabelled_mix: torch.Tensor
    """as `strong_mix` (unlabelled clips,) float32"""
    mask_start: torch.Tensor
    """first masked label frame (strong slots,) int64"""
    mask_width: torch.Tensor
    """number of masked label frames (strong slots,) int64"""
    student_gain: torch.Tensor
    """decibels to add for the student (clips, bins) float32"""
    teacher_gain: torch.Tensor
    """decibels to add for the teacher (clips or slots, bins) float32"""
    student_warp: torch.Tensor
    """first bin and step of the frequency warp, from `draw_warps` (clips, 2) float32"""
    teacher_warp: torch.Tensor
    """as `student_warp` (clips or slots, 2) float32"""

    def mixtures(self, *, wavmixed: bool) -> tuple[Mixture, Mixture, Mixture]:
        """Return how strong, weak and unlabelled clips are mixed.

        With `wavmixed`, those in `strong_added` and `weak_added` are mixed by adding powers; without, none is.
        """
        strong, weak = len(self.strong_targets), len(self.weak_targets)
        added = (self.strong_added, self.weak_added) if wavmixed else (None, None)
        return (
            Mixture(strong, self.strong_partner, self.strong_mix, added[0]),
            Mixture(weak, self.weak_partner, self.weak_mix, added[1]),
            Mixture(len(self.valid) - strong - weak, self.unlabelled_partner, self.unlabelled_mix),
        )

    def to(self, device: torch.device) -> StepInputs:
        """Copy to a device, asynchronously."""
        if device.type == "cpu":
            return self
        return StepInputs(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


Made = TypeVar("Made")


class Maker(Protocol[Made]):
    """Protocol of input makers: inputs are a pure function of the seed, the step and the data."""

    @property
    def clips(self) -> int:
        """Number of clips of the global batch."""

    @property
    def in_memory(self) -> bool:
        """True if making inputs does not read from disk."""

    def make(self, step: int, share: int = 0) -> Made:
        """Make one share of a step's inputs on the host; any thread may call it."""

    def fetched(self, inputs: Made) -> StepInputs:
        """Return the inputs on the device, including the features."""


class InputMaker:
    """Input maker of dumped sets; see `Maker`."""

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        pool: FeaturePool,
        *,
        seed: int,
        options: AugmentOptions,
        frames: int,
        frame_seconds: float,
        classes: int,
        shares: int = 1,
        interpolated: bool = False,
        pseudo: PseudoLabels | None = None,
    ) -> None:
        """
        Args:
            sets: the training sets, in the order of `pool`.
            pool: features of all sets.
            seed: seed of batches and augmentation.
            options: augmentation options.
            frames: label frames per clip.
            frame_seconds: length of a label frame in seconds.
            classes: number of classes.
            shares: number of equal shares that a batch is divided into.
            interpolated: whether the teacher gets the clips before mixing, and unlabelled clips are mixed, too (ICT).
            pseudo: pseudo-labels of the clips of `sets`; None: none.

        Raises:
            UserError: the strong, weak or unlabelled clips of a batch cannot be divided into equal shares.
        """
        self.seed, self.options, self.shares = seed, options, shares
        self.interpolated, self.pseudo = interpolated, pseudo
        self._no_pseudo = np.zeros((0, frames, classes), np.float16)
        self.pool, self.frames, self.frame_seconds = pool, frames, frame_seconds
        self._sampler = BatchSampler(sets, seed=seed)
        self.sizes = {
            kind: sum(s.batch_size for s in sets if s.supervision == kind) for kind in ("strong", "weak", "unlabelled")
        }
        for kind, size in self.sizes.items():
            if size % shares:
                raise UserError(
                    f"{size} {kind} clips per batch do not divide into {shares} equal shares (ranks x accumulation): "
                    "change the batch size"
                )
        self._strong = _targets(sets, "strong", (frames, classes))
        self._weak = _targets(sets, "weak", (classes,))
        self._pin = pool.device.type == "cuda"

    @property
    def in_memory(self) -> bool:
        """True if making inputs does not read from disk."""
        return self.pool.cache != "none"

    @property
    def clips(self) -> int:
        """Number of clips of the global batch."""
        return sum(self.sizes.values())

    def make(self, step: int, share: int = 0) -> StepInputs:
        """Make the inputs of one share of a step on the host.

        If the features are cached on the device, `features` holds their indices in the cache; see `fetched`.
        """
        # Rows of the pool, one per clip of the batch; `own` and slots are positions in the batch.
        rows = self._sampler.rows(step)
        strong, weak = self.sizes["strong"], self.sizes["weak"]
        draws = augment.draw(
            np.random.default_rng((self.seed, step, 0xA06)),  # 0xA06: arbitrary, keeps random streams apart
            self.options,
            **self.sizes,
            frames=self.frames,
            frame_seconds=self.frame_seconds,
            bins=self.pool.bins,
            mix_unlabelled=self.interpolated,
        )
        starts = np.cumsum([0, strong, weak, self.sizes["unlabelled"]])
        own = [share_of(starts[k], starts[k + 1], share, self.shares) for k in range(3)]
        strong_slots, strong_partner = with_partners(own[0], draws.partner, self.shares)
        weak_slots, weak_partner = with_partners(own[1], draws.partner, self.shares)
        unlabelled_slots, unlabelled_partner = own[2], np.arange(len(own[2]))  # not mixed: partners of themselves
        if self.interpolated:
            unlabelled_slots, unlabelled_partner = with_partners(own[2], draws.partner, self.shares)
        slots = np.concatenate([strong_slots, weak_slots, unlabelled_slots])
        of_teacher = slots if self.interpolated else np.concatenate(own)
        arrays = {
            "valid": self.pool.valid[rows[slots]],
            "shift": draws.shift[slots],
            "strong_targets": self._strong[rows[strong_slots]],
            # In the pool, the weak sets follow the strong sets.
            "weak_targets": self._weak[rows[weak_slots] - len(self._strong)],
            "pseudo_targets": self._no_pseudo if self.pseudo is None else self.pseudo[rows[slots]],
            "strong_partner": strong_partner,
            "weak_partner": weak_partner,
            "unlabelled_partner": unlabelled_partner,
            **drawn(draws, own, strong_slots=strong_slots, of_teacher=of_teacher),
        }
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        if self._pin:
            tensors = {name: tensor.pin_memory() for name, tensor in tensors.items()}
        if self.pool.cache == "device":
            features = torch.from_numpy(rows[slots])  # `fetched` gathers them on the device
            features = features.pin_memory() if self._pin else features
        else:
            features = self.pool.read(rows[slots])
        return StepInputs(features=features, **tensors)

    def fetched(self, inputs: StepInputs) -> StepInputs:
        """Return the inputs on the device, including the features."""
        inputs = inputs.to(self.pool.device)
        if self.pool.cache == "device":
            inputs = replace(inputs, features=self.pool.gather(inputs.features))
        return inputs


def drawn(
    draws: augment.Draws, own: Sequence[np.ndarray], *, strong_slots: np.ndarray, of_teacher: np.ndarray
) -> dict[str, np.ndarray]:
    """Return a share's mixing weights, masks, gains and warps.

    Args:
        draws: the random numbers of the batch.
        own: positions in the batch of the share's strong, weak and unlabelled clips, each (clips,).
        strong_slots: positions of its strong slots (slots,).
        of_teacher: positions of the clips, or slots, that the teacher gets (clips or slots,).

    Returns:
        {field of `StepInputs`: its values}.
    """
    strong, weak, unlabelled = own
    clips = np.concatenate(own)
    return {
        "strong_mix": draws.mix[strong],
        "weak_mix": draws.mix[weak],
        "strong_added": draws.added[strong],
        "weak_added": draws.added[weak],
        "unlabelled_mix": draws.mix[unlabelled],
        "mask_start": draws.mask_start[strong_slots],
        "mask_width": draws.mask_width[strong_slots],
        "student_gain": draws.student_gain[clips],
        "teacher_gain": draws.teacher_gain[of_teacher],
        "student_warp": draws.student_warp[clips],
        "teacher_warp": draws.teacher_warp[of_teacher],
    }


def share_of(start: int, end: int, share: int, shares: int) -> np.ndarray:
    """Return the positions in the batch of a share's clips.

    Args:
        start: position of the first clip of a kind.
        end: position after the last one.
        share: index of the share.
        shares: number of equal shares that these clips are divided into.

    Returns:
        Positions (clips,) int64.
    """
    size = (end - start) // shares
    return np.arange(start + share * size, start + (share + 1) * size)


def with_partners(own: np.ndarray, partner: np.ndarray, shares: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a share's slots of one kind of clips, and each clip's partner among them.

    Args:
        own: positions in the batch of the share's clips of this kind (clips,).
        partner: position of every clip's mixup partner (batch,).
        shares: number of shares; a single one contains all partners already.

    Returns:
        Positions in the batch of the slots, and the partners' indices in them (clips,).
    """
    if shares == 1:
        return own, partner[own] - (own[0] if len(own) else 0)
    return np.concatenate([own, partner[own]]), len(own) + np.arange(len(own))


def _targets(sets: Sequence[TrainingSet], supervision: str, shape: tuple[int, ...]) -> JoinedTargets:
    """Return the targets of all sets with this supervision; `shape` is that of a clip's targets."""
    return JoinedTargets([s.targets for s in sets if s.supervision == supervision and s.targets is not None], shape)


def inputs_from(
    maker: Maker[Made], steps: range, shares: Sequence[int], *, ahead: int
) -> Iterator[tuple[int, list[Made]]]:
    """Return an iterator over the inputs of steps, prefetched by a thread.

    Args:
        maker: makes the inputs.
        steps: indices of the steps.
        shares: indices of the shares to make for each step.
        ahead: number of steps to prefetch; 0: make inputs in the calling thread, on demand.

    Returns:
        Iterator of steps, each with the inputs of each share.
    """
    made = ((step, [maker.make(step, share) for share in shares]) for step in steps)
    return prefetched(made, ahead)
