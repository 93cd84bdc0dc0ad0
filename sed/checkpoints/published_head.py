"""Import of published detectors, encoder and head: PretrainedSED's files trained on AudioSet-strong.

In `ATST-F_strong_1.pt` and `BEATs_strong_1.pt`, a linear head of 447 classes, `strong_head`, directly follows the
encoder's frames of 40 ms. The files' `weak_head` was not trained on strong labels and is not loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sed.checkpoints.checkpoint import LoadedModel
from sed.checkpoints.defaults import complete_config, model_defaults
from sed.checkpoints.importers import Mismatch, importer_of, kind_of
from sed.checkpoints.pack_folder import sha256
from sed.checkpoints.pretrained import read_state
from sed.checkpoints.wrappers import plain_name, unwrapped
from sed.config import default_options, read_yaml
from sed.data.class_map import ClassMap
from sed.data.tables import read_lines
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models import atst_frame, beats
from sed.models.classifiers import MergedClassifier
from sed.models.detector import Detector, build_detector
from sed.models.encoders import check_front_end

# in names of tensors: the head that is loaded, and layers between encoder and head, which are refused
HEAD, SEQUENCE = "strong_head.", "seq_model."
# licences of weights: of a head with AudioSet-strong's class names, as in PretrainedSED's files; of any other head
LICENCE, OTHER_LICENCE = "MIT, as PretrainedSED publishes them", "licence not stated"
AUDIOSET_STRONG = Path(__file__).with_name("audioset_strong_classes.txt")
# options that all published detectors have in common; also the defaults of these keys in a config that the user gives
_COMMON = {"pooling": "mean", "decoder": "none", "upsample": 1, "clip_pooling": "max", "input_padding": "silence"}
CONFIGS: dict[str, dict[str, Any]] = {
    "atst_frame": {**_COMMON, **atst_frame.FRONT_END, "encoder": "atst_frame", "input_frames": 1001},
    # BEATs' 496 patches (62 time steps of eight bands) are averaged to 250 frames of 40 ms, as in PretrainedSED.
    "beats": {**_COMMON, **beats.FRONT_END, "encoder": "beats", "input_frames": 998, "beats_frames": 250},
}
"""{encoder: config of its published detector}; options not listed have their defaults"""


class Head(NamedTuple):
    """Linear head: weight (classes, dim), bias (classes,)."""

    weight: Tensor
    bias: Tensor


class Published(NamedTuple):
    """Content of a published file: path, name of the encoder, the encoder's tensors, and the head."""

    path: Path
    encoder: str
    state: dict[str, Tensor]
    head: Head


def read_published(path: Path) -> Published:
    """Read encoder and head of a file.

    Raises:
        UserError: as `sed.checkpoints.pretrained.read_state`; or it has several models, no linear head, layers between
            encoder and head, or an encoder without an entry in `CONFIGS`.
    """
    state = read_state(path)
    try:
        model = unwrapped(state, lambda names: kind_of(names) is not None)
    except Mismatch as error:
        raise UserError(f"{path}: {error} (torch.save the state dict of one model to a new file)") from None
    kind = kind_of(model.state)
    if kind not in CONFIGS:
        what = f"for encoder '{kind}'" if kind else "of no layout that is known"
        raise UserError(f"{path}: {what} (only detectors with encoder {' or '.join(CONFIGS)} are imported)")
    tensors = {plain_name(name): value for name, value in state.items()}
    if between := [name for name in tensors if SEQUENCE in name]:
        raise UserError(
            f"{path}: has layers between encoder and head, such as {between[0]} "
            "(give the file of a detector without them, such as ATST-F_strong_1.pt)"
        )
    found = {name: value for name, value in tensors.items() if f".{HEAD}" in f".{name}"}
    parts = {part: [name for name in found if name.endswith(HEAD + part)] for part in ("weight", "bias")}
    if len(found) != 2 or any(len(names) != 1 for names in parts.values()):
        others = ", ".join(found or model.others[:3]) or "nothing"
        raise UserError(
            f"{path}: {HEAD}weight and {HEAD}bias are expected beside the encoder, there is {others} "
            "(give the file of the whole detector, such as ATST-F_strong_1.pt)"
        )
    head = Head(*(found[names[0]] for names in parts.values()))
    if head.weight.ndim != 2 or head.bias.shape != head.weight.shape[:1]:
        shapes = f"{list(head.weight.shape)} and {list(head.bias.shape)}"
        raise UserError(
            f"{path}: {HEAD}weight and {HEAD}bias do not form a linear layer: their shapes are {shapes} "
            "(give the published file)"
        )
    return Published(path, kind, model.state, head)


def class_names(published: Published, names: str | Path | None = None) -> list[str]:
    """Return the names of the head's classes: those of a file, one per line, or AudioSet-strong's 447.

    Raises:
        UserError: the file is missing or not text, the number of names is not that of the classes, or one is repeated.
    """
    count = len(published.head.bias)
    path = Path(names) if names else AUDIOSET_STRONG
    found = _read_names(path)
    if len(set(found)) < len(found):
        raise UserError(f"{path}: a name comes twice (write each class once, in the head's order)")
    if len(found) != count:
        hint = "write one per line, in the head's order" if names else "give its own names by --classes"
        raise UserError(f"{published.path}: a head of {count} classes, {path.name} has {len(found)} names ({hint})")
    return found


def _read_names(path: Path) -> list[str]:
    return [line.strip() for _, line in read_lines(path)]


def read_config(path: str | Path | None, encoder: str) -> dict[str, Any]:
    """Return the config of a published detector: that of a file, or if `path` is None, `CONFIGS[encoder]`.

    Keys that the file lacks have the defaults of models, those in `_COMMON` its values; the sizes and the front end in
    `CONFIGS` do not apply. Keys of `sed.config.recipe_options` are accepted and ignored.

    Raises:
        UserError: the file is not the config of a detector.
    """
    if path is None:
        return complete_config(CONFIGS[encoder])
    known = {**model_defaults(), **default_options("sed.config.recipe_options")}
    stored = {}
    for spelled, (value, where) in read_yaml(path).items():
        key = spelled.replace("-", "_")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UserError(f"{where}: unknown key '{spelled}'" + (f" (did you mean '{near[0]}'?)" if near else ""))
        if key in model_defaults():
            stored[key] = value
    try:
        return complete_config({**_COMMON, **stored})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def import_detector(
    published: Published,
    config: Mapping[str, Any],
    classes: Sequence[str],
    *,
    class_map: ClassMap | None = None,
    merge: str = "max",
) -> LoadedModel:
    """Build a detector from a published file.

    Args:
        published: the file, from `read_published`.
        config: the config, from `read_config`.
        classes: names of the head's classes.
        class_map: map from labels to classes; None: the classes are the labels.
        merge: how a label's logit is computed from those of its classes, `max` or `noisy_or`; unused without a map.

    Returns:
        The detector in evaluation mode, with its front end and labels.

    Raises:
        UserError: the config is for another encoder, inconsistent, or has another front end than the encoder needs; or
            encoder or head do not fit it.
    """
    path, kind, state, head = published
    if config["encoder"] != kind:
        raise UserError(f"{path}: for encoder '{kind}', the config's is '{config['encoder']}' (give its config)")
    merged = {"class_merge": merge if class_map else "none", "source_classes": len(classes) if class_map else 0}
    config = {**config, **merged, "pretrained": path.name}
    labels = list(class_map.labels if class_map else classes)
    detector = build_detector(config, len(labels))
    check_front_end(detector.encoder, config)
    importer = importer_of(kind)
    assert importer is not None
    try:
        importer.load(detector.get_submodule("encoder"), state, config)
        _load_head(detector, head, class_map)
    except Mismatch as error:
        raise UserError(f"{path}: {error} (give the published checkpoint, or the config of this one)") from None
    detector.requires_grad_(False)
    licence = LICENCE if [*classes] == _read_names(AUDIOSET_STRONG) else OTHER_LICENCE
    info = {
        "weights": path.name,
        "imported": {"file": path.name, "sha256": sha256(path), "classes": len(classes), "licence": licence},
        "parameters": sum(parameter.numel() for parameter in detector.parameters()),
    }
    return LoadedModel(detector.eval(), FrontEnd.from_config(config), labels, config, info)


def _load_head(detector: Detector, head: Head, class_map: ClassMap | None) -> None:
    classifier = detector.get_submodule("classifier")
    linear = classifier.head if isinstance(classifier, MergedClassifier) else classifier
    assert isinstance(linear, torch.nn.Linear)
    if head.weight.shape[1] != linear.in_features:
        raise Mismatch(f"{HEAD}weight is for frames of width {head.weight.shape[1]}, the config's {linear.in_features}")
    if not all(tensor.isfinite().all() for tensor in head):
        raise Mismatch(f"{HEAD}weight or {HEAD}bias has values that are not finite")
    linear.load_state_dict(head._asdict())
    if isinstance(classifier, MergedClassifier) and class_map:
        classifier.members.copy_(torch.from_numpy(class_map.members))
