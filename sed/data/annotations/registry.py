"""Registry of the label file formats, which are detected by content, and the label files of a folder."""

from __future__ import annotations

import logging
from pathlib import Path

from sed.cli import explained
from sed.data.annotations.annotation import Reader, read_text
from sed.data.annotations.audacity import Audacity
from sed.data.annotations.csv_table import CsvTable
from sed.data.annotations.dcase_list import DcaseList
from sed.data.annotations.elan import Elan
from sed.data.annotations.jams import Jams
from sed.data.annotations.json_lines import JsonLines
from sed.data.annotations.label_studio import LabelStudio
from sed.data.annotations.raven import Raven
from sed.data.annotations.subtitles import Subtitles
from sed.data.annotations.textgrid import TextGrid
from sed.data.recordings import files_below
from sed.data.tables import DURATION_COLUMNS, EVENT_COLUMNS, TAG_COLUMNS
from sed.errors import UserError

log = logging.getLogger("sed.data")
READERS: dict[str, Reader] = {
    "textgrid": TextGrid(),
    "elan": Elan(),
    "jams": Jams(),
    "jsonl": JsonLines(),
    "labelstudio": LabelStudio(),
    "raven": Raven(),
    "subtitles": Subtitles(),
    "audacity": Audacity(),
    "dcase": DcaseList(),
    "csv": CsvTable(),
}
"""name of a format -> its reader, in the order in which they are tried: those least likely to accept another's file
first"""
SUFFIXES = (".txt", ".tsv", ".csv", ".textgrid", ".eaf", ".json", ".jsonl", ".jams", ".ann")
"""suffixes of the label files of a folder (`.ann` is TUT's); not those of subtitles, which may lie beside label files
as copies for a player"""
HEAD = 1 << 16
"""characters of a file by which its format is recognised; many, since JSON may have its keys in any order"""


def recognised(path: Path) -> tuple[Reader, str] | None:
    """Return the reader of a label file and the file's text; None for a table in DESED's columns (`sed.data.tables`).

    None is also returned for a file that resembles no known format: the caller reads it as a DESED table, which is
    refused with the reason.

    Raises:
        UserError: the file is not text, or resembles something that is not a label file (tags, durations, scores,
            unknown JSON).
    """
    text = read_text(path)
    if set(EVENT_COLUMNS) <= set(text.split("\n", 1)[0].rstrip("\r").split("\t")):
        return None
    for reader in READERS.values():
        if reader.recognises(text[:HEAD]):
            return reader, text
    if guess := looks_like(text):
        raise UserError(f"{path}: {guess}")
    return None


def looks_like(text: str) -> str:
    """Return what a text that no reader recognises may be, and which option or command reads it; "" if unknown."""
    header = set(text.split("\n", 1)[0].rstrip("\r").split("\t"))
    if set(TAG_COLUMNS) <= header:
        return "looks like a table of tags, without times (--tags of own_data takes it)"
    if set(DURATION_COLUMNS) == header:
        return "looks like a table of durations (--durations of score and tune takes it)"
    if text.lstrip()[:1] in ("{", "<"):
        return (
            "looks like JSON or XML, but not of a known tool (JSON lines with filename, onset, offset, label are read)"
        )
    if {"onset", "offset"} <= header and "filename" not in header:
        return "looks like frame scores of one clip (score takes a folder of them)"
    return ""


def label_files(folder: Path) -> list[Path]:
    """Return the label files below a folder at any depth, by their suffix; UserError if there are none.

    Links are followed and hidden files are skipped, as for recordings; a warning names a folder that cannot be read.
    """

    def warn(error: OSError) -> None:
        log.warning("%s: %s", error.filename, explained(error))

    files = sorted(
        path
        for place, name in files_below(folder, warn)
        if not name.startswith(".") and (path := Path(place, name)).suffix.lower() in SUFFIXES and path.is_file()
    )
    if not files:
        raise UserError(f"{folder}: no label files in this folder (looked for {' '.join(SUFFIXES)})")
    return files
