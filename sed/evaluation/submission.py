"""Formats that can be scored: our scores.h5, a folder of score TSVs, a table of detections, or a folder of such tables.

A table of detections may be of any format that `sed.data.annotations` reads; a folder of other tools' label files, one
per recording, is one table.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sed.data.annotations.registry import SUFFIXES, recognised
from sed.data.scores import FrameScores, check_range, read_scores
from sed.data.tables import audio_stem, read_lines
from sed.errors import UserError
from sed.evaluation.metrics.events import RawEvents, read_events

TABLES = ("*.tsv", "*.csv", "*.txt")


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A system's output as it was read.

    Attributes:
        kind: `scores.h5`, `score folder`, `detections` or `operating points` (one table of detections for each).
        path: file or folder that was read.
        clips: clips that the output names.
        labels: label set of scores; None for tables, which need not name every label.
        scores: frame scores, of the first two kinds.
        tables: (path, events) of the other kinds: one for detections, or one per operating point.
        attrs: provenance that scores.h5 stores.
    """

    kind: str
    path: Path
    clips: list[str]
    labels: list[str] | None = None
    scores: FrameScores | None = None
    tables: list[tuple[Path, RawEvents]] = field(default_factory=list)
    attrs: dict[str, Any] = field(default_factory=dict)


def read_submission(path: str | Path, exclude: Iterable[str | Path] = ()) -> Submission:
    """Read a system's output and detect its kind by name and content; UserError when it is none of the four.

    exclude: files that may lie in the same folder and are not system output (ground truth, durations).
    """
    path = Path(path)
    others = {Path(file).resolve() for file in exclude}
    if path.is_dir():
        files = sorted({file for pattern in TABLES for file in path.glob(pattern) if not file.name.startswith(".")})
        files = [file for file in files if file.resolve() not in others]
        below = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.resolve() not in others)
        if not files and any(below):  # label files of other tools
            return _detections(path, [path], "detections", others)
        if not files:
            raise UserError(f"{path}: no .tsv in this folder (score TSVs or detection TSVs are expected)")
        first = next((file for file in files if file.stat().st_size), files[0])  # a label file without events is empty
        header = _header(first)
        if "event_label" in header:
            if (path / "scores.h5").is_file():  # one table of events would count as the one threshold of a PSD-ROC
                raise UserError(f"{path}: has scores.h5 beside tables of events (give that file, or one of the tables)")
            return _detections(path, files, "operating points")
        if header[:2] != ["onset", "offset"] and recognised(first) is not None:
            return _detections(path, [path], "detections", others)
        return read_score_folder(path, files)
    if not path.exists():
        raise UserError(f"{path}: no such file or folder (give scores.h5, a folder of score TSVs, or detection TSVs)")
    if path.suffix in (".h5", ".hdf5"):
        scores = read_scores(path)
        attrs = scores.attrs
        return Submission(
            kind="scores.h5", path=path, clips=scores.clips, labels=scores.labels, scores=scores.flat(), attrs=attrs
        )
    return _detections(path, [path], "detections")


def _header(path: Path) -> list[str]:
    """Return the fields of a file's first line, without blanks around them; a single empty one for an empty file."""
    return [field.strip() for field in next(read_lines(path), (1, ""))[1].split("\t")]


def _detections(path: Path, files: Iterable[Path], kind: str, others: Collection[Path] = ()) -> Submission:
    """Read tables of detections.

    Args:
        path: the submission.
        files: its tables; also a folder of other tools' label files, as one table.
        kind: kind of the submission.
        others: files in such a folder that are no detections.

    Returns:
        The submission.
    """
    tables, clips = [], {}
    for file in files:
        events, named = read_events(file, others)
        tables.append((file, events))
        clips.update(dict.fromkeys(named))
    return Submission(kind=kind, path=path, clips=list(clips), tables=tables)


def read_score_folder(folder: Path, files: list[Path]) -> Submission:
    """Read a folder of sed_scores_eval's score TSVs: `<clip>.tsv` with onset, offset and a column for each label.

    `<clip>.wav.tsv` will do, too.

    Raises:
        UserError: a file is broken, its labels are not those of the first, or two files are of one clip.
    """
    labels: list[str] | None = None
    clips: list[str] = []
    parts: list[np.ndarray] = []
    for file in files:
        header = _header(file)
        if header[:2] != ["onset", "offset"] or len(header) < 3:
            raise UserError(
                f"{file}:1: a score TSV starts with the columns onset, offset and then the labels (write it again, or "
                "move it elsewhere)"
            )
        if labels is None:
            labels = header[2:]
            if not all(labels):
                raise UserError(f"{file}:1: a column without a label (name it, or remove it)")
            if len(set(labels)) != len(labels):
                raise UserError(f"{file}:1: two columns of the same label (keep one)")
        elif header[2:] != labels:
            raise UserError(
                f"{file}:1: other labels than {files[0].name} has, or in another order (give all files the same header)"
            )
        clips.append(audio_stem(file.name.rsplit(".", 1)[0]))
        parts.append(_score_rows(file, len(header)))
    assert labels is not None
    rows = np.concatenate(parts)
    start = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    scores = FrameScores(
        clips=clips, labels=labels, start=start, onset=rows[:, 0], offset=rows[:, 1], values=rows[:, 2:].copy()
    )
    if len(set(clips)) != len(clips):
        raise UserError(f"{folder}: two files of one clip (remove one)")
    check_range(scores, {clip: str(file) for clip, file in zip(clips, files, strict=True)})
    return Submission(kind="score folder", path=folder, clips=clips, labels=labels, scores=scores)


def _score_rows(file: Path, columns: int) -> np.ndarray:
    """Read the rows (frames, columns) of a score TSV; raise UserError if they are broken or leave gaps in time."""
    try:
        with warnings.catch_warnings():  # numpy warns of a file without rows; such a file is refused below
            warnings.simplefilter("ignore")
            rows = np.loadtxt(file, delimiter="\t", skiprows=1, ndmin=2, comments=None, encoding="utf-8-sig")
    except ValueError:
        rows = _slow_rows(file, columns)
    if not len(rows):
        raise UserError(f"{file}: no frames (a row for each frame is expected)")
    if rows.shape[1] != columns:
        raise UserError(
            f"{file}:{_line_of(file, 0)}: {rows.shape[1]} fields where the header has {columns} "
            "(a column for each label)"
        )
    if not np.isfinite(rows[:, :2]).all() or rows[0, 0] < 0:
        row = int(np.argmin(np.isfinite(rows[:, :2]).all(1) & (rows[:, 0] >= 0)))
        raise UserError(
            f"{file}:{_line_of(file, row)}: a frame that begins before 0, or with a time that is not finite (times "
            "are seconds from the start)"
        )
    bad = ~(rows[:, 0] < rows[:, 1])
    bad[1:] |= rows[1:, 0] != rows[:-1, 1]
    if bad.any():
        raise UserError(
            f"{file}:{_line_of(file, int(np.argmax(bad)))}: rows out of order, or with a gap: a frame has to begin "
            "where the one before it ended, and before its own end (sort them; write one number for both times)"
        )
    return rows


def _line_of(file: Path, row: int) -> int:
    """Return the line number of a row, counted from 0 after the header; blank lines are no rows."""
    return next(itertools.islice(read_lines(file), row + 1, None))[0]


def _slow_rows(file: Path, columns: int) -> np.ndarray:
    """Parse line by line, which takes longer, to name the broken line in the error."""
    rows = []
    for line, text in itertools.islice(read_lines(file), 1, None):
        fields = text.split("\t")
        if len(fields) != columns:
            raise UserError(
                f"{file}:{line}: {len(fields)} fields where the header has {columns} (a column for each label)"
            )
        try:
            if any("_" in value for value in fields):  # float() would read 1_0 as 10
                raise ValueError
            rows.append([float(value) for value in fields])
        except ValueError:
            raise UserError(f"{file}:{line}: a field that is not a number (posteriors are, 0 to 1)") from None
    return np.array(rows, float).reshape(len(rows), columns)
