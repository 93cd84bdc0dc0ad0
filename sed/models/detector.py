"""Sound event detector: encoder, frequency pooling, time decoder and clip pooling, each chosen by config.

AST-GRU is `pooling: mean, upsample: 1`; AST-SED is `pooling: fte` (frequency-wise transformer encoder) with
`upsample: 10`; the CRNN baseline is `encoder: cnn`. The variants of the AST-SED paper's ablation are other values of
these options. There are three frame rates: that of the features (`input_frames`), that of the encoder's patches in
time, and that of the output, which is `upsample` times the encoder's. Letters such as (P) name sources: see
sed/models/__init__.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sed.errors import UserError
from sed.models.ast import NORM_EPS
from sed.models.classifiers import build_classifier
from sed.models.clip_poolings import ClipInputs, ClipPooling, build_clip_pooling
from sed.models.decoders import Decoder, Directed, build_decoder
from sed.models.encoders import Encoder, build_encoder
from sed.models.poolings import BandwisePooling, Pooling, build_pooling

# The options `mel_bins`, `clip_seconds` and `frame_shift` of the front end define the model as well.
OPTIONS = {
    "input_frames": {"default": 1024, "help": "frames of the features after padding", "least": 1},
    "input_padding": {
        "default": "raw",
        "help": "padding of short clips: raw: zeros, before normalising (L); silence: features of silence, before "
        "normalising; normalised: zeros, after normalising",
        "choices": ["raw", "silence", "normalised"],
    },
}
DRAWING = (Tensor.uniform_, Tensor.normal_, Tensor.erfinv_)
"""operations of those functions of torch.nn.init that do not dispatch to `_Undrawn`, such as trunc_normal_, whose
erfinv_ takes as long as its draw"""
OPTIONS_FROM = [
    "sed.models.encoders",
    "sed.models.poolings",
    "sed.models.decoders",
    "sed.models.classifiers",
    "sed.models.clip_poolings",
]


RunClassifier = Callable[[nn.Module, Tensor], Tensor]
"""function of (classifier, hidden (batch, frames, dim)) that returns float32 logits, outside of autocast"""


def in_float32(classifier: nn.Module, hidden: Tensor) -> Tensor:
    """Apply the classifier in float32; see `RunClassifier`."""
    logits: Tensor = classifier(hidden.float())
    return logits


class DetectorOutput(NamedTuple):
    """Output of a detector: frame `logits` (batch, frames, classes) and `clip` posteriors (batch, classes).

    `directions` are logits (2, batch, frames, classes) of the forward and the backward direction of a `Directed`
    decoder; None for others. All are float32, also under autocast.
    """

    logits: Tensor
    clip: Tensor
    directions: Tensor | None = None


class Detector(nn.Module):
    """Sound event detector, from normalised features (batch, input_frames, mel_bins) to `DetectorOutput`.

    `frame_seconds` is the time from one output frame to the next, `num_frames` the number of output frames; together
    they cover `clip_seconds`, unless `input_frames` are too few. `encoder_seconds` is the time between two patches.
    `run_classifier` applies the classifier to frames; training on a GPU replaces it. `freeze_batchnorm` keeps the
    encoder's batch norms as they are loaded, also in training.
    """

    OF_CLASSES = ("classifier.", "clip_pooling.")
    """prefixes of the parameters whose first dimension is the class; with `class_merge`, not `classifier.head`'s, whose
    first dimension is the class of the published head"""

    encoder: Encoder
    pooling: Pooling
    decoder: Decoder
    clip_pooling: ClipPooling

    def __init__(
        self,
        *,
        encoder: Encoder,
        pooling: Pooling,
        decoder: Decoder,
        clip_pooling: ClipPooling,
        classifier: nn.Module,
        mel_bins: int,
        input_frames: int,
        input_padding: str,
        frame_seconds: float,
        clip_seconds: float,
        freeze_batchnorm: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self._frozen_norms = _batch_norms(encoder) if freeze_batchnorm else []
        for norm in self._frozen_norms:
            norm.requires_grad_(False)
        # (P, L) for an AST; others leave out last blocks, on whose output their published final norm was trained
        self.norm = nn.LayerNorm(encoder.dim, eps=NORM_EPS) if encoder.fresh_norm else nn.Identity()
        self.pooling = pooling
        self.decoder = decoder
        self.classifier = classifier
        self.run_classifier: RunClassifier = in_float32
        self.clip_pooling = clip_pooling
        self.mel_bins = mel_bins
        self.input_frames, self.input_padding = input_frames, input_padding
        self.frame_seconds = frame_seconds
        self.encoder_seconds = frame_seconds * decoder.upsample
        # The last patch may end after the clip: output frames beyond it are dropped; 1e-6 allows for rounding.
        self.num_frames = min(decoder.frames * decoder.upsample, math.ceil(clip_seconds / frame_seconds - 1e-6))

    def use_band(self, band: int) -> None:
        """Replace mean pooling by a single band, as for the AST-SED paper's figure 3, without training again.

        `band` is an index, lowest frequencies first.

        Raises:
            UserError: the model has another pooling, or there is no such band.
        """
        if not isinstance(self.pooling, BandwisePooling):
            raise UserError("a band can replace mean pooling only: this model has another pooling (train AST-GRU)")
        try:
            self.pooling = self.pooling.one_band(self.encoder.grid[0], band)
        except ValueError as error:
            raise UserError(str(error)) from None

    def train(self, mode: bool = True) -> Detector:
        """Set training or evaluation mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for norm in self._frozen_norms:
            norm.eval()
        return self

    def encode(self, x: Tensor) -> Tensor:
        """Map (batch, input_frames, mel_bins) to the input of the time decoder (batch, patches, dim)."""
        return self.pool(self.encoder(x))

    def pool(self, grid: Tensor) -> Tensor:
        """Map the encoder's grid (batch, bands, patches, dim) to (batch, patches, dim)."""
        return self.pooling(self.norm(grid))

    def decode(self, frames: Tensor) -> DetectorOutput:
        """Map (batch, patches, dim) to `DetectorOutput`."""
        hidden, summary = self.decoder(frames)
        near = self.decoder.near(frames) if isinstance(self.decoder, Directed) else None
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden[:, : self.num_frames]
            logits = self.run_classifier(self.classifier, hidden)
            if isinstance(self.decoder, Directed):
                return self._of_directions(logits, hidden, near)
            summary_logits = None if summary is None else self.classifier(summary.float())
            return DetectorOutput(logits, self.clip_pooling(ClipInputs(logits.sigmoid(), hidden, summary_logits)))

    def _of_directions(self, directions: Tensor, hidden: Tensor, near: Tensor | None) -> DetectorOutput:
        """Combine the logits `directions` (2, batch, frames, classes) of both directions to one per frame.

        Both directions are active between a class's first onset and last offset: frame logits are their minimum. If the
        decoder has states `near` of a window around each frame (batch, frames, dim), frame logits are instead those of
        the mean posterior of both directions in that window.
        """
        if near is None:
            logits = directions.amin(0)
        else:
            logits = self.classifier(near[:, : self.num_frames].float()).sigmoid().mean(0).logit()
        clip = self.clip_pooling(ClipInputs(logits.sigmoid(), hidden, directions=directions))
        return DetectorOutput(logits, clip, directions)

    def forward(self, x: Tensor) -> DetectorOutput:
        return self.decode(self.encode(x))


def _batch_norms(encoder: Encoder) -> list[nn.Module]:
    assert isinstance(encoder, nn.Module)
    return [module for module in encoder.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def build_detector(config: Mapping[str, Any], num_classes: int) -> Detector:
    """Build the detector of a flat config, with random weights.

    Raises:
        UserError: the values are inconsistent.
    """
    try:
        return _compose(config, num_classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None


class _Undrawn(TorchFunctionMode):
    """Context in which new parameters are not set: they hold what the memory held."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWING or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_weights(config: Mapping[str, Any], num_classes: int, weights: Mapping[str, Tensor]) -> Detector:
    """Build the detector of a flat config with given weights, without drawing random ones, which takes longest.

    Args:
        config: the config.
        num_classes: number of classes.
        weights: all parameters and stored buffers by name.

    Returns:
        The detector.

    Raises:
        UserError: the values of the config are inconsistent.
        RuntimeError: weights are missing, unknown or of another shape.
    """
    with _Undrawn():
        detector = build_detector(config, num_classes)
    detector.load_state_dict(weights)
    return detector


def _compose(config: Mapping[str, Any], num_classes: int) -> Detector:
    if num_classes < 1:
        raise ValueError("no classes: data/labels.txt is empty")
    encoder = build_encoder(config)
    patch_seconds = encoder.time_stride * config["frame_shift"]
    # With the AST, 101 patches every 0.1 s are cropped to the 100 that cover 10 s (P, L); 1e-6 allows for rounding.
    frames = min(encoder.grid[1], math.ceil(config["clip_seconds"] / patch_seconds - 1e-6))
    decoder = build_decoder(config, dim=encoder.dim, frames=frames)
    return Detector(
        encoder=encoder,
        pooling=build_pooling(config, encoder),
        decoder=decoder,
        clip_pooling=build_clip_pooling(config, decoder=decoder, classes=num_classes),
        classifier=build_classifier(config, decoder=decoder, classes=num_classes),
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        input_padding=config["input_padding"],
        frame_seconds=round(patch_seconds / decoder.upsample, 9),  # without the rounding error of 3 * 0.1
        clip_seconds=config["clip_seconds"],
        freeze_batchnorm=config["freeze_batchnorm"],
    )
