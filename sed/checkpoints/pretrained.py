"""Initial weights: checkpoints of published or pre-trained models, read safely and loaded into a detector or tagger.

A checkpoint is a file of the authors (`.pth`), a safetensors file, a folder in Hugging Face's layout, or a name, which
is downloaded once: a name of published_models.tsv, or of a model on Hugging Face's hub
(`MIT/ast-finetuned-audioset-10-10-0.4593`), whose SHA-256 the hub states. Besides, there are this project's own:
experiments and packed models.
"""

from __future__ import annotations

import argparse
import csv
import errno
import json
import logging
import os
import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sed.checkpoints import own_layout
from sed.checkpoints.ast_layouts import to_tagger
from sed.checkpoints.checkpoint import check_weights, load_checkpoint
from sed.checkpoints.hub import local_model
from sed.checkpoints.importers import Mismatch, importer_of, kind_of
from sed.checkpoints.packed import FACTS, WEIGHTS, read_facts
from sed.checkpoints.published_models import cache_of, download, published_models
from sed.checkpoints.wrappers import Model, tensors_in, unwrapped
from sed.config.recipe_options import NONE
from sed.data.download.checksums import is_checked
from sed.data.download.fetch import Fetcher
from sed.data.download.hosts import HUGGING_FACE, Hosts
from sed.data.download.sources import Row
from sed.errors import RunError, UserError, first_lines
from sed.features import params
from sed.files import lock
from sed.input_files import check_file, read_text
from sed.models.detector import Detector
from sed.models.encoders import EARLIER_NAMES
from sed.models.tagger import GridTagger, Tagger, build_any_tagger, build_tagger

log = logging.getLogger("sed.train")

PUBLISHED = "MIT/ast-finetuned-audioset-10-10-0.4593"
"""published AST whose config.json has the names of AudioSet's classes"""
AUDIOSET_CLASSES = 527
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""weights in a folder of Hugging Face's layout, the preferred file first; `WEIGHTS` are those of a packed model"""
# Private functions of NumPy by which a pickle makes numbers and arrays, found without importing private modules.
_SCALAR, _ARRAY = np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    *(argparse.Namespace, np.ndarray, np.dtype, *(type(np.dtype(code)) for code in "?ilqfd")),
    *((_SCALAR, f"numpy.{place}.multiarray.scalar") for place in ("core", "_core")),
    *((_ARRAY, f"numpy.{place}.multiarray._reconstruct") for place in ("core", "_core")),
]
"""safe types, besides tensors, that checkpoints of trainings contain: arguments, and NumPy's numbers and arrays, bool,
integer and float, by the module names of NumPy 1 and 2"""
_GLOBAL = re.compile(r"GLOBAL (\S+) was not an allowed")
"""torch's message on a pickle that needs a function or class besides the safe ones, with its name"""


def locate(pretrained: str) -> Path:
    """Return the weights file of a path, a folder, or a name, which is downloaded once.

    A name is one of `published_models()`, or `organisation/model` on Hugging Face.

    Raises:
        UserError: there is none.
        RunError: it cannot be downloaded.
    """
    path = Path(pretrained)
    if path.is_dir():
        for name in _WEIGHTS:
            if (path / name).is_file():
                return path / name
        raise UserError(f"{path}: a folder without {' or '.join(_WEIGHTS)} (give the checkpoint's file or folder)")
    if path.exists():
        return path
    if pretrained in published_models():
        return download(pretrained)
    # With one of these suffixes it is no name on the hub, but a file that does not exist.
    if _NAME.fullmatch(pretrained) and path.suffix[1:] not in ("pth", "pt", "ckpt", "bin", "safetensors"):
        try:
            return _from_hub(pretrained)
        except (UserError, RunError) as error:
            raise type(error)(f"{pretrained}: no such file or folder; as a model on Hugging Face: {error}") from None
    raise UserError(
        f"{path}: no such checkpoint (is its path right? local/download.sh fetches the published AST; by name "
        f"there are {', '.join(published_models())})"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file by their dotted names, without running code of a pickle.

    Other objects (the step of a training, its arguments) are ignored.

    Raises:
        UserError: the file is damaged, or needs code to be run.
    """
    check_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        with warnings.catch_warnings():  # torch warns about a pickle's protocol before it refuses the pickle
            warnings.simplefilter("ignore")
            with torch.serialization.safe_globals(_HARMLESS):
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = _GLOBAL.search(str(error))
        what = f" but an object of {named[1]}" if named else ""
        raise UserError(
            f"{path}: not tensors alone{what}, so nothing of it was run "
            "(give the published checkpoint, or save the model's state_dict())"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # torch's error for a truncated archive
            raise
        raise UserError(f"{path}: damaged or not a checkpoint (download it again)") from None
    if isinstance(found, Mapping) and "front_end" in found and "teacher" in found:
        raise UserError(
            f"{path}: a checkpoint of a training (sed.bin.train --pretrained takes its experiment's folder)"
        )
    try:
        state = tensors_in(found)
    except RecursionError:
        raise UserError(f"{path}: not a checkpoint: a dictionary within itself (download it again)") from None
    except Mismatch as error:
        raise UserError(f"{path}: not a checkpoint: {error} (give the published one)") from None
    if not state:
        raise UserError(f"{path}: not a state dict, names to tensors (give the published checkpoint)")
    return state


def read_model(path: Path) -> Model:
    """Read the model of a checkpoint file, without the prefixes that trainings add to the names of its tensors.

    Raises:
        UserError: as `read_state`, or the file has several models.
    """
    state = read_state(path)
    try:
        model = unwrapped(state, lambda tensors: encoder_of(tensors) is not None)
    except Mismatch as error:
        raise UserError(f"{path}: {error} (torch.save the state dict of one model to a new file)") from None
    if model.prefix:
        left = ", ".join(model.others[:5]) or "nothing"
        left += f" and {len(model.others) - 5} more" if len(model.others) > 5 else ""
        log.info("%s: the model has the prefix '%s'; not loaded: %s", path, model.prefix, left)
    return model


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, struct.error, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged safetensors: {error} (download it again)") from None


def load_pretrained(detector: Detector, config: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Load the initial weights that `config["pretrained"]` names into a detector.

    They may be a published encoder, one pre-trained by `sed.bin.pretrain`, or a whole detector: the folder of an
    experiment, or a model packed by `sed.bin.pack` (a folder, or on a hub: `hf://organisation/name`).

    Args:
        detector: the detector, whose weights are replaced.
        config: its config.
        labels: its class names.

    Returns:
        A description of what was loaded; '' if nothing was, so that the detector keeps its random weights.

    Raises:
        UserError: the checkpoint is missing, damaged or of another encoder, or does not fit.
        RunError: it cannot be downloaded.
    """
    name = EARLIER_NAMES.get(config["encoder"], config["encoder"])
    if config["pretrained"] in ("", NONE):
        return ""
    start = local_model(config["pretrained"])
    if (start / FACTS).is_file():
        return load_packed(detector, start, config, labels)
    if (start / "final.pt").is_file():
        return load_trained(detector, start, config, labels)
    if (start / "config.yaml").is_file() and not (start / WEIGHTS).is_file():
        raise UserError(
            f"{start}: an experiment without final.pt (its training has not ended: the same command resumes it)"
        )
    path = locate(config["pretrained"])
    state, prefix, _ = read_model(path)
    kind = encoder_of(state)
    importer = own_layout.OwnImporter() if own_layout.encoder_of(state) else importer_of(name)
    # kind None: the state dict is not recognised, and the encoder's importer says which of its tensors do not fit.
    if kind not in (name, None) or importer is None:
        what = f"for encoder '{kind}'" if kind else "of no layout that is known"
        raise UserError(
            f"{path}: {what}, the config's is '{name}' (pre-train that one by sed.bin.pretrain, or --pretrained none)"
        )
    try:
        importer.load(detector.get_submodule("encoder"), state, config)
    except Mismatch as error:
        raise _misfit(path, prefix, error) from None
    tensors = len(detector.get_submodule("encoder").state_dict())
    return f"the encoder, {tensors} tensors of {path}{left_out(name, config)}"


def left_out(encoder: str, config: Mapping[str, Any]) -> str:
    """Return a text on the last blocks of a published encoder that a config does not use; '' if it uses all.

    Options of an encoder begin with the first word of its name: those of `atst_frame` are atst_depth, the number of
    published blocks, and atst_blocks, the number of first blocks that are used.
    """
    prefix = encoder.split("_")[0]
    depth, blocks = config.get(f"{prefix}_depth", 0), config.get(f"{prefix}_blocks", 0)
    if blocks >= depth:
        return ""
    last = f"block {depth}" if blocks == depth - 1 else f"blocks {blocks + 1} to {depth}"
    return f", without {last} of {depth} and what follows ({prefix}_blocks {blocks})"


def encoder_of(state: Mapping[str, Tensor]) -> str | None:
    """Return the encoder of a state dict, published or pre-trained here; None if it is not recognised."""
    return own_layout.encoder_of(state) or kind_of(state)


def _misfit(path: Path, prefix: str, error: Mismatch) -> UserError:
    under = f"under '{prefix}': " if prefix else ""
    return UserError(f"{path}: {under}{error} (give the published checkpoint, or the config that made this one)")


def load_trained(detector: Detector, folder: Path, config: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Load all weights of the teacher of an experiment.

    Args:
        detector: the detector, whose weights are replaced.
        folder: the experiment.
        config: config of the detector.
        labels: class names of the detector.

    Returns:
        A description of what was loaded.

    Raises:
        UserError: the experiment has another model or other labels.
    """
    checkpoint = load_checkpoint(folder / "final.pt")
    if list(checkpoint["labels"]) != list(labels):
        theirs = ", ".join(checkpoint["labels"])
        raise UserError(
            f"{folder}: was trained for other labels: {theirs} (pack it by sed.bin.pack: a training from a "
            "packed model may have others)"
        )
    _warn_of_other_features(folder, checkpoint["front_end"], config)
    try:
        detector.load_state_dict(checkpoint["teacher"])
    except RuntimeError as error:
        raise UserError(
            f"{folder}: another model than the config's: {first_lines(error, 2)} (train from its own config)"
        ) from None
    return f"all of {folder}, its teacher after step {checkpoint['step']}"


def load_packed(detector: Detector, folder: Path, config: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Load the weights of a packed model; of its classifiers, those of labels that the detector also has.

    The encoder must be the same. Other modules that differ in kind or size keep their random weights. Rows of a
    classifier's weights are matched by label.

    Args:
        detector: the detector, whose weights are replaced.
        folder: the packed model.
        config: config of the detector.
        labels: class names of the detector.

    Returns:
        A description of what was loaded, with the labels and modules that keep random weights ("fresh").

    Raises:
        UserError: the pack is damaged, or has another encoder.
    """
    facts = read_facts(folder)
    theirs = {label: row for row, label in enumerate(facts["labels"])}
    path = folder / WEIGHTS
    state = read_state(path)
    check_weights(path, state)
    ours = detector.state_dict()
    for key in [key for key in ours if key in state and key.startswith(Detector.OF_CLASSES)]:
        if len(state[key]) != len(theirs):
            raise UserError(f"{path}: {key} is of {len(state[key])} labels, {FACTS} has {len(theirs)} (pack it again)")
        if state[key].shape[1:] == ours[key].shape[1:]:
            pairs = zip(labels, ours[key], strict=True)
            state[key] = torch.stack([state[key][theirs[label]] if label in theirs else row for label, row in pairs])
    fits = {key: value for key, value in state.items() if key in ours and ours[key].shape == value.shape}
    lacking = [key for key in ours if key.startswith("encoder.") and key not in fits]
    if lacking:
        raise UserError(
            f"{path}: another encoder than the config's: {lacking[0]} does not fit (take its options from {FACTS})"
        )
    fresh = [label for label in labels if label not in theirs]
    fresh += sorted({key.split(".")[0] for key in ours if key not in fits})
    detector.load_state_dict(ours | fits)
    _warn_of_other_features(folder, facts["front_end"], config)
    return f"{folder}, fresh: {', '.join(fresh) or 'none'}"


def _warn_of_other_features(folder: Path, found: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Warn if weights were trained on features of another front end than the config's; clip lengths may differ."""
    wanted = {key: config.get(key, default) for key, default in params.defaults().items() if key != "clip_seconds"}
    if other := params.difference({**found, "clip_seconds": 0.0}, {**wanted, "clip_seconds": 0.0}):
        log.warning("%s: was trained on other features than the config's: its %s (results may be worse)", folder, other)


def load_tagger(config: Mapping[str, Any], *, labels: str = "") -> tuple[Tagger | GridTagger, list[str]]:
    """Load the whole tagger of `config["pretrained"]`, in eval mode, with the names of its classes.

    It is a `Tagger` for encoder `ast`, and a `GridTagger`, pre-trained by `sed.bin.pretrain`, for any other encoder.

    Names come from the file `labels`: a config.json with `id2label`, AudioSet's class_labels_indices.csv, or one name
    per line. Without it they come from a file beside the checkpoint NAME.pth (the first of config.json, NAME.json,
    class_labels_indices.csv, NAME.labels.txt), else, for AudioSet's 527 classes and if online, from config.json of the
    published AST on Hugging Face; without any of these they are `class 0`, `class 1` etc.

    Raises:
        UserError: the checkpoint is missing, damaged or not the config's tagger, or names do not match the classes.
        RunError: it cannot be downloaded.
    """
    path = locate(config["pretrained"])
    state, prefix, _ = read_model(path)
    if own_layout.encoder_of(state):
        own = _own_tagger(path, state, config)
        return own.eval(), class_names(path, own.head.linear.out_features, labels)
    with torch.device("meta"):  # for names and shapes alone; the number of classes is that of the file
        like = build_tagger(config, 1)
    try:
        ours, has_head = to_tagger(state, like)
    except Mismatch as error:
        raise _misfit(path, prefix, error) from None
    if not has_head:
        raise UserError(f"{path}: an encoder without a tagging head (give the checkpoint of the whole tagger)")
    classes = ours["head.mlp_head.1.weight"].shape[0]
    tagger = build_tagger(config, classes)
    tagger.load_state_dict(ours)
    return tagger.eval(), class_names(path, classes, labels)


def _own_tagger(path: Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> GridTagger:
    """Build the tagger of the config's encoder, with the weights of a file written by pre-training."""
    # A file without a head: any number will do, since `to_tagger` raises Mismatch with the names that are missing.
    classes = next((len(value) for key, value in state.items() if key.endswith("head.linear.bias")), 1)
    tagger = build_any_tagger(config, classes)
    if not isinstance(tagger, GridTagger):
        raise UserError(f"{path}: for encoder '{encoder_of(state)}', the config's is 'ast' (give an AST or its config)")
    try:
        tagger.load_state_dict(own_layout.to_tagger(state, tagger, config["encoder"]))
    except Mismatch as error:
        raise _misfit(path, "", error) from None
    return tagger


def class_names(checkpoint: Path, classes: int, labels: str = "") -> list[str]:
    """Return the names of a tagger's classes; see `load_tagger`.

    Args:
        checkpoint: file of the checkpoint.
        classes: number of classes.
        labels: file of names; '': look beside the checkpoint.

    Returns:
        One name per class.

    Raises:
        UserError: the file has no names, or another number of them.
    """
    beside = [
        checkpoint.parent / "config.json",
        checkpoint.with_suffix(".json"),
        checkpoint.parent / "class_labels_indices.csv",
        checkpoint.with_suffix(".labels.txt"),
    ]
    path = Path(labels) if labels else next((p for p in beside if p.is_file()), None)
    if path is None and classes == AUDIOSET_CLASSES:
        path = _published_names()
    if path is None:
        return [f"class {i}" for i in range(classes)]
    try:
        names = _read_names(path)
        if not all(isinstance(name, str) for name in names):  # also None, of a row of the CSV that is cut short
            raise TypeError
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (the path of a file of class names is expected)") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error):
        raise UserError(f"{path}: no class names in it (give class_labels_indices.csv or a config.json)") from None
    if len(names) != classes:
        raise UserError(f"{path}: {len(names)} class names for a checkpoint of {classes} (give the checkpoint's own)")
    return names


def _read_names(path: Path) -> list[str]:
    text = read_text(path, "utf-8-sig")
    if path.suffix == ".json":
        table = json.loads(text)["id2label"]
        return [table[str(i)] for i in range(len(table))]
    if path.suffix == ".csv":
        rows = list(csv.DictReader(text.splitlines()))
        return [row["display_name"] for row in sorted(rows, key=lambda row: int(row["index"]))]
    return [line for line in text.splitlines() if line]


def _hub(name: str, **how: Any) -> tuple[Hosts, Path]:
    """Return the client of the hub, and the user's cache folder for a model; `how` are arguments of `Fetcher`.

    HF_ENDPOINT names another server with the hub's paths, as for Hugging Face's own tools; messages about failures
    suggest it (`elsewhere`).
    """
    cache = cache_of(name)
    cache.mkdir(parents=True, exist_ok=True)
    return Hosts(Fetcher(**how, elsewhere="HF_ENDPOINT names another server"), os.environ.get("HF_ENDPOINT", "")), cache


def _fetch_config(hosts: Hosts, name: str, cache: Path) -> Path:
    path = cache / "config.json"
    # `or:` precedes a plain address, from which a file without a checksum is fetched. "ast", in a corpus's table the
    # name of a part, has no effect.
    row = Row("ast", f"or:{HUGGING_FACE}/{name}/resolve/main/config.json", path.name, path.name)
    hosts.fetcher.fetch(hosts.ask(row), path)
    return path


def _from_hub(name: str) -> Path:
    """Download a model from Hugging Face's hub to the user's cache, once; its weights are checked by SHA-256.

    config.json, which has names of classes, comes before the weights: a folder with weights is complete.
    """
    hosts, cache = _hub(name)
    weights = cache / _WEIGHTS[0]
    if weights.exists():
        return weights
    with lock(cache, wait=True):  # trainings that start together
        if not weights.exists():
            _fetch_config(hosts, name, cache)
            hosts.fetcher.fetch(hosts.ask(Row("ast", f"huggingface:{name}", _WEIGHTS[0], _WEIGHTS[0])), weights)
    return weights


def _published_names() -> Path | None:
    """Fetch config.json of the published model, with the names of AudioSet's classes; None if that fails."""
    try:
        # Names are optional, so without a network the wait is short: one attempt of 5 s.
        hosts, cache = _hub(PUBLISHED, timeout=5.0, retries=0)
        if is_checked(path := cache / "config.json"):  # it was downloaded whole
            return path
        with lock(cache, wait=True):  # two downloads at once would write to one file
            return _fetch_config(hosts, PUBLISHED, cache)
    except (UserError, RunError, OSError):
        return None
