"""Sets whose clips are overlapping windows of recordings.

Such a set has a folder `recordings` with windows.tsv (filename: the window's clip id; recording; onset of the window in
the recording, in seconds), and events.tsv and durations.tsv of the recordings. In windows.tsv, names have no suffix.
The scores of the recordings, which are compared with events.tsv, are averages of those of the windows (weighted means
of logits: `sed.evaluation.stitching`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sed.data.tables import METADATA, number, read_durations_tsv, tsv_rows
from sed.errors import UserError

COLUMNS = ("filename", "recording", "onset")


class Window(NamedTuple):
    """A window of a recording."""

    recording: str
    onset: float
    """start in the recording in seconds"""


def read_windows(folder: Path) -> tuple[dict[str, Window], dict[str, float]]:
    """Read the windows of a set, and the durations of its recordings.

    Args:
        folder: the set's folder `recordings`.

    Returns:
        {clip id: its window}, and {recording: its duration in seconds}.

    Raises:
        UserError: a table is missing or broken, a window is named twice or begins outside its recording.
    """
    path, durations = folder / "windows.tsv", read_durations_tsv(folder / "durations.tsv")
    windows: dict[str, Window] = {}
    for line, (clip, recording, onset) in tsv_rows(path, COLUMNS, METADATA):
        where = f"{path}:{line}"
        start = number(where, "onset", onset)
        if clip in windows:
            raise UserError(f"{where}: window '{clip}' comes twice (run stage 0 again)")
        if recording not in durations:
            raise UserError(
                f"{where}: recording '{recording}' is not in {folder / 'durations.tsv'} (run stage 0 again)"
            )
        if not 0 <= start < durations[recording]:
            raise UserError(f"{where}: {onset} s is not within recording '{recording}' (run stage 0 again)")
        windows[clip] = Window(recording, start)
    return windows, durations
