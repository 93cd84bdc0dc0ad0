"""Scores of a tagger: average precision on a dumped set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score

from sed.checkpoints.pretrained import load_tagger
from sed.data.batches import refuse_unmatched
from sed.data.directory import DataDir, read_set_labels
from sed.data.labels import tag_targets
from sed.data.store import FeatureStore
from sed.errors import UserError
from sed.features.logmel import FrontEnd


def average_precisions(
    config: Mapping[str, Any], dump: Path, *, batch_size: int, device: torch.device
) -> tuple[dict[str, float], int]:
    """Score the tagger `config["pretrained"]` on a dumped set; on a GPU, it computes in bf16.

    Args:
        config: options of model and front end, and `pretrained`.
        dump: the dumped set.
        batch_size: clips per forward pass.
        device: device to compute on.

    Returns:
        {label: average precision}, without labels that no clip has, and the number of clips.

    Raises:
        UserError: the set has no labels, another front end, or features of other clips, or the tagger cannot be read or
            lacks one of its labels.
        RunError: the tagger cannot be downloaded.
    """
    labels = read_set_labels(dump)
    data, store = DataDir.load(dump, labels), FeatureStore(dump)
    refuse_unmatched(data, store)
    front_end = FrontEnd.from_config(config)
    other = front_end.difference(store.front_end)
    if other:
        raise UserError(
            f"{dump}: features of another front end than the tagger's: {other}"
            " (dump the set again with the YAML file beside the checkpoint as config)"
        )
    if data.events is None and data.tags is None:
        raise UserError(f"{dump}: neither events.tsv nor tags.tsv (tagging is scored against labels)")
    # With both tables, a clip may have tags without events: labels that occur in it at unknown times.
    events, tags = data.events or {}, data.tags or {}
    clip_labels = [
        sorted({event.label for event in events.get(clip, ())}.union(tags.get(clip, ()))) for clip in store.clips
    ]
    tagger, names = load_tagger(config)
    lacking = [label for label in labels if label not in names]
    if lacking:
        raise UserError(f"{config['pretrained']}: no class '{lacking[0]}' (it was trained on other labels)")
    columns = [names.index(label) for label in labels]
    tagger, front_end = tagger.to(device), front_end.to(device)
    parts = []
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        for first in range(0, len(store.clips), batch_size):
            rows = range(first, min(first + batch_size, len(store.clips)))
            x = torch.from_numpy(store.read(rows)).to(device)
            valid = torch.from_numpy(np.asarray(store.valid, np.int64)[first : first + len(rows)]).to(device)
            x = front_end.normalise(x, valid, config["input_frames"], config["input_padding"])
            parts.append(tagger(x)[:, columns].float().cpu())
    scores, truth = torch.cat(parts).numpy(), tag_targets(clip_labels, labels)
    present = [k for k in range(len(labels)) if truth[:, k].any()]
    return {labels[k]: float(average_precision_score(truth[:, k], scores[:, k])) for k in present}, len(store.clips)
