"""Scores of a set: posteriors of every class in every frame, before any decision.

`Scores` is a model's output on clips of one length, stored as `scores.h5`. `FrameScores` also holds the scores of other
systems: the frames of all clips one after the other, each with its own onset and offset; post-processing, decoding and
metrics work on it.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sed.data.hdf5 import created, plain, read_apart, text_of
from sed.data.resampling import TIME_DECIMALS, finest_grid, resampled
from sed.errors import UserError
from sed.files import replacing
from sed.input_files import naming
from sed.seal import Damaged, is_sealed, seal_file

log = logging.getLogger("sed")
FORMAT = 1  # of scores.h5
MAPPED = 1 << 28
"""bytes (256 MiB); arrays of scores of this size or more are memory-mapped instead of read"""
BLOCK = 1 << 24
"""number of scores that are processed at a time: 64 MiB in float32"""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Posteriors of one model, or of an ensemble, on one set.

    clips: clip ids; labels: the classes; frame: frame posteriors (clips, frames, classes) float32 in [0, 1]; clip: clip
    posteriors (clips, classes) float32 in [0, 1]; frame_seconds: length of a frame in seconds; attrs: provenance
    (model, command, git commit ...), values that JSON can hold.
    """

    clips: list[str]
    labels: list[str]
    frame: np.ndarray
    clip: np.ndarray
    frame_seconds: float
    attrs: dict[str, Any] = field(default_factory=dict)

    def flat(self) -> FrameScores:
        """Return the scores as `FrameScores`, without copying the posteriors."""
        clips, frames, classes = self.frame.shape
        borders = np.round(np.arange(frames + 1) * self.frame_seconds, TIME_DECIMALS)
        return FrameScores(
            clips=self.clips,
            labels=self.labels,
            start=np.arange(clips + 1, dtype=np.int64) * frames,
            onset=np.tile(borders[:-1], clips),
            offset=np.tile(borders[1:], clips),
            values=self.frame.reshape(clips * frames, classes),
            clip_values=self.clip,
        )


@dataclass(frozen=True, kw_only=True)
class FrameScores:
    """Scores of clips of any length and frame rate.

    A row is one frame of one clip.

    clips: clip ids; labels: the classes; start: (clips + 1,) row of each clip's first frame, and last the number of
    rows; onset, offset: (rows,) start and end of each frame in seconds from its clip's start, where a frame begins at
    the end of the one before; values: (rows, classes) scores; clip_values: (clips, classes) clip posteriors, None if
    the system gave none; usual_frame: for a block of a larger set, the whole set's `frame_seconds()`, else None.
    """

    clips: list[str]
    labels: list[str]
    start: np.ndarray
    onset: np.ndarray
    offset: np.ndarray
    values: np.ndarray
    clip_values: np.ndarray | None = None
    usual_frame: float | None = None

    def frame_seconds(self) -> float:
        """Return the usual length of a frame (the median) in seconds; without frames 0.01, since it is divided by."""
        if self.usual_frame is not None:
            return self.usual_frame
        return float(np.median(self.offset - self.onset).round(TIME_DECIMALS)) if len(self.onset) else 0.01

    def with_values(self, values: np.ndarray) -> FrameScores:
        """Return the same frames with other scores."""
        return FrameScores(**{**self.__dict__, "values": values})

    def select(self, clips: Sequence[str]) -> FrameScores:
        """Return the scores of the given clips, in that order."""
        row = {clip: index for index, clip in enumerate(self.clips)}
        chosen = np.array([row[clip] for clip in clips], dtype=np.int64)
        lengths = np.diff(self.start)[chosen]
        start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.repeat(self.start[:-1][chosen] - start[:-1], lengths) + np.arange(start[-1])
        return FrameScores(
            clips=list(clips),
            labels=self.labels,
            start=start,
            onset=self.onset[rows],
            offset=self.offset[rows],
            values=self.values[rows],
            clip_values=None if self.clip_values is None else self.clip_values[chosen],
        )

    def blocks(self, most: int) -> Iterator[FrameScores]:
        """Yield blocks of whole clips with at most `most` scores each (more if one clip has more), without copying."""
        usual, first = self.frame_seconds(), 0
        rows = max(1, most // len(self.labels))
        while first < len(self.clips):
            last = max(first + 1, int(np.searchsorted(self.start, self.start[first] + rows, side="right")) - 1)
            low, high = int(self.start[first]), int(self.start[last])
            yield FrameScores(
                clips=self.clips[first:last],
                labels=self.labels,
                start=self.start[first : last + 1] - low,
                onset=self.onset[low:high],
                offset=self.offset[low:high],
                values=self.values[low:high],
                clip_values=None if self.clip_values is None else self.clip_values[first:last],
                usual_frame=usual,
            )
            first = last

    @staticmethod
    def joined(parts: list[FrameScores]) -> FrameScores:
        """Join blocks of clips.

        The list `parts` is emptied block by block, so that memory does not hold all scores twice.
        """
        labels, clips = parts[0].labels, [clip for part in parts for clip in part.clips]
        ends = np.cumsum([0, *(len(part.onset) for part in parts)])
        start = np.concatenate([[0], *(part.start[1:] + end for part, end in zip(parts, ends[:-1], strict=True))])
        onset, offset = (np.concatenate([getattr(part, name) for part in parts]) for name in ("onset", "offset"))
        clip_values = [part.clip_values for part in parts if part.clip_values is not None]
        values = np.empty((len(onset), len(labels)), parts[0].values.dtype)
        parts.reverse()
        for low, high in itertools.pairwise(ends):
            values[low:high] = parts.pop().values
        return FrameScores(
            clips=clips,
            labels=labels,
            start=start.astype(np.int64),
            onset=onset,
            offset=offset,
            values=values,
            clip_values=np.concatenate(clip_values) if clip_values else None,
        )

    def items(self) -> Iterator[tuple[str, slice]]:
        """Yield (clip id, slice of its rows) of every clip."""
        for index, clip in enumerate(self.clips):
            yield clip, slice(int(self.start[index]), int(self.start[index + 1]))


def write_scores(path: str | Path, scores: Scores) -> None:
    """Write `scores.h5` atomically. Raises ValueError if the shapes disagree."""
    clips, _, classes = scores.frame.shape
    if scores.clip.shape != (clips, classes) or len(scores.clips) != clips or len(scores.labels) != classes:
        raise ValueError("shapes of clips, labels, frame and clip scores disagree")
    with replacing(path) as part:
        with naming(path), created(part) as file:
            file.create_dataset("frame", data=np.asarray(scores.frame, "<f4"))
            file.create_dataset("clip", data=np.asarray(scores.clip, "<f4"))
            file.create_dataset("clip_id", data=np.array(scores.clips, dtype=object), dtype=h5py.string_dtype())
            file.attrs["format"] = FORMAT
            file.attrs["frame_seconds"] = float(scores.frame_seconds)
            file.attrs["labels"] = _json(scores.labels)
            file.attrs["attrs"] = _json(scores.attrs)
            file.attrs["sealed"] = True  # so that a reader notices a damaged seal; earlier versions wrote none
        seal_file(part)


def _json(value: Any) -> str:
    """Return a value as JSON; bytes of file names that are not UTF-8 are escaped, as `sed.files` writes them."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def read_scores(path: str | Path) -> Scores:
    """Read `scores.h5`; raise UserError if it is missing, damaged, or has values that are NaN or outside [0, 1]."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder (give the scores.h5 in it)")
    if not path.is_file():
        raise UserError(f"{path}: no such file (run inference first: python3 -m sed.bin.infer --help)")
    try:
        sealed = is_sealed(path)
        head = read_apart(path, _head)
        if head["format"] is None:
            raise _NotOurs
        if not sealed and head["sealed"]:
            raise Damaged("its checksum is damaged")
        scores = Scores(
            clips=head["clips"],
            labels=head["labels"],
            frame=_values(path, *head["frame"]),
            clip=_values(path, *head["clip"]),
            frame_seconds=head["frame_seconds"],
            attrs=head["attrs"],
        )
    except _NotOurs:
        raise UserError(f"{path}: not a scores.h5 of this project (write it with python3 -m sed.bin.infer)") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged HDF5 ({error}): write it again (python3 -m sed.bin.infer)") from None
    if not sealed:
        log.info("%s: unchecked, it was written before scores had checksums", path)
    if len(set(scores.clips)) != len(scores.clips):
        raise UserError(f"{path}: a clip stands in it twice (write it again)")
    flat = scores.flat()
    check_range(flat, {clip: f"{path}: clip {clip}" for clip in flat.clips})
    if not _is_posterior(scores.clip).all():
        raise UserError(f"{path}: clip posteriors that are NaN or outside [0, 1] (look at the model)")
    return scores


class _NotOurs(ValueError):
    """The HDF5 file is not a scores.h5."""


def _head(file: h5py.File) -> dict[str, Any]:
    """Return all of a scores.h5 except the posteriors, and for these [position in the file in bytes, shape].

    `read_apart` runs it in a child process, so what it returns is JSON. For another format, it is {"format": None}.

    Raises:
        ValueError: the content is not that of a scores.h5.
    """
    if file.attrs.get("format") != FORMAT:
        return {"format": None}
    frame, clip = plain(file, "frame", "<f4", 3), plain(file, "clip", "<f4", 2)
    head = {
        "format": FORMAT,
        "clips": text_of(plain(file, "clip_id", "text", 1)),
        "labels": json.loads(file.attrs["labels"]),
        "attrs": json.loads(file.attrs["attrs"]),
        "frame_seconds": float(file.attrs["frame_seconds"]),
        "frame": [frame.id.get_offset(), list(frame.shape)],
        "clip": [clip.id.get_offset(), list(clip.shape)],
        "sealed": "sealed" in file.attrs,
    }
    clips, frames, classes = frame.shape
    if clips and not frames:
        raise ValueError("clips without frames")
    labels = head["labels"]
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise ValueError("labels that are not a list of names")
    if not labels or len(set(labels)) != len(labels):
        raise ValueError("no labels, or one twice")
    if clip.shape != (clips, classes) or len(head["clips"]) != clips or len(labels) != classes:
        raise ValueError("the shapes of clips, labels, frame and clip scores disagree")
    if not isinstance(head["attrs"], dict):
        raise ValueError("attrs that are not names and values")
    if not (math.isfinite(head["frame_seconds"]) and head["frame_seconds"] > 0):
        raise ValueError(f"frames of {head['frame_seconds']} s")
    return head


def _values(path: Path, offset: int | None, shape: Sequence[int]) -> np.ndarray:
    """Return the float32 values of a contiguous dataset, read without the HDF5 library.

    Large ones are memory-mapped: the system reads them from the file on access, and may free their memory at any time.

    Args:
        path: the HDF5 file.
        offset: position of the values in the file in bytes; None if the dataset has no space in it.
        shape: shape of the dataset.
    """
    count = math.prod(shape)
    if not count:
        return np.zeros(shape, np.float32)
    if offset is None:
        raise ValueError("a dataset without values")
    if 4 * count >= MAPPED and path.stat().st_size >= offset + 4 * count:
        return np.memmap(path, "<f4", "r", offset, tuple(shape))
    values = np.fromfile(path, "<f4", count, offset=offset)
    if len(values) != count:
        raise ValueError("a dataset that ends beyond the file")
    return values.reshape(shape)


def merge_scores(parts: Mapping[str, Scores], *, clips: Sequence[str], where: str) -> Scores:
    """Merge the scores of parts of a set that several jobs inferred.

    Args:
        parts: {name of the file: its scores}.
        clips: the clips that the parts must cover together, in this order.
        where: the set, for messages.

    Returns:
        The scores of all clips.

    Raises:
        UserError: a part has another model, other labels or other frames, or clips are missing or too many; names the
            file.
    """
    full = {path: part for path, part in parts.items() if part.clips}
    if not full:
        raise UserError(f"{next(iter(parts))}: no clips in any part (infer again)")
    (first_path, first), *rest = full.items()
    same = ("model", "which", "band", "set", "amp")  # attributes on which the posteriors depend (`sed.bin.infer`)
    for path, part in rest:
        if (part.labels, part.frame_seconds, part.frame.shape[1]) != (
            first.labels,
            first.frame_seconds,
            first.frame.shape[1],
        ):
            raise UserError(f"{path}: other labels or frames than {first_path} (infer all parts again)")
        for key in same:
            if part.attrs.get(key) != first.attrs.get(key):
                raise UserError(
                    f"{path}: {key} is {part.attrs.get(key)}, and {first.attrs.get(key)} in {first_path} "
                    "(infer all parts again)"
                )
    found = [clip for part in full.values() for clip in part.clips]
    if found != list(clips):
        if sorted(found) == sorted(clips):
            raise UserError(f"{first_path} and the other parts: not in the order of {where} (give them in its order)")
        raise UserError(
            f"{first_path} and the other parts: {len(found)} clips that are not the {len(clips)} of {where} "
            "(infer again)"
        )
    rate = sum(part.attrs.get("clips_per_second", 0.0) for part in full.values())  # of jobs that run at the same time
    return Scores(
        clips=found,
        labels=first.labels,
        frame=np.concatenate([part.frame for part in full.values()]),
        clip=np.concatenate([part.clip for part in full.values()]),
        frame_seconds=first.frame_seconds,
        attrs={**first.attrs, "clips_per_second": rate, "jobs": len(parts)},
    )


def average_scores(members: Mapping[str, Scores]) -> Scores:
    """Return the mean posteriors of an ensemble.

    Systems of different frame rates are averaged at the highest of them (the finest grid); see `resampled`.

    Args:
        members: {name of the file: its scores}, all of the same set.

    Returns:
        The scores; their attribute `ensemble` names the models.

    Raises:
        UserError: a file's clips or labels are not those of the first, or its clips have another length; names the
            file.
    """
    (first_path, first), *rest = members.items()
    seconds, frames = finest_grid([(member.frame_seconds, member.frame.shape[1]) for member in members.values()])
    for path, other in rest:
        for what in ("labels", "clips"):
            if getattr(other, what) != getattr(first, what):
                raise UserError(f"{path}: other {what} than {first_path} (an ensemble is of one set)")
    longest = max(member.frame_seconds for member in members.values())
    finest = {member.frame.shape[1] for member in members.values() if member.frame_seconds == seconds}
    for path, member in members.items():
        count, length = member.frame.shape[1], member.frame_seconds
        # Systems round a clip to whole frames of their own, so a member with longer frames may differ from the grid by
        # less than two of them. Since the grid is as long as the longest member, those with the shortest frames may
        # differ from it by less than two of the longest frames, but not from one another (`finest`).
        slack = 2 * length if length > seconds else 2 * longest if len(finest) == 1 else seconds / 2
        if abs(frames * seconds - count * length) >= slack:
            raise UserError(
                f"{path}: {count} frames of {length:g} s, but clips are of {frames * seconds:g} s (infer again)"
            )
    frame = np.stack([resampled(member.frame, member.frame_seconds, seconds, frames) for member in members.values()])
    clip = np.stack([member.clip for member in members.values()]).mean(0, dtype=np.float64)
    return Scores(
        clips=first.clips,
        labels=first.labels,
        frame=frame.mean(0, dtype=np.float64).astype(np.float32),
        clip=clip.astype(np.float32),
        frame_seconds=seconds,
        attrs={"ensemble": [str(member.attrs.get("model", path)) for path, member in members.items()]},
    )


def check_range(scores: FrameScores, where: Mapping[str, str]) -> None:
    """Raise UserError for scores that are NaN or outside [0, 1].

    `where` is {clip id: what names it in the message}, such as its file.
    """
    for block in scores.blocks(BLOCK):
        good = _is_posterior(block.values)
        release(block.values)
        if good.all():
            continue
        row, column = np.argwhere(~good)[0]
        clip = int(np.searchsorted(block.start, row, side="right")) - 1
        value = block.values[row, column]
        raise UserError(
            f"{where[block.clips[clip]]}: frame {row - block.start[clip] + 1}: score {value} of "
            f"{block.labels[column]} is not in [0, 1] (scores are posteriors; look at the system)"
        )


def _is_posterior(values: np.ndarray) -> np.ndarray:
    return (values >= 0) & (values <= 1)


def release(values: np.ndarray) -> None:
    """Free the memory of values that are mapped from a file; on the next access they are read again.

    Does nothing for other arrays, and on systems without `madvise`.
    """
    base: object = values
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def export_tsv(folder: str | Path, scores: FrameScores) -> None:
    """Write score TSVs as sed_scores_eval reads them: `<clip>.tsv`, with the columns onset, offset and the labels."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    header = "\t".join(["onset", "offset", *scores.labels])
    for clip, rows in scores.items():
        lines = [header]
        for onset, offset, values in zip(scores.onset[rows], scores.offset[rows], scores.values[rows], strict=True):
            lines.append("\t".join(map(repr, [float(onset), float(offset), *map(float, values)])))
        with replacing(folder / f"{clip}.tsv") as part:
            part.write_text("\n".join(lines) + "\n", encoding="utf-8")
