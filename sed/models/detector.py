"""The sound event detector: encoder, frequency pooling, time decoder and clip pooling, each chosen by config.

AST-GRU is `pooling: mean, upsample: 1`; AST-SED is `pooling: fte, upsample: 10`; the CRNN baseline is
`encoder: crnn`. Every row of the paper's ablation is another value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.models import ast, clip_pooling, crnn, decoder, pooling
from sed.models.tagger import Tagger

# `mel_bins`, `clip_seconds` and `frame_shift` of the front end are read, too.
OPTIONS = {
    "input_frames": {"default": 1024, "help": "frames of the features after padding", "least": 1},
    "encoder": {"default": "ast", "help": "from features to a grid of frames and bands", "choices": ["ast", "crnn"]},
    "pretrained": {
        "default": "",
        "help": "checkpoint of a published AST: a file, a folder or a name (none: from scratch)",
    },
}
OPTIONS_FROM = [
    "sed.models.ast",
    "sed.models.crnn",
    "sed.models.pooling",
    "sed.models.decoder",
    "sed.models.clip_pooling",
]


class DetectorOutput(NamedTuple):
    """Float32 also under autocast: `logits` (batch, frames, classes), `clip` posteriors (batch, classes)."""

    logits: Tensor
    clip: Tensor


class Detector(nn.Module):
    """(batch, input_frames, mel_bins) normalised features -> `DetectorOutput`.

    `frame_seconds` and `num_frames` describe the output; `frame_seconds * num_frames` covers `clip_seconds` unless
    the encoder sees fewer frames. `encoder_seconds`: a frame of the encoder, before the decoder repeats it.
    """

    OF_CLASSES = ("classifier.", "clip_pooling.attention.")  # tensors whose rows are classes begin so

    def __init__(
        self,
        *,
        encoder: nn.Module,
        pooling: nn.Module,
        decoder: nn.Module,
        clip_pooling: nn.Module,
        classes: int,
        mel_bins: int,
        input_frames: int,
        frame_seconds: float,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        # The encoder's own last norm belongs to blocks that are not kept: a fresh one (P, L).
        self.norm = nn.LayerNorm(encoder.dim, eps=ast.NORM_EPS) if encoder.fresh_norm else nn.Identity()
        self.pooling = pooling
        self.decoder = decoder
        self.classifier = nn.Linear(decoder.dim, classes)
        self.clip_pooling = clip_pooling
        self.mel_bins = mel_bins
        self.input_frames = input_frames
        self.frame_seconds = frame_seconds
        self.encoder_seconds = frame_seconds * decoder.upsample
        self.num_frames = decoder.frames * decoder.upsample

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """All that is not the pretrained encoder's: the larger learning rate."""
        for name, parameter in self.named_parameters():
            if not name.startswith("encoder."):
                yield parameter

    def use_band(self, band: int) -> None:
        """Put one band in place of the mean (figure 3, the trained model's reading); UserError where that is none."""
        if not isinstance(self.pooling, pooling.MeanPooling | pooling.BandPooling):
            raise UserError("a band takes the place of mean pooling only: this model has another (train AST-GRU)")
        try:
            self.pooling = pooling.BandPooling(bands=self.encoder.grid[0], band=band)
        except ValueError as error:
            raise UserError(str(error)) from None

    def encode(self, x: Tensor) -> Tensor:
        """(batch, input_frames, mel_bins) -> frames (batch, patches, dim), before the time decoder."""
        return self.pool(self.encoder(x))

    def pool(self, grid: Tensor) -> Tensor:
        """The encoder's grid (batch, bands, patches, dim) -> frames (batch, patches, dim)."""
        return self.pooling(self.norm(grid))

    def decode(self, frames: Tensor) -> DetectorOutput:
        """(batch, patches, dim) -> `DetectorOutput`."""
        hidden = self.decoder(frames)
        with torch.autocast(hidden.device.type, enabled=False):
            hidden = hidden.float()
            logits = self.classifier(hidden)
            return DetectorOutput(logits, self.clip_pooling(logits.sigmoid(), hidden))

    def forward(self, x: Tensor) -> DetectorOutput:
        return self.decode(self.encode(x))


def build_ast(config: Mapping[str, Any], blocks: int) -> ast.AST:
    """The first `blocks` of a flat config's AST."""
    return ast.AST(
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        dim=config["ast_dim"],
        heads=config["ast_heads"],
        mlp_ratio=config["ast_mlp_ratio"],
        blocks=blocks,
        patch=(config["patch_freq"], config["patch_time"]),
        stride=(config["stride_freq"], config["stride_time"]),
        norm_eps=config["ast_norm_eps"],
        checkpoint_activations=config["checkpoint_activations"],
    )


def build_tagger(config: Mapping[str, Any], classes: int) -> Tagger:
    """The whole AST of a flat config, all `ast_depth` blocks, with a tagging head; UserError where it makes none."""
    try:
        return Tagger(encoder=build_ast(config, config["ast_depth"]), classes=classes)
    except ValueError as error:
        raise UserError(f"{error} (change the config)") from None


def build_encoder(config: Mapping[str, Any]) -> nn.Module:
    """The encoder that a flat config names."""
    kind = config["encoder"]
    if kind == "ast":
        if config["ast_blocks"] > config["ast_depth"]:
            raise ValueError(f"ast_blocks {config['ast_blocks']} is more than ast_depth {config['ast_depth']}")
        return build_ast(config, config["ast_blocks"])
    if kind == "crnn":
        return crnn.CRNN(
            mel_bins=config["mel_bins"],
            input_frames=config["input_frames"],
            width=config["crnn_width"],
            dropout=config["crnn_dropout"],
        )
    raise ValueError(f"encoder '{kind}' is not known (ast, crnn)")


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
    bands, patches = encoder.grid
    patch_seconds = encoder.time_stride * config["frame_shift"]
    # 101 patches of 0.1 s are cropped to the 100 that line up with 10 s (L).
    frames = min(patches, math.ceil(config["clip_seconds"] / patch_seconds - 1e-6))
    time_decoder = decoder.GruDecoder(
        dim=encoder.dim,
        frames=frames,
        upsample=config["upsample"],
        units=config["gru_units"],
        layers=config["gru_layers"],
        gru_dropout=config["gru_dropout"],
        dropout=config["head_dropout"],
    )
    return Detector(
        encoder=encoder,
        pooling=pooling.build_pooling(
            config["pooling"],
            bands=bands,
            dim=encoder.dim,
            band=config["band"],
            fte_blocks=config["fte_blocks"],
            fte_heads=config["fte_heads"],
        ),
        decoder=time_decoder,
        clip_pooling=clip_pooling.ClipPooling(kind=config["clip_pooling"], dim=time_decoder.dim, classes=num_classes),
        classes=num_classes,
        mel_bins=config["mel_bins"],
        input_frames=config["input_frames"],
        frame_seconds=round(patch_seconds / config["upsample"], 9),
    )
