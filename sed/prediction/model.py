"""Open a trained model of any form but ONNX for prediction, with its post-processing and window settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.checkpoints.hub import local_model
from sed.checkpoints.pack_folder import FACTS, RESULTS
from sed.checkpoints.packed import is_packed, load_pack
from sed.errors import UserError
from sed.input_files import read_json
from sed.prediction import window_settings
from sed.prediction.window_settings import WindowSettings

if TYPE_CHECKING:
    import torch

    from sed.checkpoints.checkpoint import LoadedModel
    from sed.evaluation.postprocessing.pipeline import PostProcessing

logger = logging.getLogger(__name__)

PAPER = "the AST-SED paper, the default of sed.bin.score"
"""origin of the post-processing of a model that stores none"""


@dataclass(frozen=True)
class Opened:
    """A model with its post-processing and window settings."""

    model: LoadedModel
    post_processing: PostProcessing | None
    """None: the model stores none, and the default of the commands applies (PAPER)"""
    source: str
    """origin of the post-processing: a file, or PAPER"""
    windows: WindowSettings
    """settings for recordings longer than the model's window"""


def open_model(path: str | Path, *, which: str = "teacher", device: torch.device | str = "cpu") -> Opened:
    """Load a model of any form but ONNX (`sed.prediction.onnx`) with its post-processing.

    Args:
        path: an experiment's folder, a checkpoint or a packed model, or `hf://organisation/name` of one on a hub.
        which: `teacher` or `student`; not used, with a warning, for a packed model, which has only one network.
        device: where the model runs.

    Returns:
        The model, post-processing and window settings.

    Raises:
        UserError: there is no such model, it cannot be read, or it is an ONNX file.
        RunError: the hub does not answer.
    """
    from sed.checkpoints.checkpoint import load_detector
    from sed.evaluation.postprocessing.stored import from_stored, of_experiment

    path = local_model(path)
    if path.is_dir() and is_packed(path):
        if which != "teacher":
            logger.warning("--which %s is not used: a packed model has one network", which)
        model, stored = load_pack(path, device)
        facts = str(path / FACTS)
        post = from_stored(stored["post_processing"], model.labels, facts)
        windows = window_settings.from_stored(stored.get("windows"), facts, again="pack the model again")
        return Opened(model, post, facts, windows)
    if not path.exists():
        raise UserError(f"{path}: no such model (an experiment's folder, a checkpoint or a packed model)")
    if path.suffix == ".onnx":
        raise UserError(f"{path}: an exported model (give it to sed.bin.predict or sed.bin.choose as --onnx)")
    model = load_detector(path, which=which, device=device)
    if not path.is_dir():  # a checkpoint: the results beside it may be of another one
        return Opened(model, None, PAPER, WindowSettings())
    stored_post, found = of_experiment(path, model.labels)
    return Opened(model, stored_post, str(found) if found else PAPER, window_settings.of_experiment(path))


def gather_results(model: Path) -> dict[str, Any]:
    """Return {set: content of its result.json} of an experiment or a packed model; UserError if one is damaged."""
    if is_packed(model):
        return dict(_read_json(model / RESULTS, "pack the model again")) if (model / RESULTS).is_file() else {}
    return {path.parent.name: _read_json(path, "score again") for path in sorted(model.glob("*/result.json"))}


def training_facts(model: Path) -> dict[str, Any]:
    """Return the content of an experiment's info.json; empty without one, and for a packed model.

    A packed model has that content in its `LoadedModel.info`.

    Raises:
        UserError: the file is damaged.
    """
    path = model / "info.json"
    if is_packed(model) or not path.is_file():
        return {}
    remedy = "train again, or remove it"
    facts = read_json(path, remedy=remedy)
    if not isinstance(facts, dict):
        raise UserError(f"{path}: not what training writes ({remedy})")
    return facts


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a result.json or a packed model's RESULTS; UserError, with the remedy, if it is damaged."""
    from sed.evaluation.result_file import check_result  # imports the metrics

    value = read_json(path, remedy=remedy)
    if not isinstance(value, dict):
        raise UserError(f"{path}: not what this project writes ({remedy})")
    for result in value.values() if path.name == RESULTS else [value]:  # RESULTS has those of all sets
        if not isinstance(result, dict):
            raise UserError(f"{path}: not what this project writes: a result is {str(result)[:40]!r} ({remedy})")
        check_result(path, result)
    return value
