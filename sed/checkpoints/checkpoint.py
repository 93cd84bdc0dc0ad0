"""Training checkpoints: a single file, written atomically, sealed, and loadable with `weights_only=True`.

Sealed: after torch's zip archive follows a line with a checksum (`sed.seal`), which zip readers ignore.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sed import __version__
from sed.checkpoints.defaults import complete_config
from sed.compatibility import FORMAT, check_format
from sed.data.labels import check_labels
from sed.errors import UserError, first_lines
from sed.features.logmel import FrontEnd
from sed.files import open_replacing
from sed.input_files import check_file
from sed.models.detector import Detector, load_weights
from sed.seal import Damaged, SealedWriter, is_sealed

_ZIP_END, _ZIP_END_SIZE = b"PK\x05\x06", 22  # signature and size in bytes of a zip archive's last record
_REPLACE = "restore it from a copy, or train again"
KEYS = ("student", "teacher", "optimizer", "step", "config", "labels", "front_end", "info")
"""keys of a checkpoint; `optimizer` is empty in best.pt and final.pt, from which no training resumes, `front_end` has
the front end's settings, and `info` what else a training restores, such as its best score so far"""


def save_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint with `KEYS`, format and version, atomically.

    Equal contents result in equal bytes, so that two trainings can be compared by their files.

    Raises:
        ValueError: a key is missing.
        OSError: the file cannot be written.
    """
    missing = [key for key in KEYS if key not in checkpoint]
    if missing:
        raise ValueError(f"checkpoint without {missing}")
    try:
        with open_replacing(path, "wb") as file:
            sealed = SealedWriter(file)
            torch.save({**checkpoint, "format": FORMAT, "version": __version__}, sealed)  # type: ignore[arg-type]
            sealed.seal()
    except (RuntimeError, OSError) as error:
        # torch reports a failed write (a full disk) as an error about file positions: raise the cause.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from None


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU, with its config as stored (`sed.checkpoints.defaults` completes it).

    Raises:
        NewerFormat: it was written by a later version of the program.
        UserError: it is missing, damaged or not a checkpoint of this project.
        PermissionError: it may not be read.
    """
    path = Path(path)
    try:
        _check_bytes(path)
        with warnings.catch_warnings():  # torch warns about a pickle's protocol before it refuses the pickle
            warnings.simplefilter("ignore")
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (UserError, PermissionError):
        raise
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path}: damaged checkpoint: {first_lines(error)[:160]} ({_REPLACE})") from None
    except Exception as error:  # the unpickler of weights_only raises errors of any type
        raise UserError(f"{path}: not a checkpoint of this project: {_unpickled(error)} (train again)") from None
    if isinstance(checkpoint, dict) and "format" in checkpoint:
        check_format(path, checkpoint, oldest=1, remedy="train again")
    if not isinstance(checkpoint, dict) or any(key not in checkpoint for key in ("format", *KEYS)):
        raise UserError(
            f"{path}: not a checkpoint of this project, which has {', '.join(('format', *KEYS))} (train again)"
        )
    for key in ("config", "front_end", "info"):
        if not isinstance(checkpoint[key], dict):
            raise UserError(
                f"{path}: not a checkpoint of this project: {key} is {_kind(checkpoint[key])} (train again)"
            )
    check_labels(path, checkpoint["labels"])
    for which in ("student", "teacher"):
        check_weights(path, checkpoint[which])
    return checkpoint


def _check_bytes(path: Path) -> None:
    """Raise an error unless the checksum matches; for files of earlier versions, those of the zip archive."""
    check_file(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint (train first, or check the path)")
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):  # torch's legacy reader would read any other file as a pickle
            raise UserError(f"{path}: not a checkpoint, or a damaged one (check the path; {_REPLACE})")
    if is_sealed(path):  # it has compared the checksum
        return
    with path.open("rb") as file:
        file.seek(-_ZIP_END_SIZE, 2)
        if not file.read().startswith(_ZIP_END):  # the archive is followed by a damaged checksum
            raise Damaged("its checksum is damaged")
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            raise Damaged(f"{damaged} does not match its checksum")


def check_weights(path: object, state: object) -> None:
    """Raise UserError, which begins with `path`, unless weights are {name: dense tensor} without NaN and infinity."""
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: its weights are {_kind(state)}, not tensors by name (make the file again)")
    for name, value in state.items():
        if not value.is_floating_point() or not value.numel():
            continue
        try:
            # Extremes are NaN if any value is: one pass, without a mask of the tensor's size.
            finite = all(torch.isfinite(extreme) for extreme in torch.aminmax(value))
        except RuntimeError:  # torch stores such tensors, but does not compute with them
            kind = ", ".join(str(one).removeprefix("torch.") for one in (value.dtype, value.layout, value.device))
            raise UserError(
                f"{path}: weights {name} are {kind} (store them as dense tensors of float32, bfloat16 or float16)"
            ) from None
        if not finite:
            raise UserError(f"{path}: weights {name} are NaN or infinite (take an earlier checkpoint, or train again)")


def _kind(value: object) -> str:
    return "empty" if value in ({}, [], ()) else f"of type {type(value).__name__}"


def _unpickled(error: Exception) -> str:
    """Return what torch's unpickler found, without its advice to allow the pickle's code."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    return f"it holds an object of {named[1]}" if named else f"no tensors and plain values ({type(error).__name__})"


def checkpoints(folder: str | Path) -> list[Path]:
    """Return the training checkpoints of an experiment's `checkpoints/`, oldest first."""
    return sorted(p for p in Path(folder).glob("step-*.pt") if re.fullmatch(r"step-\d{8}\.pt", p.name))


def checkpoint_name(step: int) -> str:
    """Return the file name after `step` steps, `step-00000394.pt`, which sorts by step."""
    return f"step-{step:08d}.pt"


@dataclass(frozen=True)
class LoadedModel:
    """Trained detector ready for inference, with its front end, labels and config."""

    detector: Detector
    front_end: FrontEnd
    labels: list[str]
    config: dict[str, Any]
    """all options of the model and the front end"""
    info: dict[str, Any]
    """best score and step of the training, if any; of a packed model also its info.json, or facts on its import"""

    def __post_init__(self) -> None:
        # cuDNN's GRU uses TF32 by default: errors of 5e-3 in the posteriors of conf/ast_sed.yaml (measured).
        torch.backends.cudnn.allow_tf32 = False


def load_detector(model: str | Path, which: str = "teacher", device: torch.device | str = "cpu") -> LoadedModel:
    """Load the teacher or student of a mean-teacher training for inference, in eval mode.

    Args:
        model: folder of an experiment, whose final.pt is read, or file of a checkpoint.
        which: `teacher` or `student`.
        device: device to load the model to.

    Returns:
        The model.

    Raises:
        UserError: the checkpoint is missing, damaged, of a newer format, or its weights do not fit its config.
    """
    path = Path(model)
    if path.is_dir():
        path = path / "final.pt"
        if not path.exists():
            raise UserError(f"{path}: no trained model there (stages 3 and 4 train; is .done there?)")
    checkpoint = load_checkpoint(path)
    if not checkpoint["front_end"]:  # an empty one would be read as all defaults
        raise UserError(f"{path}: not a checkpoint of this project: front_end is empty (train again)")
    try:
        config = complete_config(checkpoint["config"])
        detector = load_weights(config, len(checkpoint["labels"]), checkpoint[which])
        front_end = FrontEnd.from_params(checkpoint["front_end"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: its weights do not fit its config: {first_lines(error, 2)} (train again)") from None
    nn.Module.requires_grad_(detector, False)
    return LoadedModel(
        detector=detector.to(device).eval(),
        front_end=front_end.to(device),
        labels=list(checkpoint["labels"]),
        config=config,
        info=dict(checkpoint["info"]),
    )
