"""Data directories: `wav.scp`, `events.tsv`, `soft.tsv`, `tags.tsv`, `durations.tsv` of one set, and their validation.

`DataDir.load` validates them, for `sed.bin.check_data_dir` as well. Every reader names the file and line that it
refuses. As in Kaldi, ids are in C order: sorted by their bytes. A dump directory has the same tables, and features.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sed.data.soft_events import SoftEvent, soft_rows
from sed.data.tables import DATA_DIR, METADATA, Event, Rules, duration_rows, event_rows, read_lines, tag_rows
from sed.errors import UserError
from sed.files import open_replacing

SLACK = 2e-3
"""seconds by which an offset may exceed its clip: offsets are rounded to milliseconds, durations to that or finer"""


def read_labels(path: str | Path, rules: Rules = METADATA) -> list[str]:
    """Read labels.txt: one label per line; their order is that of the columns of all targets and scores.

    `rules`, how strictly lines are read: `METADATA` for a file from any tool, `DATA_DIR` for one that stage 1 wrote.
    """
    labels: list[str] = []
    for line, text in read_lines(path, rules):
        label = text.strip()
        if label in labels:
            raise UserError(f"{path}:{line}: label '{label}' comes twice (keep one)")
        if "," in label or "\t" in text:
            raise UserError(f"{path}:{line}: label '{label}' holds a comma or a tab (one label per line)")
        labels.append(label)
    if not labels:
        raise UserError(f"{path}: no labels (write one per line)")
    return labels


def read_set_labels(folder: Path) -> list[str]:
    """Return the labels of one set: from labels.txt in its folder (sets for sed.bin.pretrain), else in that above."""
    inside = folder / "labels.txt"
    return read_labels(inside if inside.exists() else folder.parent / "labels.txt")


def scp_rows(path: str | Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, clip id, value) of `id value` lines, which must be in C order without duplicates.

    The steps read these lists by cut and awk, for which a blank line and a byte order mark belong to the ids.
    """
    seen: set[str] = set()
    last = b""
    for line, text in read_lines(path, DATA_DIR, all_lines=True):
        if not text.strip() or text[0].isspace():
            raise UserError(f"{path}:{line}: a blank line, or a blank before the id (remove it)")
        if text[0] == "\ufeff":
            raise UserError(f"{path}:{line}: a byte order mark before the id (sed -i '1s/^\\xEF\\xBB\\xBF//' {path})")
        clip, _, value = text.strip().partition(" ")
        if not value.strip():
            raise UserError(f"{path}:{line}: no value after '{clip}' (each line: id, a space, the rest)")
        try:
            key = clip.encode()
        except UnicodeEncodeError:  # a path may hold any bytes, but ids are written to tables in UTF-8
            raise UserError(f"{path}:{line}: clip {clip!a} is not UTF-8 (rename it)") from None
        if clip in seen:
            raise UserError(f"{path}:{line}: clip '{clip}' comes twice (ids are unique)")
        if key < last:
            raise UserError(f"{path}:{line}: '{clip}' is out of order (sort with LC_ALL=C sort)")
        yield line, clip, value.strip()
        seen.add(clip)
        last = key


def read_scp(path: str | Path) -> dict[str, str]:
    """Read `id value` lines (wav.scp, feats.scp) as {clip id: value}."""
    table = {clip: value for _, clip, value in scp_rows(path)}
    if not table:
        raise UserError(f"{path}: no clips (is its audio there?)")
    return table


def write_scp(path: str | Path, table: Mapping[str, str]) -> None:
    """Write `id value` lines in C order; bytes of a path that are not UTF-8 are written as they are."""
    for value in table.values():
        if "\n" in value or "\r" in value:
            raise UserError(f"{value!r}: a line break in a path (rename it: lists of files have one per line)")
    with open_replacing(path, "wb") as file:
        lines = "".join(f"{clip} {table[clip]}\n" for clip in sorted(table, key=str.encode))
        file.write(lines.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class DataDir:
    """One set: its clips, their paths and durations (s), and their annotations."""

    path: Path
    wavs: dict[str, str]
    """clip id -> path of its audio, ids in C order"""
    durations: dict[str, float]
    """clip id -> seconds"""
    events: dict[str, list[Event]] | None = None
    """clip id -> its events, sorted, an empty list for a clip without events; None without events.tsv"""
    tags: dict[str, tuple[str, ...]] | None = None
    """clip id -> its tags; None without tags.tsv"""
    soft: dict[str, list[SoftEvent]] | None = None
    """clip id -> its soft labels in the file's order, in which spans of one label ascend, an empty list for a clip
    without any; None without soft.tsv"""

    @property
    def clips(self) -> list[str]:
        """The clip ids in C order."""
        return list(self.wavs)

    @classmethod
    def load(cls, path: str | Path, labels: Sequence[str] | None = None) -> DataDir:
        """Read and check a data or dump directory; its annotations may use these labels only (None: any)."""
        path = Path(path)
        if not path.is_dir():
            raise UserError(f"{path}: no such data directory (run stage 1, or check the path)")
        wavs = read_scp(path / "wav.scp")
        durations: dict[str, float] = {}
        for line, clip, seconds in duration_rows(path / "durations.tsv", DATA_DIR):
            _known_clip(path / "durations.tsv", line, clip, wavs)
            durations[clip] = seconds
        _every_clip(path / "durations.tsv", wavs, durations)
        known = set(labels) if labels is not None else None
        events = tags = soft = None
        if _is_there(path / "events.tsv"):
            events = _load_events(path / "events.tsv", wavs, durations, known)
        if _is_there(path / "tags.tsv"):
            tags = _load_tags(path / "tags.tsv", wavs, known)
        if _is_there(path / "soft.tsv"):
            soft = _load_soft(path / "soft.tsv", wavs, durations, known)
        return cls(path=path, wavs=wavs, durations=durations, events=events, tags=tags, soft=soft)

    def check_audio(self) -> None:
        """Raise UserError for the first clip of wav.scp whose audio file is missing or not readable."""
        scp = self.path / "wav.scp"
        for line, clip, wav in scp_rows(scp):
            if not os.path.isfile(wav):  # noqa: PTH113 (50,000 Paths take a second)
                raise UserError(f"{scp}:{line}: {clip}: no such audio file: {wav} (put it there, or run stage 1 again)")
            if not os.access(wav, os.R_OK):
                raise UserError(f"{scp}:{line}: {clip}: permission denied: {wav} (check its owner and mode)")


def _is_there(table: Path) -> bool:
    """Return whether a set has this table; a link to a missing file is refused, not taken for a set without labels."""
    if table.is_symlink() and not table.exists():
        raise UserError(f"{table}: a link to a file that does not exist: {table.readlink()} (correct or remove it)")
    return table.exists()


def _load_events(
    file: Path, wavs: dict[str, str], durations: dict[str, float], known: set[str] | None
) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {clip: [] for clip in wavs}
    for line, clip, event in event_rows(file, DATA_DIR):
        _known_clip(file, line, clip, wavs)
        if event is None:
            continue
        _known_label(file, line, event.label, known)
        _within_clip(file, line, event, durations[clip])
        events[clip].append(event)
    return {clip: sorted(found) for clip, found in events.items()}


def _load_soft(
    file: Path, wavs: dict[str, str], durations: dict[str, float], known: set[str] | None
) -> dict[str, list[SoftEvent]]:
    soft: dict[str, list[SoftEvent]] = {clip: [] for clip in wavs}
    ends: dict[tuple[str, str], float] = {}
    for line, clip, event in soft_rows(file, DATA_DIR):
        _known_clip(file, line, clip, wavs)
        _known_label(file, line, event.label, known)
        _within_clip(file, line, event, durations[clip])
        if event.onset < ends.get((clip, event.label), 0.0):
            raise UserError(f"{file}:{line}: it overlaps the span of '{event.label}' before it (run stage 0 again)")
        ends[clip, event.label] = event.offset
        soft[clip].append(event)
    return soft


def _within_clip(file: Path, line: int, event: Event | SoftEvent, seconds: float) -> None:
    if event.offset > seconds + SLACK:
        raise UserError(f"{file}:{line}: offset {event.offset:g} is beyond the clip's {seconds:g} s (cut it)")


def _load_tags(file: Path, wavs: dict[str, str], known: set[str] | None) -> dict[str, tuple[str, ...]]:
    tags: dict[str, tuple[str, ...]] = {}
    for line, clip, found in tag_rows(file, DATA_DIR):
        _known_clip(file, line, clip, wavs)
        if clip in tags:
            raise UserError(f"{file}:{line}: clip '{clip}' comes twice (one row per clip)")
        for label in found:
            _known_label(file, line, label, known)
        tags[clip] = tuple(dict.fromkeys(found))
    _every_clip(file, wavs, tags)
    return tags


def _every_clip(file: Path, wavs: Mapping[str, str], rows: Mapping[str, object]) -> None:
    for clip in wavs:
        if clip not in rows:
            raise UserError(f"{file}: no row of clip '{clip}' of wav.scp (add its row)")


def _known_clip(file: Path, line: int, clip: str, wavs: Mapping[str, str]) -> None:
    if clip not in wavs:
        raise UserError(f"{file}:{line}: clip '{clip}' is not in wav.scp (add it there, or drop the row)")


def _known_label(file: Path, line: int, label: str, known: set[str] | None) -> None:
    if known is not None and label not in known:
        raise UserError(f"{file}:{line}: unknown label '{label}' (labels.txt has {', '.join(sorted(known))})")
