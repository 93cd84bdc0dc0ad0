"""Anyone's recordings with a table of events or tags, laid out as DESED is: split by recording, cut into clips."""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sed.data.events import by_clip, fit, read_rows
from sed.data.prepare.clips import BRIEFEST, cut_recording, window_events
from sed.data.prepare.clips import spans as windows_of
from sed.data.prepare.data_directory import check_audio
from sed.data.recordings import SUFFIXES, recordings_of, shown
from sed.data.tables import Event, audio_stem, read_tags_tsv, write_events_tsv, write_tags_tsv, write_tsv
from sed.errors import UserError
from sed.files import write_text

log = logging.getLogger("sed.own")
_CLIP = re.compile(r".*_\d+\.\d{3}_\d+\.\d{3}\.flac(\.part)?", re.DOTALL)
"""names of the clips that recordings are cut into, and of half-written ones"""
CHECKED = ".audio_check.tsv"
"""the first file that a run writes"""
Spans = dict[str, list[tuple[float, float]]]
"""{file name: its clips' starts and ends in seconds}"""

# set: its audio and its table in DESED's layout
LAYOUT = {
    "strong": ("train/strong_label_real", "train/audioset_strong.tsv"),
    "weak": ("train/weak", "train/weak.tsv"),
    "unlabelled": ("train/unlabel_in_domain", "train/unlabel_in_domain.tsv"),
    "validation": ("validation/validation", "validation/validation.tsv"),
}


def find_audio(folder: Path) -> dict[str, Path]:
    """Return {recording: its file}, at any depth; UserError for two of one name, or none."""
    found: dict[str, Path] = {}
    clips: dict[str, Path] = {}
    for path in recordings_of(folder, log):
        name = audio_stem(path.name)
        other = clips.setdefault("_".join(name.split()), path)  # clips' names have no blanks
        if other is not path:
            raise UserError(f"{path}: has the name of {other} (rename one: names less their suffix are ids)")
        found[name] = path
    if not found:
        raise UserError(f"{folder}: no recordings (looked for {' '.join(SUFFIXES)})")
    return found


def split(recordings: Mapping[str, Iterable[str]], *, share: float, group: str = "", seed: int = 0) -> set[str]:
    """Choose the recordings that are kept for validation.

    Groups stay together, so no voice or place is on both sides. Every label with two groups is on both sides, the
    rarest first; then about `share` of the groups. The result depends only on names and seed.

    Args:
        recordings: {recording: its labels}.
        share: of the groups, for validation.
        group: regular expression whose match in a name is its group; without one, each recording is a group.
        seed: of the choice.

    Returns:
        The names of the recordings.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    members: dict[str, list[str]] = defaultdict(list)
    for name, present in recordings.items():
        match = re.search(group, name) if group else None
        key = match.group() if match else name
        labels[key] |= set(present)
        members[key].append(name)
    order = sorted(labels, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    having: dict[str, list[str]] = defaultdict(list)
    for key in order:
        for label in labels[key]:
            having[label].append(key)
    chosen: set[str] = set()
    left = {label: len(keys) for label, keys in having.items()}  # groups for training

    def take(key: str) -> bool:
        if key in chosen or any(left[label] < 2 for label in labels[key]):
            return False
        chosen.add(key)
        for label in labels[key]:
            left[label] -= 1
        return True

    for label in sorted(having, key=lambda label: (len(having[label]), label)):
        wanted = math.ceil(share * len(having[label]))
        for key in having[label]:
            if sum(other in chosen for other in having[label]) >= wanted:
                break
            take(key)
    for key in order:
        if len(chosen) >= round(share * len(order)):
            break
        if len(chosen) < len(order) - 1:
            take(key)
    return {name for key in chosen for name in members[key]}


def lay_out(
    audio: Path,
    out: Path,
    *,
    events: Path | None,
    tags: Path | None,
    seconds: float,
    share: float,
    group: str,
    seed: int,
    jobs: int,
    max_bad: float = 20.0,
    max_dropped: float = 10.0,
    known: Sequence[str] = (),
) -> None:
    """Write `out`/audio and, last, `out`/metadata: strong, weak and unlabelled training sets, and validation.

    Recordings that `events` names are split into training and validation, those that only `tags` names are weak, the
    others unlabelled. Recordings longer than `seconds` become several clips. A recording that cannot be read is named
    and left out.

    Args:
        audio: folder of recordings, at any depth.
        out: folder to write.
        events: table of events, or None.
        tags: table of tags, or None.
        seconds: length of a clip.
        share: share of the annotated recordings that is kept for validation.
        group: regular expression; recordings in whose names it finds the same stay together.
        seed: of the split.
        jobs: recordings at once.
        max_bad: per cent of the recordings that may be unreadable.
        max_dropped: per cent of the events that may lie beyond their recordings.
        known: labels that count besides those of the tables: of the model that is fine-tuned.

    Raises:
        UserError: nothing to learn, broken tables, or more that does not fit than is allowed.
    """
    _refuse_others(out)
    recordings, length = _readable(find_audio(audio), out / CHECKED, max_bad=max_bad, jobs=jobs)
    strong = _events(events, recordings, length, seconds, max_dropped) if events else {}
    weak: dict[str, tuple[str, ...]] = _known(tags, read_tags_tsv(tags), recordings) if tags else {}
    weak = {name: tags for name, tags in weak.items() if name not in strong}
    labels = _labels(strong, weak, known, where=events or tags)
    kept = split(
        {name: {e.label for e in found} for name, found in strong.items()}, share=share, group=group, seed=seed
    )
    if strong and not kept:
        log.warning("too few recordings for a validation set: every label needs two (stop at stage 4, or add some)")
    sets = _sets(recordings, strong, weak, kept)
    spans: dict[str, Spans] = {}
    for kind, names in sets.items():
        if names:
            spans[kind] = _cut(names, recordings, out / "audio" / LAYOUT[kind][0], seconds, jobs)
            log.info("%s: %d recordings, %d clips", kind, len(names), sum(map(len, spans[kind].values())))
    _warn_of_long_tagged(spans.get("weak", {}), seconds)
    for kind, (_, table) in LAYOUT.items():
        _write_table(out / "metadata" / table, kind, spans.get(kind, {}), strong, weak)
    write_text(out / "metadata" / "labels.txt", "".join(f"{label}\n" for label in labels))


def _warn_of_long_tagged(spans: Spans, seconds: float) -> None:
    long = sorted(name for name, found in spans.items() if len(found) > 1)
    if long:
        log.warning(
            "%d tagged recordings are longer than %g s, as %s: every clip of theirs gets their tags",
            *(len(long), seconds, long[0]),
        )


def _sets(
    recordings: Iterable[str], strong: Iterable[str], weak: Iterable[str], kept: Collection[str]
) -> dict[str, list[str]]:
    """Return the recordings of each set; `kept` are those for validation."""
    named = {*strong, *weak}
    return {
        "strong": [name for name in strong if name not in kept],
        "weak": list(weak),
        "unlabelled": [name for name in recordings if name not in named],
        "validation": [name for name in strong if name in kept],
    }


def _labels(
    strong: Mapping[str, Sequence[Event]],
    weak: Mapping[str, Sequence[str]],
    known: Sequence[str],
    *,
    where: Path | None,
) -> list[str]:
    """Return all labels in order; UserError when there are none, or one that a weak table cannot hold."""
    labels = set(known)
    labels |= {event.label for found in strong.values() for event in found}
    labels |= {tag for tags in weak.values() for tag in tags}
    if not labels:
        raise UserError(f"{where}: names no label (nothing to learn)")
    for label in sorted(labels):
        if "," in label:
            where = Path("--from") if label in known else where
            raise UserError(f"{where}: label '{label}' holds a comma, which parts tags (name it otherwise)")
    return sorted(labels)


def _write_table(
    path: Path, kind: str, spans: Spans, strong: Mapping[str, Sequence[Event]], weak: Mapping[str, Sequence[str]]
) -> None:
    """Write the metadata of one set's clips: events, tags, or nothing but names; no file for a set without clips."""
    path.unlink(missing_ok=True)
    if not spans:
        return
    if kind in ("strong", "validation"):
        write_events_tsv(path, window_events({name: strong[name] for name in spans}, spans), ".flac", silent=True)
        return
    clips = {clip: name for name in spans for clip in window_events({}, {name: spans[name]})}
    if kind == "weak":
        write_tags_tsv(path, {clip: weak[name] for clip, name in clips.items()}, ".flac")
    else:
        write_tsv(path, ("filename",), ([f"{clip}.flac"] for clip in sorted(clips)))


def _readable(
    found: Mapping[str, Path], kept: Path, *, max_bad: float, jobs: int
) -> tuple[dict[str, Path], dict[str, float]]:
    """Return the recordings that can be read whole, and their lengths in seconds; name the others."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    checked = check_audio(found, kept, jobs=jobs)
    bad = [name for name, (seconds, _) in checked.items() if not seconds]
    for name in bad:
        log.warning("left out: %s: %s", shown(str(found[name])), checked[name][1])
    if 100 * len(bad) > max_bad * len(found):
        raise UserError(
            f"{len(bad)} of {len(found)} recordings cannot be read, such as {shown(str(found[bad[0]]))}: "
            f"{checked[bad[0]][1]} (replace or convert them: ffmpeg -i IN OUT.wav; or allow more by --max-bad)"
        )
    good = {name: path for name, path in found.items() if checked[name][0]}
    return good, {name: checked[name][0] for name in good}


def _events(
    table: Path, recordings: Mapping[str, Path], seconds: Mapping[str, float], window: float, max_dropped: float
) -> dict[str, list[Event]]:
    """Return the events of the recordings that are there; name what does not count."""
    rows = read_rows(table)
    known = _known(table, by_clip(rows), recordings)
    kept, tally = fit(table, rows, {name: seconds[name] for name in known})
    for line in tally.lines():
        log.warning("%s", line)
    tally.check(max_dropped)
    ends = {name: windows_of(seconds[name], window)[-1][1] for name in known}
    lost = [row for row in kept if row.event is not None and row.event.onset >= ends[row.clip] - BRIEFEST]
    if lost:
        log.warning(
            "%s: %d of %d events in the last second of their recordings, which is too short for a clip, the first at "
            "line %d",
            *(table, len(lost), tally.events, lost[0].line),
        )
    return by_clip(kept)


def _refuse_others(out: Path) -> None:
    """Refuse a folder whose clips or tables are not of an earlier run but of another corpus: they would be replaced."""
    if (out / CHECKED).exists():
        return
    for folder, table in LAYOUT.values():
        clips = out / "audio" / folder
        names = [path.name for path in clips.iterdir()] if clips.is_dir() else []
        if other := next((name for name in names if not _CLIP.fullmatch(name)), ""):
            raise UserError(f"{clips}: holds {other}, which is no clip of ours (choose another folder)")
        if (out / "metadata" / table).exists() and not names:
            raise UserError(f"{out / 'metadata' / table}: of another corpus (choose another folder)")


def _known(table: Path, rows: dict[str, Any], recordings: Mapping[str, Path]) -> dict[str, Any]:
    missing = [name for name in rows if name not in recordings]
    if len(missing) == len(rows):
        raise UserError(
            f"{table}: none of its {len(rows)} recordings is there, as '{missing[0]}' (check the folder of recordings)"
        )
    if missing:
        log.warning("%s: %d of %d recordings are not there, as '%s'", table, len(missing), len(rows), missing[0])
    return {name: value for name, value in rows.items() if name in recordings}


def _cut(names: Sequence[str], recordings: Mapping[str, Path], folder: Path, seconds: float, jobs: int) -> Spans:
    """Cut recordings into clips in `folder`, which holds no other clips afterwards; {file name: spans}."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda name: cut_recording(recordings[name], folder, name=name, window=seconds), names)
    cut = dict(zip(names, found, strict=True))
    wanted = {f"{clip}.flac" for clip in window_events({}, cut)}
    for path in folder.iterdir():
        if path.name not in wanted and _CLIP.fullmatch(path.name):
            path.unlink()
    return cut
