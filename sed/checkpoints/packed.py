"""A model as one folder: weights, config, labels, front end, post-processing, results and a card.

model.safetensors      the weights of one half (teacher by default)
model.json             format, version, labels, config, front end, post-processing, windows, its source, our files
results.json           the scores of stage 5, when there are any
README.md              the model card
labels.txt             the labels in the order of the posteriors, for who reads no JSON
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.checkpoints.pack_folder import CARD, FACTS, LABELS, RESULTS, WEIGHTS, manifest, replacing_pack, sha256
from sed.compatibility import FORMAT, check_format
from sed.errors import UserError
from sed.files import open_replacing, write_json, write_text
from sed.seal import Damaged, read_sealed_json, sealed_json

if TYPE_CHECKING:
    import torch

    from sed.checkpoints.checkpoint import LoadedModel

log = logging.getLogger("sed")
SEALED = 3
"""the first format whose model.json has a checksum"""
KEYS = ("format", "labels", "config", "front_end", "post_processing", "info")


def is_packed(path: str | Path) -> bool:
    """Return whether a path is meant as a packed model: a folder with its facts or its weights."""
    return (Path(path) / FACTS).exists() or (Path(path) / WEIGHTS).exists()


def read_facts(folder: Path) -> dict[str, Any]:
    """Return model.json, checked; UserError for missing parts and for a format that this version does not read."""
    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: a packed model without {name} (copy the whole folder, or pack it again)")
    try:
        facts, checked = read_sealed_json(folder / FACTS)
    except Damaged as error:
        raise UserError(f"{folder / FACTS}: {error} (copy or pack the model again)") from None
    except ValueError as error:
        raise UserError(f"{folder / FACTS}: not JSON: {error} (pack the model again)") from None
    if not isinstance(facts, dict):
        raise UserError(f"{folder / FACTS}: not the facts of a packed model (pack the model again)")
    check_format(folder / FACTS, facts, oldest=1, remedy="pack the model again")
    missing = [key for key in KEYS if key not in facts]
    if missing:
        raise UserError(f"{folder / FACTS}: lacks {', '.join(missing)} (pack the model again)")
    if checked is False and facts["format"] >= SEALED:
        raise UserError(f"{folder / FACTS}: its checksum is damaged (copy or pack the model again)")
    for key in ("config", "front_end", "info"):
        if not isinstance(facts[key], dict) or (key == "front_end" and not facts[key]):
            raise UserError(f"{folder / FACTS}: {key} is not what pack writes (pack the model again)")
    _check_weights_file(folder, facts)
    return facts


def _check_weights_file(folder: Path, facts: Mapping[str, Any]) -> None:
    files = facts.get("files")
    if not isinstance(files, dict):
        log.info("%s: unchecked, it was packed before packs had checksums", folder)
    elif sha256(folder / WEIGHTS) != files.get(WEIGHTS):
        raise UserError(f"{folder / WEIGHTS}: damaged weights: its checksum does not match (copy or pack it again)")


def load_pack(folder: Path, device: torch.device | str = "cpu") -> tuple[LoadedModel, dict[str, Any]]:
    """Return the model of a packed folder, in eval mode, and what its model.json says; UserError for damage."""
    import safetensors
    import safetensors.torch

    from sed.checkpoints.checkpoint import LoadedModel, check_weights
    from sed.checkpoints.defaults import complete_config
    from sed.data.labels import check_labels
    from sed.features.logmel import FrontEnd
    from sed.models.detector import build_detector

    facts = read_facts(folder)
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{folder / WEIGHTS}: damaged weights: {error} (copy or pack the model again)") from None
    check_labels(folder / FACTS, facts["labels"])
    check_weights(folder / WEIGHTS, weights)
    try:
        config = complete_config(facts["config"])
        detector = build_detector(config, len(facts["labels"]))
        detector.load_state_dict(weights)
        front_end = FrontEnd.from_params(facts["front_end"])
    except UserError as error:
        raise UserError(f"{folder / FACTS}: {error}") from None
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        what = str(error).splitlines()[0]
        raise UserError(f"{folder}: its weights do not fit its {FACTS}: {what} (pack it again)") from None
    detector.requires_grad_(False)
    model = LoadedModel(
        detector=detector.to(device).eval(),
        front_end=front_end.to(device),
        labels=list(facts["labels"]),
        config=config,
        info=dict(facts["info"]),
    )
    return model, facts


def save_pack(
    folder: Path,
    model: LoadedModel,
    *,
    post_processing: Mapping[str, Any],
    windows: Mapping[str, Any],
    results: Mapping[str, Any],
    card: str,
    source: str,
) -> None:
    """Write a packed model at once: beside its place, which it then takes (`sed.checkpoints.pack_folder`).

    Args:
        folder: what to write; an earlier packed model there is replaced, files of others in it stay.
        model: the half that is packed.
        post_processing: as stored with every model, thresholds included.
        windows: the settings of prediction on long recordings, as stored.
        results: {set: its result.json}; none writes no results.json.
        card: the text of README.md.
        source: what the model was packed from.

    Raises:
        UserError: something else stands at `folder`, or another run is writing it.
    """
    import safetensors.torch

    from sed import __version__
    from sed.config import save_config

    with replacing_pack(folder) as part:
        state = {key: value.detach().cpu().contiguous().clone() for key, value in model.detector.state_dict().items()}
        with open_replacing(part / WEIGHTS, "wb") as file:
            file.write(safetensors.torch.save(state, metadata={"format": "pt"}))
        if results:
            write_json(part / RESULTS, results)
        write_text(part / CARD, card)
        write_text(part / LABELS, "".join(f"{label}\n" for label in model.labels))
        save_config(part / "config.yaml", model.config, skip=["pretrained"])
        save_config(part / "logmel.yaml", model.front_end.params())
        facts = {
            "format": FORMAT,
            "version": __version__,
            "source": source,
            "labels": model.labels,
            "front_end": model.front_end.params(),
            "post_processing": post_processing,
            "windows": windows,
            "config": model.config,
            "info": model.info,
            "files": manifest(part),
        }
        write_text(part / FACTS, sealed_json(facts))  # last: what has it is whole
