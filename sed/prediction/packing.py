"""Pack a trained model: for `sed.bin.pack`, which writes a folder, and `sed.bin.push`, which uploads it to a hub."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.evaluation.postprocessing.options import add_arguments as add_post_processing_arguments
from sed.evaluation.postprocessing.options import resolve
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows

if TYPE_CHECKING:
    from sed.config import Parser
    from sed.prediction.model import Opened

log = logging.getLogger("sed.pack")
WORDS = ("data", "licence", "intended_use")
"""options of the model card in the author's words; a packed model stores them, so that packing it again keeps them"""


def add_arguments(parser: Parser) -> None:
    """Register the options of packing: network, model card, windows and post-processing."""
    parser.option(
        "which",
        "teacher",
        "network of the mean-teacher pair to pack (a packed model has only one)",
        choices=["teacher", "student"],
    )
    parser.section("model card")
    parser.option("name", None, "the model's name (default: the name of the folder or repository that is written)")
    parser.option("data", "", "description of the training data ('': as a packed model has it)")
    parser.option("licence", "", "licence of the weights, such as CC-BY-4.0 ('': as a packed model has it)")
    parser.option("intended-use", "", "intended use, and uses to avoid ('': as a packed model has it)")
    parser.section("windows")
    add_window_arguments(parser)
    add_post_processing_arguments(parser)


def pack(args: argparse.Namespace, folder: Path, *, name: str) -> Opened:
    """Write a model as a packed folder.

    Args:
        args: the options of `add_arguments`, and `model`, the model to pack.
        folder: folder to write; a packed model there is replaced, other files in it stay.
        name: name of the model in its card, if `--name` is not given.

    Returns:
        The model as it was opened, without the options' post-processing and windows.

    Raises:
        UserError: the model cannot be read, an option does not fit it, or `folder` cannot be replaced (see
            `sed.checkpoints.pack_folder.replacing_pack`).
        RunError: the hub does not answer.
    """
    from sed.checkpoints.hub import local_model
    from sed.checkpoints.pack_folder import recover
    from sed.checkpoints.packed import save_pack
    from sed.evaluation.postprocessing.stored import to_stored
    from sed.prediction.card import card
    from sed.prediction.model import open_model, training_facts
    from sed.provenance import without_folders

    recover(folder)  # completes a replacement that a killed run left unfinished; `args.model` may be this folder
    source = local_model(args.model)
    opened = open_model(source, which=args.which)
    post = resolve(args, opened.model.labels, stored=opened.post_processing)
    windows = resolve_windows(args, opened.windows)
    which = _network_of(source, args.which)
    # without_folders: no paths of this machine in what is published
    results = without_folders(_results_of(source, which))
    info = without_folders({**opened.model.info, **training_facts(source)})
    words = info["card"] = words_of(args, opened.model.info)
    model = replace(opened.model, info=info, config=without_folders(opened.model.config))
    text = card(
        args.name or name,
        model,
        post,
        windows,
        results,
        which=which,
        **words,
    )
    save_pack(
        folder,
        model,
        post_processing=to_stored(post),
        windows=without_folders(windows.to_stored()),
        results=results,
        card=text,
        source=f"{without_folders(str(args.model))} ({which})",
    )
    return opened


def words_of(args: argparse.Namespace, info: Mapping[str, Any]) -> dict[str, str]:
    """Return the author's words for the model card: an option's, or else those of the packed model with this `info`."""
    stored = info.get("card")
    earlier = stored if isinstance(stored, dict) else {}
    return {name: getattr(args, name) or str(earlier.get(name) or "") for name in WORDS}


def _results_of(model: Path, which: str) -> dict[str, Any]:
    """Return {set: content of its result.json}, without results of an experiment's other network and of ensembles.

    Args:
        model: folder of an experiment or packed model, or a checkpoint, which has no results.
        which: the network that is packed.
    """
    from sed.checkpoints.packed import is_packed
    from sed.prediction.model import gather_results

    results = gather_results(model) if model.is_dir() else {}
    if is_packed(model):
        return results
    attrs = {name: (result.get("input") or {}).get("attrs", {}) for name, result in results.items()}
    others = [name for name, facts in attrs.items() if facts.get("which", which) != which or "ensemble" in facts]
    for name in others:
        log.info("%s: not in the card: scores of another network than the %s, or of several", model / name, which)
    return {name: result for name, result in results.items() if name not in others}


def _network_of(model: Path, which: str) -> str:
    """Return the network that a model is opened with: a packed model has only the one that it was packed from."""
    from sed.checkpoints.pack_folder import FACTS
    from sed.checkpoints.packed import is_packed
    from sed.seal import read_sealed_json

    if not is_packed(model):
        return which
    source = str(read_sealed_json(model / FACTS)[0].get("source"))
    return next((one for one in ("teacher", "student") if source.endswith(f"({one})")), which)


def size_of(folder: Path) -> float:
    """Return the size of a packed model in megabytes."""
    from sed.checkpoints.pack_folder import NAMES

    return sum((folder / name).stat().st_size for name in NAMES if (folder / name).exists()) / 1e6
