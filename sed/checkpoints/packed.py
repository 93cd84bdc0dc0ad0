"""Packed models: a folder with weights, config, labels, front end, post-processing, results and a card.

model.safetensors         weights of the teacher (default) or student
model.json                format, version, labels, config, front end, post-processing, windows (of prediction), info (on
                          the training or the import, and the author's words in the card), source, checksums of the
                          other files
results.json              scores of the recipe's stage 5, if any
README.md                 model card
labels.txt                labels in the order of the posteriors, as plain text
config.yaml, logmel.yaml  config (without `pretrained`) and front end, as in model.json

Prediction reads only the first two files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.checkpoints.pack_folder import CARD, FACTS, LABELS, RESULTS, WEIGHTS, manifest, replacing_pack, sha256
from sed.compatibility import FORMAT, check_format
from sed.errors import UserError, first_lines
from sed.files import open_replacing, write_json, write_text
from sed.seal import Damaged, read_sealed_json, sealed_json

if TYPE_CHECKING:
    import torch

    from sed.checkpoints.checkpoint import LoadedModel

log = logging.getLogger("sed")
SEALED = 3
"""first format whose model.json has a checksum"""
KEYS = ("format", "labels", "config", "front_end", "post_processing", "info")
"""keys of model.json that packs of all formats have"""


def is_packed(path: str | Path) -> bool:
    """Return whether a path is a packed model, possibly incomplete: a folder with model.json or weights."""
    return (Path(path) / FACTS).exists() or (Path(path) / WEIGHTS).exists()


def read_facts(folder: Path) -> dict[str, Any]:
    """Read and check model.json, and the checksum of the weights.

    Raises:
        UserError: files are missing or damaged, or the format is not supported by this version.
    """
    from sed.data.labels import check_labels

    for name in (FACTS, WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: a packed model without {name} (copy the whole folder, or pack it again)")
    try:
        # intact: False if the file is as this project writes it, but has no checksum; None if another tool has
        # reformatted it, which is accepted, though the checksum cannot be compared then
        facts, intact = read_sealed_json(folder / FACTS)
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
    if intact is False and facts["format"] >= SEALED:
        raise UserError(f"{folder / FACTS}: its checksum is damaged (copy or pack the model again)")
    for key in ("config", "front_end", "info"):
        # an empty front end would be read as all defaults
        if not isinstance(facts[key], dict) or (key == "front_end" and not facts[key]):
            raise UserError(f"{folder / FACTS}: {key} is not what pack writes (pack the model again)")
    check_labels(folder / FACTS, facts["labels"])
    _check_weights_file(folder, facts)
    return facts


def _check_weights_file(folder: Path, facts: Mapping[str, Any]) -> None:
    files = facts.get("files")
    if not isinstance(files, dict):
        log.info("%s: not checked, because it was packed before packs had checksums", folder)
    elif sha256(folder / WEIGHTS) != files.get(WEIGHTS):
        raise UserError(f"{folder / WEIGHTS}: damaged weights: its checksum does not match (copy or pack it again)")


def load_pack(folder: Path, device: torch.device | str = "cpu") -> tuple[LoadedModel, dict[str, Any]]:
    """Load a packed model.

    Returns:
        The model, in eval mode, and the content of model.json.

    Raises:
        UserError: it is incomplete or damaged, or its weights do not fit its config.
    """
    import safetensors
    import safetensors.torch

    from sed.checkpoints.checkpoint import LoadedModel, check_weights
    from sed.checkpoints.defaults import complete_config
    from sed.features.logmel import FrontEnd
    from sed.models.detector import load_weights

    facts = read_facts(folder)
    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{folder / WEIGHTS}: damaged weights: {error} (copy or pack the model again)") from None
    check_weights(folder / WEIGHTS, weights)
    try:
        config = complete_config(facts["config"])
        detector = load_weights(config, len(facts["labels"]), weights)
        front_end = FrontEnd.from_params(facts["front_end"])
    except UserError as error:
        raise UserError(f"{folder / FACTS}: {error}") from None
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder}: its weights do not fit its {FACTS}: {first_lines(error, 2)} (pack it again)"
        ) from None
    detector.requires_grad_(False)
    model = LoadedModel(
        detector=detector.to(device).eval(),
        front_end=front_end.to(device),
        labels=list(facts["labels"]),
        config=config,
        info=dict(facts["info"]),
    )
    return model, facts


def load_model(source: Path, which: str, device: torch.device | str) -> LoadedModel:
    """Load a packed model, or the student or the teacher of an experiment or a checkpoint, in eval mode.

    Args:
        source: the pack, the folder of the experiment or the file of the checkpoint.
        which: `teacher` or `student`.
        device: device to load the model to.

    Returns:
        The model.

    Raises:
        UserError: it is missing, damaged or incomplete, or the student of a packed model is asked for.
    """
    from sed.checkpoints.checkpoint import load_detector

    if not is_packed(source):
        return load_detector(source, which=which, device=device)
    if which != "teacher":  # the result would be reported as the student's
        raise UserError(f"{source}: a packed model has one network (leave out --which)")
    return load_pack(source, device)[0]


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
    """Write a packed model atomically; see `sed.checkpoints.pack_folder`.

    Args:
        folder: folder to write; an earlier packed model in it is replaced, other files are kept.
        model: the teacher or student to pack.
        post_processing: settings to store, including thresholds.
        windows: settings to store of prediction on recordings longer than the model's window.
        results: {set: content of its result.json}; if empty, no results.json is written.
        card: text of README.md.
        source: description of what the model was packed from.

    Raises:
        UserError: `folder` is something else, has files that a user wrote or edited under the names of a pack's, or
            another run is writing it.
    """
    import safetensors.torch

    from sed import __version__
    from sed.config import save_config

    with replacing_pack(folder) as part:
        # clones: safetensors refuses tensors that share memory
        state = {key: value.detach().cpu().contiguous().clone() for key, value in model.detector.state_dict().items()}
        with open_replacing(part / WEIGHTS, "wb") as file:  # synced to disk, unlike by safetensors' save_file
            file.write(safetensors.torch.save(state, metadata={"format": "pt"}))
        if results:
            write_json(part / RESULTS, results)
        write_text(part / CARD, card)
        write_text(part / LABELS, "".join(f"{label}\n" for label in model.labels))
        # without the name of the checkpoint that training started from: the pack has the trained weights
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
        write_text(part / FACTS, sealed_json(facts))  # last: a folder that has it is complete
