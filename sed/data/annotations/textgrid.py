"""Praat's TextGrids in its three text formats (long, short, chronological): intervals with text of every tier.

Of such a file Praat itself reads only the free-standing numbers, quoted texts and flags (`<exists>`), in their order;
everything else, such as `xmin =`, is for people. A TextGrid belongs to the recording of the same name. A point becomes
an event without length, which `sed.data.events` counts and drops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sed.data.annotations.annotation import Annotation, annotation, or_none, recording_of
from sed.errors import UserError

_TOKEN = re.compile(
    r'(?<!\S)(?:"(?P<text>[^"]*(?:""[^"]*)*)"|(?P<number>[-+]?[\d.]+(?:[eE][-+]?\d+)?)|<(?P<flag>\w*)>|!.*)(?!\S)',
    re.ASCII,
)
"""a text, in which a quote is doubled; a number; a flag; or a comment (`!`) to the end of its line, in no group"""
CHRONOLOGICAL = "Praat chronological TextGrid"
MOST_DIGITS = 9
"""digits of a count; a longer number is refused, since `int` would raise a ValueError for thousands"""
INTERVALS, POINTS = "IntervalTier", "TextTier"


class TextGrid:
    """Reader of TextGrids."""

    name = "a Praat TextGrid"

    def recognises(self, text: str) -> bool:
        """Return whether the text has the header of a TextGrid."""
        head = text.lstrip()[:200]
        return head.startswith(("File type", '"ooTextFile', f'"{CHRONOLOGICAL}')) and "TextGrid" in head

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the intervals and points that have a text; if none has, the recording without events."""
        tokens, recording = _Tokens(path, text), recording_of(path)
        entries = _by_time if tokens.take("text").startswith(CHRONOLOGICAL) else _by_tier
        found = (
            annotation(path, tokens.line, recording, onset, offset, label)
            for onset, offset, label in entries(tokens)
            if label.strip()
        )
        return or_none(found, recording)


class _Tokens:
    """The texts, numbers and flags of a file, in order; `line` is the line of the last one that was taken."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._tokens = (match for match in _TOKEN.finditer(text) if match.lastgroup)
        self._next = next(self._tokens, None)
        self._position, self.line = 0, 1

    def more(self) -> bool:
        """Return whether a token is left."""
        return self._next is not None

    def take(self, kind: str) -> str:
        """Return the next token; raise UserError if it is not of this kind, `text`, `number` or `flag`."""
        match, self._next = self._next, next(self._tokens, None)
        position = match.start() if match else len(self._text.rstrip())
        self.line += self._text.count("\n", self._position, position)
        self._position = position
        if match is None or match.lastgroup != kind:
            found = f"a {match.lastgroup}" if match else "the end of the file"
            raise self.refusal(f"{found} where a {kind} is expected")
        return match[kind].replace('""', '"')

    def take_count(self) -> int:
        """Return the next number, which must be a whole one."""
        text = self.take("number")
        if not text.isdecimal() or len(text) > MOST_DIGITS:
            raise self.refusal(f"'{text}' where a count is expected")
        return int(text)

    def take_entry(self, *, point: bool) -> tuple[str, str, str]:
        """Return onset, offset and label of the next interval or point."""
        onset = self.take("number")
        return onset, onset if point else self.take("number"), self.take("text")

    def take_tier(self) -> bool:
        """Skip kind, name, begin and end of the next tier; return whether it is one of points."""
        kind, *_ = (self.take(field) for field in ("text", "text", "number", "number"))
        if kind not in (INTERVALS, POINTS):
            raise self.refusal(f"a tier of kind {kind!r} where {INTERVALS} or {POINTS} is expected")
        return kind == POINTS

    def refusal(self, reason: str) -> UserError:
        """Return the error for a file that ends early or is malformed at the current line."""
        return UserError(f"{self._path}:{self.line}: not a whole TextGrid: {reason} (save it in Praat again)")


def _by_tier(tokens: _Tokens) -> Iterator[tuple[str, str, str]]:
    """Yield the entries (onset, offset, label) of the long and the short format."""
    for field in ("text", "number", "number"):  # the class, begin and end
        tokens.take(field)
    flag = tokens.take("flag")
    if flag not in ("exists", "absent"):
        raise tokens.refusal(f"<{flag}> where <exists> or <absent> is expected")
    if flag == "absent":
        return
    for _ in range(tokens.take_count()):
        point = tokens.take_tier()
        for _ in range(tokens.take_count()):
            yield tokens.take_entry(point=point)


def _by_time(tokens: _Tokens) -> Iterator[tuple[str, str, str]]:
    """Yield the entries (onset, offset, label) of the chronological format: each begins with its tier's number."""
    for field in ("number", "number"):  # begin and end
        tokens.take(field)
    points = [tokens.take_tier() for _ in range(tokens.take_count())]
    while tokens.more():
        tier = tokens.take_count()
        if not 1 <= tier <= len(points):
            raise tokens.refusal(f"tier {tier} of {len(points)}")
        yield tokens.take_entry(point=points[tier - 1])
