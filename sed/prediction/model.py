"""A model as one folder: weights, config, labels, front end, post-processing, results and a card.

model.safetensors      the weights of one half (teacher by default)
model.json             format, version, labels, config, front end, post-processing, where it came from
results.json           the scores of stage 5, when there are any
README.md              the model card
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.checkpoints.packed import FACTS, FORMAT, WEIGHTS, is_packed, read_facts
from sed.errors import UserError
from sed.files import open_replacing, sync_folder, write_json, write_text

if TYPE_CHECKING:
    import torch

    from sed.checkpoints.checkpoint import LoadedModel
    from sed.evaluation.postprocessing.pipeline import PostProcessing

RESULTS, CARD = "results.json", "README.md"


@dataclass(frozen=True)
class Opened:
    """A model and the post-processing that goes with it; `source` names where that came from."""

    model: LoadedModel
    post_processing: PostProcessing | None
    source: str


def open_model(path: str | Path, *, which: str = "teacher", device: torch.device | str = "cpu") -> Opened:
    """Load an experiment folder, a checkpoint or a packed model; UserError for anything else."""
    from sed.checkpoints.checkpoint import load_detector
    from sed.prediction.settings import from_stored, of_experiment

    path = Path(path)
    if path.is_dir() and is_packed(path):
        facts = read_facts(path)
        model = _load(path, facts, device)
        return Opened(model, from_stored(facts["post_processing"], model.labels, f"{path / FACTS}"), str(path / FACTS))
    if not path.exists():
        raise UserError(f"{path}: no such model (an experiment's folder, a checkpoint or a packed model)")
    model = load_detector(path, which=which, device=device)
    post, found = of_experiment(path, model.labels) if path.is_dir() else (None, None)
    return Opened(model, post, str(found) if found else "the paper's, as stage 5 by default")


def _load(folder: Path, facts: dict[str, Any], device: torch.device | str) -> LoadedModel:
    import safetensors
    import safetensors.torch

    from sed.checkpoints.checkpoint import LoadedModel
    from sed.features.logmel import FrontEnd
    from sed.models.detector import build_detector

    try:
        weights = safetensors.torch.load_file(folder / WEIGHTS)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{folder / WEIGHTS}: damaged weights: {error} (copy or pack the model again)") from None
    try:
        detector = build_detector(facts["config"], len(facts["labels"]))
        detector.load_state_dict(weights)
        front_end = FrontEnd.from_params(facts["front_end"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        what = str(error).splitlines()[0]
        raise UserError(f"{folder}: its weights do not fit its {FACTS}: {what} (pack it again)") from None
    detector.requires_grad_(False)
    return LoadedModel(
        detector=detector.to(device).eval(),
        front_end=front_end.to(device),
        labels=list(facts["labels"]),
        config=dict(facts["config"]),
        info=dict(facts["info"]),
    )


def pack(
    folder: Path, opened: Opened, post: PostProcessing, *, results: dict[str, Any], card: str, source: str
) -> None:
    """Write a packed model at once: beside its place, then renamed; UserError when something else stands there."""
    import safetensors.torch

    from sed import __version__
    from sed.config import save_config
    from sed.prediction.settings import stored_dict

    if folder.exists() and not (folder.is_dir() and (is_packed(folder) or not any(folder.iterdir()))):
        raise UserError(f"{folder}: exists and is no packed model (choose another folder)")
    model = opened.model
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        state = {key: value.detach().cpu().contiguous().clone() for key, value in model.detector.state_dict().items()}
        with open_replacing(part / WEIGHTS, "wb") as file:
            file.write(safetensors.torch.save(state, metadata={"format": "pt"}))
        if results:
            write_json(part / RESULTS, results)
        write_text(part / CARD, card)
        save_config(part / "config.yaml", model.config, skip=["pretrained"])
        save_config(part / "logmel.yaml", model.front_end.params())
        facts = {
            "format": FORMAT,
            "version": __version__,
            "source": source,
            "labels": model.labels,
            "front_end": model.front_end.params(),
            "post_processing": stored_dict(post, model.labels),
            "config": model.config,
            "info": model.info,
        }
        write_json(part / FACTS, facts)  # last: what has it is whole
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def gather_results(experiment: Path) -> dict[str, Any]:
    """{set: its result.json} of an experiment."""
    found = {}
    for path in sorted(experiment.glob("*/result.json")):
        try:
            found[path.parent.name] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: not JSON: {error} (score again)") from None
    return found
