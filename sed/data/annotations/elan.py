"""ELAN's documents (.eaf): the time-aligned annotations of every tier; the recording is the first linked media file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from sed.data.annotations.annotation import Annotation, annotation, or_none, recording_of, seconds_text
from sed.errors import UserError

MOST_DIGITS = 12
"""digits of a time in milliseconds, up to 32 years (our choice); a longer number is treated as a missing time"""


class Elan:
    """Reader of ELAN documents."""

    name = "an ELAN document"

    def recognises(self, text: str) -> bool:
        """Return whether the text has the tag of ELAN's root element."""
        return "<ANNOTATION_DOCUMENT" in text

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the time-aligned annotations; those that refer to other annotations have no times and are skipped."""
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # ELAN writes neither, and entities can expand without bound
            raise UserError(f"{path}: declares a document type, which ELAN does not write (save it in ELAN again)")
        try:
            root = ElementTree.fromstring(text)  # text is decoded already: the encoding that it declares is ignored
        except ElementTree.ParseError as error:
            raise UserError(f"{path}:{error.position[0]}: broken XML: {error} (save it in ELAN again)") from None
        slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
        media = next((unquote(one.get("MEDIA_URL", "")) for one in root.iter("MEDIA_DESCRIPTOR")), "")
        recording = media.rsplit("/", 1)[-1] or recording_of(path)
        yield from or_none(_aligned(path, recording, root.iter("TIER"), slots), recording)


def _aligned(
    path: Path, recording: str, tiers: Iterable[ElementTree.Element], slots: Mapping[str | None, str | None]
) -> Iterator[Annotation]:
    """Yield the annotations of the tiers; `slots` is {id of a time slot: its milliseconds as text, None if unknown}."""
    number = 0
    for tier in tiers:
        elements = list(tier.iter("ALIGNABLE_ANNOTATION"))
        times = _interpolated(
            [tuple(slots.get(element.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)) for element in elements]
        )
        for element, (onset, offset) in zip(elements, times, strict=True):
            number += 1
            label = (element.findtext("ANNOTATION_VALUE") or "").strip()
            if not label:  # an empty interval
                continue
            if onset is None or offset is None:
                raise UserError(f"{path}: annotation {number} has no known start or end (align it in ELAN)")
            yield annotation(path, number, recording, seconds_text(onset), seconds_text(offset), label)


def _interpolated(slots: Sequence[tuple[str | None, ...]]) -> list[tuple[float | None, float | None]]:
    """Return onset and offset of a tier's annotations in seconds, None where they are unknown.

    ELAN may store no time for the border between two adjoining annotations, and draws the annotations between two known
    borders with equal lengths; so do we. Times that stay unknown: those after a start that has none, such as a
    start after a gap, and those of which no known border follows.

    Args:
        slots: start and end of each annotation in milliseconds, as text; None if it has no time.
    """
    times = [
        [int(t) / 1000 if t is not None and t.isdecimal() and len(t) <= MOST_DIGITS else None for t in pair]
        for pair in slots
    ]
    first = 0  # annotations `first` to `last` lie between two known borders
    for last, pair in enumerate(times):
        # an end without a time is the border to the next annotation, whose start may have one
        following = times[last + 1][0] if last + 1 < len(times) else None
        onset, offset = times[first][0], pair[1] if pair[1] is not None else following
        if offset is None:
            continue
        if onset is not None:
            length = (offset - onset) / (last + 1 - first)
            for place, inner in enumerate(times[first : last + 1]):
                inner[:] = [round(onset + length * place, 3), round(onset + length * (place + 1), 3)]
        first = last + 1
    return [(onset, offset) for onset, offset in times]
