"""Compatibility with files of earlier versions: formats, missing options, and renamed options.

Checkpoints, packed models and ONNX files share one `FORMAT`, and state the version of the program that wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sed import __version__
from sed.errors import UserError

ADDED: dict[int, dict[str, Any]] = {
    3: {  # the first format whose files state the version that wrote them
        "decoder": "gru",
        "decay": "exponential",
        "warmup": "linear",
        "ema_buffers": "average",
        "select_by": "frame_f1",
        "select_post_processing": "paper",
        "epoch_clips": "found",
        "fte_token": "shared",
        "fte_token_spread": 0.02,
        "input_padding": "normalised",
        "wave_norm": "none",
        "wave_scale": 1.0,
        "window": "auto",
        "window_ends": "auto",
        "fft_size": 0,
        "centring": "auto",
        "mel_scale": "auto",
        "mel_norm": "peak",
        "power": 0,
        "log": "auto",
        "log_floor": 0.0,
        "log_floor_by": "max",
        "top_db": 0.0,
        "clamp": "auto",
        "norm_bins": "",
        "norm_over": "clips",
        "norm_clamp": 0.0,
        "cnn_filters": [16, 32, 64, 128, 128, 128, 128],
        "cnn_pools": ["2x2", "2x2", "1x2", "1x2", "1x2", "1x2", "1x2"],
        "cnn_act": "cg",
        "cnn_conv": "plain",
        "fdy_kernels": 4,
        "fdy_temperature": 31.0,
        "sk_reduction": 4,
        "sk_least": 32,
        "conformer_dim": 144,
        "conformer_blocks": 3,
        "conformer_heads": 4,
        "conformer_hidden": 576,
        "conformer_kernel": 7,
        "conformer_dropout": 0.1,
        "strong_tag_weight": 0.0,
        "freeze_batchnorm": False,
        "panns_channels": 64,
        "panns_dropout": 0.2,
        "atst_dim": 768,
        "atst_depth": 12,
        "atst_heads": 12,
        "atst_mlp_ratio": 4.0,
        "atst_blocks": 12,
        "atst_patch_time": 4,
        "dasheng_dim": 768,
        "dasheng_depth": 12,
        "dasheng_heads": 12,
        "dasheng_mlp_ratio": 4.0,
        "dasheng_blocks": 12,
        "dasheng_patch_time": 4,
        "eat_dim": 768,
        "eat_depth": 12,
        "eat_heads": 12,
        "eat_mlp_ratio": 4.0,
        "eat_blocks": 12,
        "beats_dim": 768,
        "beats_patch_dim": 512,
        "beats_depth": 12,
        "beats_heads": 12,
        "beats_mlp_ratio": 4.0,
        "beats_blocks": 12,
        "beats_frames": 0,
        "class_merge": "none",
        "source_classes": 0,
        "fbcrnn_cnn": "shallow",
        "fbcrnn_width": 1.0,
        "gru_directions": "both",
        "head_hidden": 0,
        "detection_frames": 25,
        "objective": "mean_teacher",
        "most_passes": 0,
        "missing_sets": "leave_out",
        "layer_decay": 1.0,
        "interpolation_consistency": False,
        "pseudo_labels": "",
        "pseudo_weight": 0.0,
        "pseudo_threshold": 0.0,
        "warp_probability": 0.0,
        "warp_least": 0.6,
        "wavmix_probability": 0.0,
        "wavmix_decibels": 5.0,
    },
}
"""{format: {option that came with it: value that older files, which lack the option, imply}}

An option of the model or of the front end that is added, or whose default changes, needs a line here: under the newest
format if no released version writes that format yet, else under a new format. Released versions refuse files of a new
format; otherwise they would ignore the option and compute something else. Options of the training are here so that an
experiment of an earlier version resumes as it began (`sed.bin.train`).
"""

FORMAT = max(ADDED)


@dataclass(frozen=True)
class Removed:
    """A removed option, and the value that the program uses instead."""

    value: Any


ALIASES: dict[str, str | Removed] = {"crnn_width": "cnn_width", "crnn_dropout": "cnn_dropout"}
"""{earlier name of an option: its name now, or `Removed` (no option so far)}"""


class NewerFormat(UserError):
    """Refusal of a file whose format only a later version of the program reads; the file is not damaged."""


def check_format(path: object, stored: Mapping[str, Any], *, oldest: int, remedy: str) -> None:
    """Refuse a file whose format this version does not read.

    Args:
        path: the file, for the message.
        stored: the file's header: `format` and, from format 3 on, `version`.
        oldest: the oldest format that is still read for this kind of file.
        remedy: what to do about a file of an older format, for the message.

    Raises:
        NewerFormat: the format is newer than `FORMAT`.
        UserError: the format is older than `oldest`, or not stated.
    """
    found = stored.get("format")
    if type(found) is int and found > FORMAT:  # True is an int, too
        writer = f"version {stored['version']}, which wrote it," if "version" in stored else "the version that wrote it"
        raise NewerFormat(
            f"{path}: format {found} is newer than this version, {__version__}, which reads up to {FORMAT} "
            f"(install {writer} or a later one)"
        )
    if type(found) is not int or found < oldest:
        raise UserError(f"{path}: format {found}, this version reads {oldest} to {FORMAT} ({remedy})")


def complete(stored: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a file under today's names of the options, with missing ones filled in.

    Args:
        stored: settings as some version wrote them; of an option under two names, today's counts.
        defaults: {option: default} of the options that the result must have. A missing one that is in `ADDED` gets the
            value there instead of this default. Stored settings of other options are kept.

    Raises:
        UserError: an option that is gone has a value that the program no longer supports.
    """
    added = {name: value for options in ADDED.values() for name, value in options.items() if name in defaults}
    return {**defaults, **added, **_renamed(stored)}


def _renamed(stored: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, value in stored.items():
        now = ALIASES.get(name, name)
        if isinstance(now, Removed):
            if value != now.value:
                raise UserError(f"{name} {value} is no longer supported, only {now.value} (use an earlier version)")
        elif now == name or now not in stored:
            values[now] = value
    return values
