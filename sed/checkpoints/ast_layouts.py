"""Checkpoints of a published AST: conversion between the authors' layout, Hugging Face's layout and our state dicts.

The authors' file has `module.v.*` (a timm vision transformer) and `module.mlp_head.*`; Hugging Face's has
`audio_spectrogram_transformer.*` and `classifier.*`, with separate projections of queries, keys and values. Model and
weights are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sed.checkpoints.importers import Mismatch, differences
from sed.checkpoints.wrappers import plain_name
from sed.models.ast import AST, LEADING
from sed.models.tagger import Tagger, TaggingHead, build_tagger

PUBLISHED_GRID = (12, 101)  # 128 bins and 1024 frames, patches of 16 x 16, strides of 10 x 10
_IGNORED = ("v.head.", "v.head_dist.")  # DeiT's ImageNet classifiers, which the authors' file still has


def _authors(key: str) -> tuple[str, ...]:
    """Return the name of one of our keys in the authors' layout, without `module.`, as a tuple of one."""
    key = key.replace("encoder.", "v.", 1).replace("head.norm.", "v.norm.", 1)
    return (key.replace("head.mlp_head.", "mlp_head.", 1),)


_HF = {
    "encoder.cls_token": "embeddings.cls_token",
    "encoder.dist_token": "embeddings.distillation_token",
    "encoder.pos_embed": "embeddings.position_embeddings",
    "encoder.patch_embed.proj": "embeddings.patch_embeddings.projection",
    "head.norm": "layernorm",
}
_HF_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_HF_QKV = tuple(f"attention.attention.{name}" for name in ("query", "key", "value"))
# transformers 5 renamed these modules; the files that it saves keep the names above, its state dicts do not.
_HF5_BLOCK = {**_HF_BLOCK, "attn.proj": "attention.o_proj", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
_HF5_QKV = tuple(f"attention.{name}_proj" for name in "qkv")


def _hugging_face(key: str, five: bool) -> tuple[str, ...]:
    """Return the names of one of our keys in Hugging Face's layout (`five`: the names of transformers 5 in memory).

    There is one name, but three (query, key, value) for the joint projection `attn.qkv`.
    """
    if key.startswith("head.mlp_head."):
        number, kind = key.removeprefix("head.mlp_head.").split(".")
        return (f"classifier.{('layernorm', 'dense')[int(number)]}.{kind}",)
    trunk = "audio_spectrogram_transformer."
    if not key.startswith("encoder.blocks."):
        for ours, theirs in _HF.items():
            if key == ours or key.startswith(ours + "."):
                return (trunk + theirs + key.removeprefix(ours),)
    number, rest = key.removeprefix("encoder.blocks.").split(".", 1)
    part, kind = rest.rsplit(".", 1)
    block = f"{trunk}layers.{number}" if five else f"{trunk}encoder.layer.{number}"
    if part == "attn.qkv":
        return tuple(f"{block}.{name}.{kind}" for name in (_HF5_QKV if five else _HF_QKV))
    return (f"{block}.{(_HF5_BLOCK if five else _HF_BLOCK)[part]}.{kind}",)


def to_tagger(state: Mapping[str, Tensor], like: Tagger) -> tuple[dict[str, Tensor], bool]:
    """Convert a published state dict to our names.

    Position embeddings are fitted to the grid of `like`. The tagging head keeps the classes of the state dict.

    Args:
        state: a state dict of either layout.
        like: the model to load, on any device, which may have another number of classes.

    Returns:
        The state dict, and whether it includes the tagging head.

    Raises:
        Mismatch: keys are missing, unexpected or of another shape (the message has their names in the file), or
            values are not finite.
    """
    names, rename = _layout(state)  # {name without prefixes: name in the file}; our key -> names without prefixes
    shapes = {key: tuple(value.shape) for key, value in like.state_dict().items()}
    expected = {name: key for key in shapes for name in rename(key)}
    has_head = any("mlp_head" in expected.get(name, "") for name in names)
    if not has_head:
        expected = {name: key for name, key in expected.items() if "mlp_head" not in key}
    missing = [name for name in expected if name not in names]
    unexpected = [names[name] for name in names if name not in expected]
    misshapen = []
    for name, key in expected.items():
        if name in names:
            want, have = list(shapes[key]), list(state[names[name]].shape)
            if len(rename(key)) > 1:
                want[0] //= 3  # separate queries, keys and values
            if "mlp_head.1" in key:
                want[0] = have[0] if have else 0  # any number of tagging classes
            if key == "encoder.pos_embed" and len(have) == 3 and have[2] == want[2]:
                want[1] = have[1] if _source_grid(have[1] - LEADING, like.encoder.grid) else want[1]
            if have != want:
                misshapen.append(f"{names[name]} {have} for {want}")
    if problems := differences(missing=missing, unexpected=unexpected, misshapen=misshapen):
        raise Mismatch("not the AST that the config describes; " + problems)
    result = {}
    for key in shapes:
        if has_head or "mlp_head" not in key:
            parts = [state[names[name]] for name in rename(key)]
            value = (torch.cat(parts) if len(parts) > 1 else parts[0]).float()
            if not value.isfinite().all():
                raise Mismatch(f"{names[rename(key)[0]]} has values that are not finite")
            result[key] = value
    result["encoder.pos_embed"] = fit_positions(result["encoder.pos_embed"], like.encoder.grid)
    return result, has_head


def _layout(state: Mapping[str, Tensor]) -> tuple[dict[str, str], Callable[[str], tuple[str, ...]]]:
    """Return {name without prefixes: name in `state`}, and a function from our key to its names without prefixes."""
    names = {plain_name(name): name for name in state}
    if any(name.startswith("v.") for name in names):
        return {name: full for name, full in names.items() if not name.startswith(_IGNORED)}, _authors
    trunk = "audio_spectrogram_transformer."
    if any(name.startswith("embeddings.") for name in names):  # the model without its classifier
        names = {trunk + name: full for name, full in names.items()}
    if any(name.startswith(trunk) for name in names):
        five = any(name.startswith(trunk + "layers.") for name in names)
        return names, lambda key: _hugging_face(key, five)
    shown = ", ".join(list(state)[:10]) or "none"
    raise Mismatch(
        "not an AST: the keys are neither the authors' (module.v.*) nor Hugging Face's"
        f" (audio_spectrogram_transformer.*) but: {shown}"
    )


def _source_grid(patches: int, target: tuple[int, int]) -> tuple[int, int] | None:
    """Return the grid (bands, patches in time) of `patches` position embeddings, None if it cannot be inferred.

    It is the published grid if the number fits, else the grid with as many bands as `target`.
    """
    if patches == PUBLISHED_GRID[0] * PUBLISHED_GRID[1]:
        return PUBLISHED_GRID
    return (target[0], patches // target[0]) if patches > 0 and patches % target[0] == 0 else None


def fit_positions(positions: Tensor, target: tuple[int, int]) -> Tensor:
    """Fit position embeddings (1, 2 + patches, dim) to another grid (bands, patches in time), like the AST release.

    Along time, then frequency: a grid that is long enough for `target` is cropped to its middle, a shorter one is
    interpolated bilinearly.

    Raises:
        Mismatch: the grid of the positions is unknown.
    """
    source = _source_grid(positions.shape[1] - LEADING, target)
    if source is None:
        raise Mismatch(f"positions for {positions.shape[1] - LEADING} patches do not fit a grid of {target}")
    if source == tuple(target):
        return positions
    dim = positions.shape[2]
    grid = positions[:, LEADING:].transpose(1, 2).reshape(1, dim, *source)
    for axis, want in ((3, target[1]), (2, target[0])):
        have = grid.shape[axis]
        if want <= have:
            grid = grid.narrow(axis, have // 2 - want // 2, want)
        else:
            size = (grid.shape[2], want) if axis == 3 else (want, grid.shape[3])
            grid = F.interpolate(grid, size=size, mode="bilinear")
    return torch.cat([positions[:, :LEADING], grid.reshape(1, dim, -1).transpose(1, 2)], dim=1)


def load_encoder(encoder: nn.Module, state: Mapping[str, Tensor], like: Tagger) -> None:
    """Load a published state dict into a detector's encoder, up to the number of blocks that the encoder has.

    Args:
        encoder: the encoder of the detector, an AST of fewer or as many blocks.
        state: a state dict of either layout.
        like: the tagger that the state dict must fit (build it on the meta device, which takes no memory).

    Raises:
        Mismatch: the state dict does not fit.
    """
    ours, _ = to_tagger(state, like)
    encoder.load_state_dict({key: ours["encoder." + key] for key in encoder.state_dict()})


class AstImporter:
    """`Importer` of a published AST into an encoder that has its first blocks."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        """Return whether the keys are those of either layout."""
        try:
            _layout(state)
        except Mismatch:
            return False
        return True

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        """Load a state dict; see `Importer`.

        Args:
            encoder: the encoder, an AST of fewer or as many blocks.
            state: the published state dict of the whole AST, in either layout.
            config: the flat config of the encoder.

        Raises:
            Mismatch: the state dict does not fit.
        """
        with torch.device("meta"):
            like = build_tagger(config, 1)  # one class; `to_tagger` accepts any number
        load_encoder(encoder, state, like)


def export_published(encoder: AST, head: TaggingHead) -> dict[str, Tensor]:
    """Convert encoder and head of a tagger to the authors' layout (`module.v.*`, `module.mlp_head.*`), on the CPU."""
    parts: tuple[tuple[str, nn.Module], ...] = (("encoder.", encoder), ("head.", head))
    return {
        "module." + _authors(prefix + key)[0]: value.detach().cpu().clone()
        for prefix, module in parts
        for key, value in module.state_dict().items()
    }
