"""Inference on a dumped set: frame and clip posteriors of every clip, in the order of feats.scp."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sed.errors import UserError
from sed.progress import Progress

if TYPE_CHECKING:
    import torch

    from sed.data.scores import Scores

logger = logging.getLogger("sed.infer")


class Store(Protocol):
    """Interface of a feature store as inference uses it (sed.data.store.FeatureStore).

    valid: (clips,) number of frames of log-mel before the end of each clip; the others are padding.
    """

    clips: list[str]
    valid: np.ndarray

    def read(self, rows: Any) -> np.ndarray:
        """Return raw log-mel (n, frames, mel bins) of the clips at `rows`."""
        ...


class Part:
    """Consecutive clips of a store: the share of one of several jobs.

    Shares begin at batch boundaries, so that each clip is in the same batch whatever the number of jobs: its posteriors
    depend in their last digits on the other clips of the batch.
    """

    def __init__(self, store: Store, *, number: int, parts: int, batch_size: int) -> None:
        """Take share `number`, 1 to `parts`, of `parts`; with fewer batches than shares, some shares have no clips."""
        batches = -(-len(store.clips) // batch_size)
        self._first, end = (batches * n // parts * batch_size for n in (number - 1, number))
        self._store = store
        self.clips = store.clips[self._first : end]
        self.valid = store.valid[self._first : end]

    def read(self, rows: Any) -> np.ndarray:
        """Return raw log-mel (n, frames, mel bins); rows count from the first clip of this share."""
        return self._store.read(np.asarray(rows) + self._first)


def posteriors(
    detector: Any, front_end: Any, logmel: torch.Tensor, valid: torch.Tensor, *, amp: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the detector on log-mel that is not yet normalised, in scoring and prediction alike.

    A GPU may still be computing when this returns.

    Args:
        detector: model in evaluation mode on the device of `logmel`.
        front_end: normalises raw log-mel.
        logmel: (batch, frames, mel bins); `front_end` cuts or pads it to the model's number of input frames.
        valid: (batch,) number of these frames before the end of each clip; the others are padding.
        amp: bfloat16 autocast, for GPUs.

    Returns:
        Frame posteriors (batch, frames, classes) and clip posteriors (batch, classes), float32, on the device.
    """
    import torch

    with torch.inference_mode():
        x = front_end.normalise(logmel, valid, detector.input_frames, detector.input_padding)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=amp):
            output = detector(x)
        return torch.sigmoid(output.logits.float()), output.clip.float()


def infer(
    detector: Any, front_end: Any, store: Store, *, batch_size: int, device: torch.device | str, amp: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Run the detector on every clip of a store.

    Args:
        detector: model in evaluation mode on `device`.
        front_end: normalises raw log-mel.
        store: the features of one clip or more.
        batch_size: clips per batch.
        device: device that the detector is on.
        amp: bfloat16 autocast, for GPUs.

    Returns:
        Frame posteriors (clips, frames, classes) and clip posteriors (clips, classes), both float32.
    """
    import torch

    device = torch.device(device)
    frame: np.ndarray | None = None
    clip: np.ndarray | None = None
    clips = len(store.clips)
    with Progress(clips, "clip", logger=logger) as progress:
        for first in range(0, clips, batch_size):
            rows = np.arange(first, min(first + batch_size, clips))
            logmel = torch.from_numpy(store.read(rows)).to(device)
            valid = torch.from_numpy(np.asarray(store.valid)[rows]).to(device)
            frames, clips_here = (
                values.cpu().numpy() for values in posteriors(detector, front_end, logmel, valid, amp=amp)
            )
            if frame is None or clip is None:
                frame = np.zeros((clips, *frames.shape[1:]), np.float32)
                clip = np.zeros((clips, frames.shape[2]), np.float32)
            frame[rows] = frames
            clip[rows] = clips_here
            progress.advance(len(rows))
    assert frame is not None and clip is not None, "a feature store has at least one clip"
    return frame, clip


def infer_set(
    detector: Any,
    front_end: Any,
    labels: Sequence[str],
    dump: Path,
    *,
    batch_size: int,
    device: torch.device,
    amp: bool = False,
    number: int = 1,
    parts: int = 1,
) -> Scores:
    """Run the detector on a dumped set.

    Args:
        detector: model in evaluation mode on `device`.
        front_end: the model's front end.
        labels: the classes.
        dump: folder of the dumped set.
        batch_size: clips per batch.
        device: device that the detector is on.
        amp: bfloat16 autocast, for GPUs.
        number: which of `parts` shares of the set to compute, from 1.
        parts: number of shares.

    Returns:
        Posteriors of this share; those of frames that start at or after the end of their clip are 0, if durations.tsv
        has the clip.

    Raises:
        UserError: the dump is incomplete or damaged, or its features were made by another front end than the model's.
    """
    from sed.data.scores import Scores
    from sed.data.store import FeatureStore
    from sed.data.tables import read_durations_tsv

    store = FeatureStore(dump)
    other = front_end.difference(store.front_end)
    if other:
        raise UserError(f"{dump}: features of another front end than the model was trained on: {other} (redo stage 2)")
    todo = Part(store, number=number, parts=parts, batch_size=batch_size)
    if todo.clips:
        frame, clip = infer(detector, front_end, todo, batch_size=batch_size, device=device, amp=amp)
    else:
        frame, clip = (np.zeros(shape, np.float32) for shape in ((0, 0, len(labels)), (0, len(labels))))
    durations = read_durations_tsv(dump / "durations.tsv")
    seconds = float(detector.frame_seconds)
    silence_padding(frame, np.array([durations.get(name, np.inf) for name in todo.clips]), seconds)
    return Scores(clips=list(todo.clips), labels=list(labels), frame=frame, clip=clip, frame_seconds=seconds)


def silence_padding(frame: np.ndarray, valid_seconds: np.ndarray, frame_seconds: float) -> None:
    """Set the posteriors of frames that start at or after a clip's end to 0, in place.

    Args:
        frame: (clips, frames, classes).
        valid_seconds: (clips,) duration of each clip in seconds.
        frame_seconds: length of a frame in seconds.
    """
    starts = np.arange(frame.shape[1]) * frame_seconds
    frame[starts[None, :] >= valid_seconds[:, None] - 1e-6] = 0.0  # 1 microsecond for rounding errors
