"""Lengths of recordings, from a table of durations or from the recordings themselves."""

from __future__ import annotations

import logging
from pathlib import Path

from sed.data.audio import counted_duration
from sed.data.recordings import SUFFIXES, recordings_of
from sed.data.tables import METADATA, Rules, audio_stem, read_durations_tsv
from sed.errors import UserError

log = logging.getLogger("sed.durations")


def read_durations(path: str | Path, rules: Rules = METADATA) -> dict[str, float]:
    """Return {clip id: seconds} from a durations table, or of the recordings in a folder, at any depth.

    Args:
        path: the table or the folder.
        rules: how strictly to read a table; the recordings of a folder have their names without suffix as ids.

    Raises:
        UserError: a broken table; no recordings in the folder, two of one name, or one that cannot be read.
    """
    if not Path(path).is_dir():
        return read_durations_tsv(path, rules)
    found: dict[str, Path] = {}
    for recording in recordings_of(path, log):
        other = found.setdefault(audio_stem(recording.name), recording)
        if other is not recording:
            raise UserError(f"{recording}: has the name of {other} (rename one: names without suffix are ids)")
    if not found:
        raise UserError(f"{path}: no recordings in this folder (looked for {' '.join(SUFFIXES)})")
    return {clip: counted_duration(recording) for clip, recording in found.items()}
