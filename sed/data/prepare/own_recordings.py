"""A user's recordings with a table of events or tags, laid out like DESED.

The recordings, not their clips, are split into training and validation; then they are cut into clips.
"""

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

from sed.data.events import by_clip, fit, place, read_rows
from sed.data.labels import merge_events
from sed.data.prepare.clips import BRIEFEST, cut_recording, window_events
from sed.data.prepare.clips import SHORTEST as SHORTEST_REST
from sed.data.prepare.clips import spans as windows_of
from sed.data.prepare.data_directory import SHORTEST, check_audio
from sed.data.recordings import SUFFIXES, recordings_of, shown
from sed.data.tables import Event, audio_stem, read_tags_tsv, write_events_tsv, write_tags_tsv, write_tsv
from sed.errors import UserError
from sed.files import write_text

log = logging.getLogger("sed.own")
_CLIP = re.compile(r".*_\d+\.\d{3}_\d+\.\d{3}\.flac(\.part)?", re.DOTALL)
"""file names of clips that `cut_recording` writes, and of unfinished ones"""
CHECKED = ".audio_check.tsv"
"""file of the audio check's results; a run writes it first, so it marks a folder that `lay_out` may replace"""
Spans = dict[str, list[tuple[float, float]]]
"""{recording: its clips' starts and ends in seconds}"""

# set -> (folder of its audio below `audio`, its table below `metadata`) in DESED's layout
LAYOUT = {
    "strong": ("train/strong_label_real", "train/audioset_strong.tsv"),
    "weak": ("train/weak", "train/weak.tsv"),
    "unlabelled": ("train/unlabel_in_domain", "train/unlabel_in_domain.tsv"),
    "validation": ("validation/validation", "validation/validation.tsv"),
}


def find_audio(folder: Path) -> dict[str, Path]:
    """Return {name of a recording: its file}, at any depth; raise UserError for none, or two of one name."""
    found: dict[str, Path] = {}
    clips: dict[str, Path] = {}
    for path in recordings_of(folder, log):
        name = audio_stem(path.name)
        other = clips.setdefault("_".join(name.split()), path)  # as clips are named
        if other is not path:
            raise UserError(
                f"{path}: has the name of {other} (rename one: names without suffix are ids, in which blanks become _)"
            )
        found[name] = path
    if not found:
        raise UserError(f"{folder}: no recordings (looked for {' '.join(SUFFIXES)})")
    return found


def split(recordings: Mapping[str, Iterable[str]], *, share: float, group: str = "", seed: int = 0) -> set[str]:
    """Choose the recordings for validation.

    Recordings of one group (such as a speaker or a place) stay on one side. Labels are treated one after the other,
    the one with the fewest groups first: groups with the label are chosen until `share` of them, rounded up, are in
    validation. Then further groups are added until validation has `share` of all groups, rounded. A group is never
    chosen if it is the last one in training, or the last with one of its labels. The result depends only on names,
    labels, groups and seed.

    Args:
        recordings: {recording: its labels}.
        share: fraction of the groups for validation, 0 to 1.
        group: regular expression whose match in a recording's name is its group. A recording without a match is a group
            by itself; so is each if this is "".
        seed: seed of the order in which groups are considered.

    Returns:
        The names of the recordings for validation.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    members: dict[str, list[str]] = defaultdict(list)
    for name, present in recordings.items():
        match = re.search(group, name) if group else None
        key = match.group() if match else name
        labels[key] |= set(present)
        members[key].append(name)
    order = sorted(labels, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    groups_of: dict[str, list[str]] = defaultdict(list)
    for key in order:
        for label in labels[key]:
            groups_of[label].append(key)
    chosen: set[str] = set()
    in_training = {label: len(keys) for label, keys in groups_of.items()}

    def choose_if_possible(key: str) -> None:
        """Choose a group unless a label would have none left in training."""
        if key in chosen or any(in_training[label] < 2 for label in labels[key]):
            return
        chosen.add(key)
        for label in labels[key]:
            in_training[label] -= 1

    for label in sorted(groups_of, key=lambda label: (len(groups_of[label]), label)):
        wanted = math.ceil(share * len(groups_of[label]))
        for key in groups_of[label]:
            if len(groups_of[label]) - in_training[label] >= wanted:
                break
            choose_if_possible(key)
    for key in order:
        if len(chosen) >= round(share * len(order)):
            break
        if len(chosen) < len(order) - 1:
            choose_if_possible(key)
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
    """Write `out`/audio and then `out`/metadata: strong, weak and unlabelled training sets, and a validation set.

    Recordings in `events` are split into strong training and validation, those only in `tags` are weak, the others
    unlabelled. A recording whose events are all dropped (`max_dropped`) counts as not in `events`. Recordings longer
    than `seconds` become several clips. A recording that cannot be used (`_readable`) is logged and left out.

    Args:
        audio: folder of recordings, at any depth.
        out: folder to write.
        events: table of events, another tool's label file, or a folder of these (`sed.data.events.read_rows`); or None.
        tags: table of tags, or None.
        seconds: length of a clip in seconds.
        share: fraction of the groups of recordings in `events` that goes to validation, 0 to 1.
        group: regular expression; recordings whose names give the same match stay together (`split`).
        seed: seed of the split.
        jobs: number of recordings that are processed at once.
        max_bad: per cent of the recordings that may be left out as unreadable, silent or too short.
        max_dropped: per cent of the events that may not fit their recordings: without length, beyond the end, or cut by
            far (`sed.data.events`).
        known: labels of the model that is fine-tuned, added to those of the tables.

    Raises:
        UserError: `out` holds another corpus, there are no recordings, or two of one name, there are no labels, a table
            is broken or names none of the recordings, more recordings than `max_bad` cannot be used, or more events
            than `max_dropped` do not fit.
    """
    _refuse_others(out)
    recordings, length = _readable(find_audio(audio), out / CHECKED, max_bad=max_bad, jobs=jobs)
    strong = _events(events, recordings, length, seconds, max_dropped) if events else {}
    weak: dict[str, tuple[str, ...]] = _known(tags, read_tags_tsv(tags), recordings) if tags else {}
    weak = {name: tags for name, tags in weak.items() if name not in strong}
    labels = _labels(strong, weak, known, where=events or tags)
    _warn_of_no_group(group, strong)
    kept = split(
        {name: {e.label for e in found} for name, found in strong.items()}, share=share, group=group, seed=seed
    )
    if strong and not share:
        log.info("no validation set, since --validation is 0 (stop at stage 4, there is nothing to score on)")
    elif strong and not kept:
        units = "groups of recordings" if group else "recordings"
        log.warning("too few %s for a validation set: a label needs two of them (stop at stage 4, or add some)", units)
    sets = _sets(recordings, strong, weak, kept)
    if kept:
        log.info(
            "%d of the %d recordings in the table of events are kept for validation (--validation %g, and every label "
            "on both sides where possible): %s",
            *(len(kept), len(strong), share, ", ".join(map(shown, sorted(kept)[:10])) + " ..." * (len(kept) > 10)),
        )
    spans: dict[str, Spans] = {}
    for kind, names in sets.items():
        if names:
            spans[kind] = _cut(names, recordings, out / "audio" / LAYOUT[kind][0], seconds, jobs)
            log.info("%s: %d recordings, %d clips", kind, len(names), sum(map(len, spans[kind].values())))
    _warn_of_long_tagged(spans.get("weak", {}), seconds)
    for kind, (_, table) in LAYOUT.items():
        _write_table(out / "metadata" / table, kind, spans.get(kind, {}), strong, weak)
    write_text(out / "metadata" / "labels.txt", "".join(f"{label}\n" for label in labels))


def _warn_of_no_group(group: str, names: Collection[str]) -> None:
    """Warn if no recording's name matches the regular expression `group`: validation may then be too optimistic."""
    if group and names and not any(re.search(group, name) for name in names):
        log.warning(
            "--group %s matches no name, as %s: names have neither folder nor suffix, and each recording is by itself",
            *(group, shown(min(names))),
        )


def _warn_of_long_tagged(spans: Spans, seconds: float) -> None:
    """Warn of tagged recordings that became several clips: in which of these a tagged sound occurs is unknown."""
    long = sorted(name for name, found in spans.items() if len(found) > 1)
    if long:
        log.warning(
            "%d tagged recordings are longer than %g s, as %s: every clip of theirs gets their tags",
            *(len(long), seconds, long[0]),
        )


def _sets(
    recordings: Iterable[str], strong: Iterable[str], weak: Iterable[str], kept: Collection[str]
) -> dict[str, list[str]]:
    """Return the recordings of each set.

    Args:
        recordings: names of all recordings.
        strong: names of those in the table of events.
        weak: names of those in the table of tags only.
        kept: names of those of `strong` that are kept for validation.
    """
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
    """Return all labels in alphabetical order.

    Args:
        strong: {recording: its events}.
        weak: {recording: its tags}.
        known: labels of the model that is fine-tuned.
        where: the table that messages name.

    Raises:
        UserError: there are no labels, or one has a comma, which separates tags.
    """
    labels = set(known)
    labels |= {event.label for found in strong.values() for event in found}
    labels |= {tag for tags in weak.values() for tag in tags}
    if not labels:
        raise UserError(f"{where}: names no label (nothing to learn)")
    for label in sorted(labels):
        if "," in label:
            where = Path("--from") if label in known else where  # the option that names the model
            raise UserError(f"{where}: label '{label}' holds a comma, which separates tags (rename it)")
    return sorted(labels)


def _write_table(
    path: Path, kind: str, spans: Spans, strong: Mapping[str, Sequence[Event]], weak: Mapping[str, Sequence[str]]
) -> None:
    """Write the table of one set's clips with their events, tags, or names only; remove it if the set has no clips.

    Args:
        path: the table.
        kind: of set, a key of LAYOUT.
        spans: the clips of the set's recordings.
        strong: {recording: its events}.
        weak: {recording: its tags}.
    """
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
    found: Mapping[str, Path], table: Path, *, max_bad: float, jobs: int
) -> tuple[dict[str, Path], dict[str, float]]:
    """Return the recordings that can be used, and their lengths in seconds; log the others.

    A recording can be used if it can be read to its end, and is neither silent nor shorter than SHORTEST: stage 1 would
    leave out the clips of such a one.

    Args:
        found: {recording: its file}.
        table: file with the results of an earlier audio check, if it exists, and then of this one.
        max_bad: per cent of the recordings that may be left out.
        jobs: number of threads.
    """
    table.parent.mkdir(parents=True, exist_ok=True)
    checked = check_audio(found, table, jobs=jobs)
    bad = {
        name: fault or f"too short: {seconds:.3f} s"
        for name, (seconds, fault) in checked.items()
        if fault or seconds < SHORTEST
    }
    for name, reason in bad.items():
        log.warning("left out: %s: %s", shown(str(found[name])), reason)
    if 100 * len(bad) > max_bad * len(found):
        name, reason = next(iter(bad.items()))
        raise UserError(
            f"{len(bad)} of {len(found)} recordings cannot be used, such as {shown(str(found[name]))}: {reason} "
            "(replace or convert them: ffmpeg -i IN OUT.wav; or allow more by --max-bad)"
        )
    good = {name: path for name, path in found.items() if name not in bad}
    return good, {name: checked[name][0] for name in good}


def _events(
    table: Path, recordings: Mapping[str, Path], seconds: Mapping[str, float], window: float, max_dropped: float
) -> dict[str, list[Event]]:
    """Return the events of usable recordings; log the events that are dropped, cut or joined.

    Args:
        table: table, file or folder of events, as in `lay_out`.
        recordings: {recording: its file} of those that can be used.
        seconds: {recording: its length in seconds}.
        window: length of a clip in seconds.
        max_dropped: per cent of the events that may not fit their recordings.
    """
    rows = read_rows(table)
    known = _known(table, by_clip(rows), recordings)
    kept, tally = fit(table, rows, {name: seconds[name] for name in known})
    for line in tally.lines():
        log.warning("%s", line)
    tally.check(max_dropped)
    # where the last clip of a recording ends, if a rest follows that is too short for another
    ends = {name: end for name in known if (end := windows_of(seconds[name], window)[-1][1]) < seconds[name]}
    # BRIEFEST: what such an event still has within the last clip is too short to be kept (`clips.within`)
    lost = [row for row in kept if row.event and row.event.onset >= ends.get(row.clip, math.inf) - BRIEFEST]
    if lost:
        log.warning(
            "%s: %d of %d events left out: after their recordings' last clips, in a rest under %g s, "
            "too short for a clip, the first at %s",
            *(table, len(lost), tally.events, SHORTEST_REST, place(lost[0].line, lost[0].file, table)),
        )
    return merge_events(by_clip(kept))[0]


def _refuse_others(out: Path) -> None:
    """Raise UserError if the folder holds another corpus, which would be replaced, and not an earlier run's result."""
    if (out / CHECKED).exists():
        return
    for folder, table in LAYOUT.values():
        clips = out / "audio" / folder
        names = [path.name for path in clips.iterdir()] if clips.is_dir() else []
        if other := next((name for name in names if not _CLIP.fullmatch(name)), ""):
            raise UserError(f"{clips}: holds {other}, which no earlier run has written (choose another folder)")
        if (out / "metadata" / table).exists() and not names:
            raise UserError(f"{out / 'metadata' / table}: of another corpus (choose another folder)")


def _known(table: Path, rows: dict[str, Any], recordings: Mapping[str, Path]) -> dict[str, Any]:
    """Return the rows of usable recordings; log the others, and raise UserError if there are no such rows.

    Args:
        table: the table, for messages.
        rows: {recording: what the table has on it}.
        recordings: {recording: its file} of those that can be used.
    """
    if not rows:
        raise UserError(f"{table}: has no rows (is it whole?)")
    missing = [name for name in rows if name not in recordings]
    if len(missing) == len(rows):
        raise UserError(
            f"{table}: none of its {len(rows)} recordings is there, as '{missing[0]}' (check the folder of recordings)"
        )
    if missing:
        log.warning(
            "%s: %d of %d recordings are not there or cannot be used, as '%s'",
            *(table, len(missing), len(rows), missing[0]),
        )
    return {name: value for name, value in rows.items() if name in recordings}


def _cut(names: Sequence[str], recordings: Mapping[str, Path], folder: Path, seconds: float, jobs: int) -> Spans:
    """Cut recordings into clips in `folder`, remove its other clips, and return the clips' spans.

    Args:
        names: the recordings to cut.
        recordings: {recording: its file}.
        folder: where the clips are written.
        seconds: length of a clip in seconds.
        jobs: number of recordings that are cut at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        found = pool.map(lambda name: cut_recording(recordings[name], folder, name=name, window=seconds), names)
    cut = dict(zip(names, found, strict=True))
    wanted = {f"{clip}.flac" for clip in window_events({}, cut)}
    for path in folder.iterdir():
        if path.name not in wanted and _CLIP.fullmatch(path.name):
            path.unlink()
    return cut
