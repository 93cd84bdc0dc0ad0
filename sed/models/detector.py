"""The sound event detector: encoder, frequency pooling, time decoder and clip pooling, each chosen by config.

AST-GRU is `pooling: mean, upsample: 1`; AST-SED is `pooling: fte, upsample: 10`; the CRNN baseline is
`encoder: cnn`. Every row of the paper's ablation is another value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.models.ast import NORM_EPS
from sed.models.classifiers import build_classifier
from sed.models.clip_poolings import ClipInputs, ClipPooling, build_clip_pooling
from sed.models.decoders import Decoder, Directed, build_decoder
from sed.models.encoders import Encoder, build_encoder
from sed.models.poolings import BandwisePooling, Pooling, build_pooling

# `mel_bins`, `clip_seconds` and `frame_shift` of the front end are read, too.
OPTIONS = {
    "input_frames": {"default": 1024, "help": "frames of the features after padding", "least": 1},
    "input_padding": {
        "default": "raw",
        "help": "frames after a clip's end: 0 or silence before normalising (raw, silence), or 0 after it (raw: L)",
        "choices": ["raw", "silence", "normalised"],
    },
}
OPTIONS_FROM = [
    "sed.models.encoders",
    "sed.models.poolings",
    "sed.models.decoders",
    "sed.models.classifiers",
    "sed.models.clip_poolings",
]


class DetectorOutput(NamedTuple):
    """Float32 also under autocast: `logits` (batch, frames, classes), `clip` posteriors (batch, classes).

    `directions` (2, batch, frames, classes): logits of the forward and the backward recurrence of a `Directed` decoder.
    """

    logits: Tensor
    clip: Tensor
    directions: Tensor | None = None


class Detector(nn.Module):
    """(batch, input_frames, mel_bins) normalised features -> `DetectorOutput`.

    `frame_seconds` and `num_frames` describe the output; `frame_seconds * num_frames` covers `clip_seconds` unless
    the encoder sees fewer frames. `encoder_seconds`: a frame of the encoder, before the decoder repeats it.
    """

    OF_CLASSES = ("classifier.", "clip_pooling.")  # tensors whose rows are classes begin so

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
        # The encoder's own last norm belongs to blocks that are not kept: a fresh one (P, L).
        self.norm = nn.LayerNorm(encoder.dim, eps=NORM_EPS) if encoder.fresh_norm else nn.Identity()
        self.pooling = pooling
        self.decoder = decoder
        self.classifier = classifier
        self.clip_pooling = clip_pooling
        self.mel_bins = mel_bins
        self.input_frames, self.input_padding = input_frames, input_padding
        self.frame_seconds = frame_seconds
        self.encoder_seconds = frame_seconds * decoder.upsample
        # what an encoder's last frame has beyond the clip is dropped
        self.num_frames = min(decoder.frames * decoder.upsample, math.ceil(clip_seconds / frame_seconds - 1e-6))

    def use_band(self, band: int) -> None:
        """Put one band in place of the mean (figure 3, the trained model's reading); UserError where that is none."""
        if not isinstance(self.pooling, BandwisePooling):
            raise UserError("a band takes the place of mean pooling only: this model has another (train AST-GRU)")
        try:
            self.pooling = self.pooling.one_band(self.encoder.grid[0], band)
        except ValueError as error:
            raise UserError(str(error)) from None

    def train(self, mode: bool = True) -> Detector:
        """Switch to training or evaluation; frozen batch norms stay in evaluation."""
        super().train(mode)
        for norm in self._frozen_norms:
            norm.eval()
        return self

    def encode(self, x: Tensor) -> Tensor:
        """Map (batch, input_frames, mel_bins) to frames (batch, patches, dim), before the time decoder."""
        return self.pool(self.encoder(x))

    def pool(self, grid: Tensor) -> Tensor:
        """The encoder's grid (batch, bands, patches, dim) -> frames (batch, patches, dim)."""
        return self.pooling(self.norm(grid))

    def decode(self, frames: Tensor) -> DetectorOutput:
        """Map (batch, patches, dim) to `DetectorOutput`."""
        hidden, summary = self.decoder(frames)
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden[:, : self.num_frames].float()
            logits = self.classifier(hidden)
            if isinstance(self.decoder, Directed):
                return self._of_directions(logits, hidden, self.decoder.near(frames))
            summary_logits = None if summary is None else self.classifier(summary.float())
            return DetectorOutput(logits, self.clip_pooling(ClipInputs(logits.sigmoid(), hidden, summary_logits)))

    def _of_directions(self, directions: Tensor, hidden: Tensor, near: Tensor | None) -> DetectorOutput:
        """The lesser of both directions, or the mean of what they say `near` each frame."""
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
    """Compose the detector of a flat config, with fresh weights; UserError where the values make none."""
    try:
        return _compose(config, num_classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None


def _compose(config: Mapping[str, Any], num_classes: int) -> Detector:
    if num_classes < 1:
        raise ValueError("no classes: data/labels.txt is empty")
    encoder = build_encoder(config)
    patch_seconds = encoder.time_stride * config["frame_shift"]
    # 101 patches of 0.1 s are cropped to the 100 that line up with 10 s (P, L).
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
        frame_seconds=round(patch_seconds / decoder.upsample, 9),
        clip_seconds=config["clip_seconds"],
        freeze_batchnorm=config["freeze_batchnorm"],
    )
