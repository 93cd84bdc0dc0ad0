"""A training step on one device: inputs, student and teacher, loss, backward, clipping, update, moving average."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import torch

from sed.features.logmel import FrontEnd
from sed.models.detector import Detector, DetectorOutput
from sed.training import augment, losses
from sed.training.distributed import World
from sed.training.frequency_warp import warp
from sed.training.gpu.gru_backend import use_bf16
from sed.training.inputs import StepInputs
from sed.training.interpolation import Mixture, interpolated, mix_posteriors
from sed.training.mean_teacher import MovingAverage
from sed.training.parameters import FlatParameters

LOGGED = ("loss", *losses.PARTS, "gradient_norm")


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve the option `precision`: auto becomes bf16 on a GPU, else fp32."""
    if precision == "auto":
        return "bf16" if device.type == "cuda" else "fp32"
    return precision


class Prepared(NamedTuple):
    """Inputs of both models, and the targets after shifting, mixing and masking. For slots see `StepInputs`."""

    student: torch.Tensor
    """(clips, input frames, bins) float32"""
    teacher: torch.Tensor
    """(clips, input frames, bins) float32; with interpolation consistency (ICT) the unmixed (slots, ...)"""
    strong_targets: torch.Tensor
    """(strong clips, label frames, classes) float32; NaN: unknown"""
    weak_targets: torch.Tensor
    """(weak clips, classes) float32"""
    pseudo_targets: torch.Tensor
    """pseudo-labels (clips, label frames, classes) float32, NaN: unknown; (0, ...) without pseudo-labels"""


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Augmentation of a step's inputs on the device, followed by the front end's normalisation and padding.

    The order is shift, mixup, time mask, frequency warp, FilterAugment; with ICT the time mask precedes mixup.
    """

    front_end: FrontEnd
    input_frames: int
    """number of frames of the models' input"""
    input_padding: str
    """name of the padding to it, of `sed.features.padding.PADDINGS`"""
    frame_seconds: float
    """length of a label frame in seconds"""
    mixup_labels: str = "soft"
    """labels of a mixture: soft (weighted sum) or hard (union)"""
    apart: bool = True
    """whether student and teacher get different band gains (FilterAugment) and warps; if not, both get the same input,
    unless `interpolated`"""
    warped: bool = False
    """whether frequencies are warped"""
    wavmixed: bool = False
    """whether powers of some clips are mixed instead of amplitudes, as if their waveforms were added
    (`sed.training.waveform_mixing`)"""
    interpolated: bool = False
    """whether the teacher's inputs are the clips before mixing (ICT: see `sed.training.interpolation`)"""

    def __call__(self, inputs: StepInputs) -> Prepared:
        floor = self.front_end.silence
        ratio = self.frame_seconds / self.front_end.frame_shift  # feature frames per label frame
        x = inputs.features.float()
        valid = inputs.valid
        # Shifts are whole label frames, so that labels and features stay aligned; a clip wraps at its own length.
        x = augment.roll(x, torch.round(inputs.shift * ratio).long(), valid)
        strong_slots = len(inputs.strong_targets)
        # rounding may count a last label frame of which the clip has only a part, and for which there are no labels
        label_period = torch.round(valid / ratio).long().clamp(max=inputs.strong_targets.shape[1])
        strong_y = augment.as_known(
            augment.roll(inputs.strong_targets, inputs.shift[:strong_slots], label_period[:strong_slots])
        )
        weak_y = inputs.weak_targets.float()

        strong, weak, _ = mixtures = inputs.mixtures(wavmixed=self.wavmixed)
        masks = inputs.mask_start, inputs.mask_width
        if self.interpolated:
            x = torch.cat([self._masked(x[:strong_slots], *masks, floor, ratio), x[strong_slots:]])
            strong_y = augment.time_mask(strong_y, *masks, 0.0)
        pseudo_y = self._pseudo(inputs, label_period)
        unmixed, valid_unmixed = x, valid
        x, valid = self._mixed(x, valid, mixtures)
        if strong_slots:
            strong_y = augment.mix_labels(strong_y, strong.partner, strong.weight, self.mixup_labels, strong.added)
        if strong.slots and not self.interpolated:
            n = len(inputs.strong_mix)  # strong clips; the mask of a mixture is that of its first clip
            masks = inputs.mask_start[:n], inputs.mask_width[:n]
            x = torch.cat([self._masked(x[:n], *masks, floor, ratio), x[n:]])
            strong_y = augment.time_mask(strong_y, *masks, 0.0)
        if weak.slots:
            weak_y = augment.mix_labels(weak_y, weak.partner, weak.weight, self.mixup_labels, weak.added)
        student = self._finish(x, inputs.student_gain, inputs.student_warp, valid)
        teacher = student
        if self.interpolated:
            teacher = self._finish(unmixed, inputs.teacher_gain, inputs.teacher_warp, valid_unmixed)
        elif self.apart:
            teacher = self._finish(x, inputs.teacher_gain, inputs.teacher_warp, valid)
        return Prepared(student, teacher, strong_y, weak_y, pseudo_y)

    def _pseudo(self, inputs: StepInputs, label_period: torch.Tensor) -> torch.Tensor:
        """Shift, mask and mix the pseudo-labels of all slots like the labels; return those of the clips.

        `label_period` (slots,) is the length of each clip before padding, in label frames.
        """
        y = inputs.pseudo_targets.float()
        if not len(y):
            return y
        y = augment.roll(y, inputs.shift, label_period)
        mixtures, labels = self.mixing(inputs)
        masks = inputs.mask_start, inputs.mask_width
        if self.interpolated:
            strong = len(masks[0])
            return mix_posteriors(torch.cat([augment.time_mask(y[:strong], *masks, 0.0), y[strong:]]), mixtures, labels)
        y, n = mix_posteriors(y, mixtures, labels), len(inputs.strong_mix)
        return torch.cat([augment.time_mask(y[:n], masks[0][:n], masks[1][:n], 0.0), y[n:]])

    def _mixed(
        self, x: torch.Tensor, valid: torch.Tensor, mixtures: Sequence[Mixture]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix the slots (slots, frames, bins) of each kind; return the clips and their numbers of valid frames."""
        parts, first = [], 0
        decibel, floor = self.front_end.decibel, self.front_end.silence
        for kind, (slots, partner, weight, added) in enumerate(mixtures):
            part = x[first : first + slots], valid[first : first + slots]
            if slots and (kind < 2 or self.interpolated):  # unlabelled clips (kind 2) are mixed for ICT only
                part = augment.mix_features(*part, partner, weight, decibel=decibel, floor=floor, added=added)
            parts.append(part)
            first += slots
        return torch.cat([features for features, _ in parts]), torch.cat([frames for _, frames in parts])

    def mixing(self, inputs: StepInputs) -> tuple[Sequence[Mixture], str]:
        """Return the mixtures of strong, weak and unlabelled clips, and how labels are mixed: soft or hard."""
        return inputs.mixtures(wavmixed=self.wavmixed), self.mixup_labels

    @staticmethod
    def _masked(x: torch.Tensor, start: torch.Tensor, width: torch.Tensor, floor: float, ratio: float) -> torch.Tensor:
        """Silence a range of each clip's features (clips, frames, bins).

        `start` and `width` are in label frames; `floor` is the feature value of silence, `ratio` the number of feature
        frames per label frame.
        """
        first, end = torch.round(start * ratio).long(), torch.round((start + width) * ratio).long()
        return augment.time_mask(x, first, end - first, floor)

    def _finish(self, x: torch.Tensor, gain: torch.Tensor, warps: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Warp one model's input, add its band gains, normalise and pad it; shapes are those of `StepInputs`."""
        if self.warped:
            x = warp(x, warps)
        x = x + gain[:, None, :] * self.front_end.decibel
        return self.front_end.normalise(x, valid, self.input_frames, self.input_padding)


@dataclass(frozen=True, kw_only=True)
class StepValues:
    """Scheduled values of a step."""

    encoder_lr: float
    """learning rate of the encoder, before the `rate_factor` of its layers; 0: it is frozen"""
    head_lr: float
    """learning rate of all other parameters"""
    ema_weight: float
    """weight of the student in the moving average, 1 - decay"""
    loss_weights: tuple[float, float, float, float, float, float]
    """weights of `losses.PARTS`, those of consistency already multiplied by the ramp"""

    @property
    def frozen(self) -> bool:
        """True if the encoder is not trained in this step."""
        return self.encoder_lr == 0

    def as_list(self) -> list[float]:
        """Return the learning rates of encoder and head, `ema_weight` and the loss weights, in this order."""
        return [self.encoder_lr, self.head_lr, self.ema_weight, *self.loss_weights]


class TrainingStep:
    """Training steps, without synchronisation with the device.

    A call returns the values named by `LOGGED` (8,) on the device. Gradients are averaged over several inputs
    (accumulation) and over processes, so a step is equal to one on the whole global batch; except that batch norms, and
    losses that leave out unknown targets, take their means over a share.
    """

    def __init__(
        self,
        *,
        student: Detector,
        teacher: Detector,
        flat: FlatParameters,
        optimiser: torch.optim.AdamW,
        average: MovingAverage,
        preparation: Preparation,
        clip_norm: float,
        precision: str,
        device: torch.device,
        world: World,
        objective: losses.Objective,
        consistent: bool = True,
    ) -> None:
        """
        Args:
            student: the model to train, on the device.
            teacher: its moving average, made by `make_teacher`.
            flat: the student's parameters.
            optimiser: optimiser of `flat`.
            average: updates the teacher.
            preparation: augments and normalises the inputs.
            clip_norm: largest norm of the gradient; 0: no clipping.
            precision: bf16, tf32 or fp32.
            device: device of the models.
            world: processes that train together.
            objective: the loss.
            consistent: whether the loss has consistency parts; if not, these are 0, and the teacher is updated but not
                evaluated.
        """
        self.student, self.teacher, self.consistent = student, teacher, consistent
        self.flat, self.optimiser, self.average = flat, optimiser, average
        self.preparation, self.clip_norm = preparation, clip_norm
        self.precision, self.device, self.world = precision, device, world
        self.objective = objective
        self.frozen = False
        self._values = torch.zeros(3 + len(losses.PARTS), device=device)  # a copy of `StepValues.as_list`
        if precision == "bf16" and device.type == "cuda":
            for model in (student, teacher):
                use_bf16(model)

    def __call__(self, inputs: list[StepInputs], values: StepValues) -> torch.Tensor:
        self.set_values(values)
        self.flat.zero_gradients()
        logged = torch.stack([self.backward(part, 1 / len(inputs)) for part in inputs]).sum(0)
        self.world.average(*self.flat.gradients)
        return torch.cat([logged, self.update()[None]])

    def set_values(self, values: StepValues) -> None:
        """Copy the scheduled values to the device and the optimiser, and freeze or unfreeze the encoder."""
        if values.frozen != self.frozen:
            self.freeze(values.frozen)
        host = torch.tensor(values.as_list())
        self._values.copy_(host.pin_memory() if self.device.type == "cuda" else host, non_blocking=True)
        for group in self.optimiser.param_groups:
            which = 0 if group["name"].startswith("encoder") else 1  # index in `StepValues.as_list`
            if isinstance(group["lr"], torch.Tensor):  # on a GPU (`sed.training.parameters`)
                group["lr"].copy_(self._values[which] * group["rate_factor"])
            else:
                group["lr"] = values.as_list()[which] * group["rate_factor"]

    def freeze(self, frozen: bool) -> None:
        """Freeze or unfreeze the student's encoder.

        A frozen encoder requires no gradients, so that autograd records nothing of it. It is left out of the gradient
        norm, the optimiser's moments and the moving average: an encoder is frozen in the first epochs or in all, in
        which the teacher's encoder still has the student's initial weights.
        """
        self.frozen = frozen
        for group in self.flat.names:
            if group.startswith("encoder"):
                (self.flat.freeze if frozen else self.flat.thaw)(group)

    def backward(self, inputs: StepInputs, share: float) -> torch.Tensor:
        """Compute the loss of some inputs and add its gradients, times `share`, to those of the parameters.

        Args:
            inputs: a share of the batch, on the device.
            share: factor of the loss, 1 / number of shares.

        Returns:
            Loss and its `losses.PARTS` (7,), times `share`, on the device.
        """
        with torch.no_grad():
            prepared = self.preparation(inputs)
        if self.consistent:
            student, teacher = self.models(prepared)
            if self.preparation.interpolated:
                with torch.no_grad():
                    teacher = interpolated(teacher, *self.preparation.mixing(inputs))
        else:
            with self.autocast():  # the same output twice: the consistency parts are 0
                student = teacher = self.student_alone(prepared.student)
        loss, parts = self.objective(
            student,
            teacher,
            strong_targets=prepared.strong_targets,
            weak_targets=prepared.weak_targets,
            weights=self._values[3:],
            pseudo_targets=prepared.pseudo_targets,
        )
        (loss * share).backward()
        return torch.cat([loss.detach()[None], parts]) * share

    def student_alone(self, x: torch.Tensor) -> DetectorOutput:
        """Return the student's output for x (clips, input frames, bins)."""
        return self.student(x)

    def models(self, prepared: Prepared) -> tuple[DetectorOutput, DetectorOutput]:
        """Return the outputs of student and teacher; only the student's have gradients."""
        with self.autocast():
            student = self.student(prepared.student)
            with torch.no_grad():
                teacher = self.teacher(prepared.teacher)
        return student, teacher

    def update(self) -> torch.Tensor:
        """Clip the gradients, update the student, then the teacher; return the gradient's norm () before clipping."""
        norm = self.flat.clip_gradients(self.clip_norm)
        self.optimiser.step()
        self.average.update(self._values[2])
        return norm

    def release(self) -> None:
        """Free the memory of captured graphs, if any; call it after the last step."""

    def autocast(self) -> AbstractContextManager[None]:
        """Return the autocast context of the models (bf16 or none); the losses are computed outside, in float32.

        Weights are cast at each use, not cached: a CUDA graph must cast the updated ones at each replay.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False)
