"""Made-up files of published detectors, of any size: names and shapes are PretrainedSED's, weights are random."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from encoder_parity import weights
from torch import Tensor

from sed.checkpoints.defaults import complete_config
from sed.checkpoints.published_head import CONFIGS, class_names, import_detector, read_published
from sed.models.atst_frame import build_atst_frame
from sed.models.beats import build_beats

CLASSES = 447  # of AudioSet-strong
TABLE = "self_attn.relative_attention_bias.weight"
NORMED = "encoder.pos_conv.0.parametrizations.weight.original"
STEMS = {"atst_frame": "atst", "beats": "beats"}
BUILDERS = {"atst_frame": build_atst_frame, "beats": build_beats}


def sizes(encoder: str, *, dim: int, depth: int, heads: int) -> dict[str, Any]:
    """Return the options of a config that give the encoder's size."""
    stem = STEMS[encoder]
    return {f"{stem}_dim": dim, f"{stem}_depth": depth, f"{stem}_heads": heads, f"{stem}_blocks": depth}


def config_of(encoder: str, **size: Any) -> dict[str, Any]:
    """Return the config of a published detector of another size: `dim`, `depth`, `heads`, and other options by name."""
    named = sizes(encoder, **{key: size.pop(key) for key in ("dim", "depth", "heads")})
    return complete_config({**CONFIGS[encoder], **named, **size})


def made_up(config: dict[str, Any], *, classes: int = CLASSES) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint with the config's encoder; weights are seeded by their names."""
    encoder = config["encoder"]
    with torch.device("meta"):
        like = BUILDERS[encoder](config).state_dict()
    names = {f"model.{STEMS[encoder]}.{name}": value for name, value in _named(encoder, like, config).items()}
    width = config[f"{STEMS[encoder]}_dim"]
    for head in ("strong_head", "weak_head"):
        names |= {f"{head}.weight": torch.empty(classes, width), f"{head}.bias": torch.empty(classes)}
    found = weights(names)
    tables = [name for name in found if name.endswith(TABLE)]
    for name in tables:  # all blocks share one
        found[name] = found[tables[0]]
    return found


def _named(encoder: str, like: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    """Return a state dict of our encoder with the published names."""
    if encoder == "atst_frame":
        return {**like, "mask_embed": torch.empty(1, 1, config["atst_dim"])}
    names = {"pos_conv.weight_g": f"{NORMED}0", "pos_conv.weight_v": f"{NORMED}1"}
    names |= {"pos_conv.bias": "encoder.pos_conv.0.bias"}
    starts = {"blocks.": "encoder.layers.", "norm.": "encoder.layer_norm."}
    found = {}
    for name, value in like.items():
        if name == "distances.weight":
            found |= {f"encoder.layers.{block}.{TABLE}": value for block in range(config["beats_depth"])}
            continue
        start = next((start for start in starts if name.startswith(start)), "")
        found[names.get(name, starts.get(start, "") + name.removeprefix(start))] = value
    return found


def detected(encoder: str, size: dict[str, Any], waveforms: Tensor) -> Tensor:
    """Return the posteriors (batch, frames, 447) of an imported made-up checkpoint on waveforms of 10 s."""
    config = config_of(encoder, **size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "published.pt"
        torch.save(made_up(config), path)
        published = read_published(path)
        model = import_detector(published, config, class_names(published))
    with torch.inference_mode():
        logmel = model.front_end(waveforms)
        valid = torch.full((len(waveforms),), logmel.shape[1])
        features = model.front_end.normalise(logmel, valid, model.detector.input_frames, model.detector.input_padding)
        return model.detector(features).logits.sigmoid()
