"""ELAN's documents (.eaf): the time-aligned annotations of every tier; the recording is the media that it names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from sed.data.annotations.annotation import Annotation, annotation, recording_of, seconds_text
from sed.errors import UserError


class Elan:
    """Reads ELAN documents."""

    name = "an ELAN document"

    def recognises(self, text: str) -> bool:
        """Return whether the root element is ELAN's."""
        return "<ANNOTATION_DOCUMENT" in text

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the annotations with a time of their own; those that only refer to others have none."""
        if "<!DOCTYPE" in text or "<!ENTITY" in text:  # ELAN writes neither: entities can be made to explode
            raise UserError(f"{path}: declares a document type, which ELAN does not write (save it in ELAN once more)")
        try:
            root = ElementTree.fromstring(text.encode())
        except ElementTree.ParseError as error:
            raise UserError(f"{path}:{error.position[0]}: broken XML: {error} (save it in ELAN once more)") from None
        slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
        media = next((unquote(one.get("MEDIA_URL", "")) for one in root.iter("MEDIA_DESCRIPTOR")), "")
        recording = media.rsplit("/", 1)[-1] or recording_of(path)
        for number, found in enumerate(root.iter("ALIGNABLE_ANNOTATION"), 1):
            times = [slots.get(found.get(f"TIME_SLOT_REF{end}")) for end in (1, 2)]
            label = (found.findtext("ANNOTATION_VALUE") or "").strip()
            if not label:  # an empty interval
                continue
            onset, offset = (_seconds(path, number, time) for time in times)
            yield annotation(path, number, recording, onset, offset, label)


def _seconds(path: Path, number: int, milliseconds: str | None) -> str:
    if milliseconds is None or not milliseconds.isdecimal():
        raise UserError(f"{path}: annotation {number} has no time of its own (align it in ELAN)")
    return seconds_text(int(milliseconds) / 1000)
