"""Subtitles in SubRip or WebVTT: a cue is an event of the recording of the same name, and its text the label."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, lines_of, or_none, recording_of, seconds_text
from sed.errors import UserError

_TIME = r"(?:(\d{1,6}):)?(\d\d?):(\d\d?)[.,](\d{1,3})"
_CUE = re.compile(rf"\s*{_TIME}\s+-->\s+{_TIME}(\s.*)?")
_FIRST = re.compile(rf"\s*(WEBVTT\b|(\d+[ \t]*\r?\n)?{_CUE.pattern})")
_NO_CUE = ("WEBVTT", "NOTE", "STYLE", "REGION")
"""beginnings of WebVTT's blocks that are not cues"""


class Subtitles:
    """Reader of subtitles."""

    name = "subtitles"

    def recognises(self, text: str) -> bool:
        """Return whether the text begins as WebVTT does, or with the times of a cue."""
        return bool(_FIRST.match(text))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the cues that have a text; if there are none, the recording as one without events."""
        return or_none(_cues(path, text), recording_of(path))


def _cues(path: Path, text: str) -> Iterator[Annotation]:
    """Yield the cues that have a text; its lines are joined, and in WebVTT its character references are resolved."""
    webvtt = text.lstrip().startswith("WEBVTT")
    for line, block in _blocks(text):
        times = next(filter(None, map(_CUE.fullmatch, block[:2])), None)  # the first line may be a number or a name
        if times is None:
            if webvtt and block[0].startswith(_NO_CUE):
                continue
            raise UserError(f"{path}:{line}: a subtitle without times (such as 00:00:01,500 --> 00:00:02,000)")
        label = " ".join(block[block.index(times.string) + 1 :])
        if label.strip():
            onset, offset = _seconds(*times.groups()[:4]), _seconds(*times.groups()[4:8])
            yield annotation(path, line, recording_of(path), onset, offset, html.unescape(label) if webvtt else label)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the first line, lines) of each block.

    A block ends at an empty line. If there is none between two cues, it ends before the times of the second, or before
    its number if that is the number of the first plus 1. Two lines or more before a cue's times, such as a header, are
    a separate block.
    """
    block: list[str] = []
    timed = False
    for number, line in enumerate([*lines_of(text), ""], 1):
        times = bool(_CUE.fullmatch(line))
        if block and (not line.strip() or (times and (timed or len(block) > 1))):
            following = [block.pop()] if times and _ends_with_next_number(block) else []
            yield number - len(following) - len(block), block
            block, timed = following, False
        if line.strip():
            block.append(line)
            timed |= times


def _ends_with_next_number(block: list[str]) -> bool:
    first, last = block[0].strip(), block[-1].strip()
    return bool(re.fullmatch(r"[0-9]{1,9}", first)) and last == str(int(first) + 1)


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> str:
    """Return the time of a cue in seconds, as text for `annotation`; `fraction` has one to three decimals."""
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    return seconds_text((whole * 1000 + int(fraction.ljust(3, "0"))) / 1000)
