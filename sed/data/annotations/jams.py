"""JAMS: JSON of annotated recordings; what Scaper and MARL's corpora (URBAN-SED) are annotated in.

Sound events of the namespaces below count; those of a soundscape's background do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sed.data.annotations.annotation import Annotation, annotation, or_none, recording_of, seconds_text
from sed.errors import UserError

NAMESPACES = ("scaper", "sound_event", "segment_open", "tag_open")
"""of events with a label: an object's `label`, or text"""
_HEAD = re.compile(r'"(namespace|annotation_metadata|jams_version)"\s*:')


class Jams:
    """Reads JAMS files, each of the recording of its name."""

    name = "a JAMS file"

    def recognises(self, text: str) -> bool:
        """Return whether the text is a JSON object with the keys of JAMS."""
        return text.lstrip()[:1] == "{" and bool(_HEAD.search(text))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events of all annotations, in order."""
        try:
            annotations = json.loads(text)["annotations"]
            found = [(one["namespace"], one["data"]) for one in annotations]
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON: {error} (bring the file again)") from None
        except (KeyError, TypeError, IndexError):
            raise UserError(f"{path}: no annotations with a namespace and data (JAMS has them)") from None
        known = [data for namespace, data in found if namespace in NAMESPACES]
        if not known:
            has = ", ".join(str(namespace) for namespace, _ in found) or "no annotation"
            raise UserError(f"{path}: no sound events (it has {has}; read are {', '.join(NAMESPACES)})")
        observations = (one for data in known for one in (data if isinstance(data, list) else [data]))
        events = ((number, _event(path, number, one)) for number, one in enumerate(observations, 1))
        recording = recording_of(path)
        yield from or_none((annotation(path, number, recording, *one) for number, one in events if one), recording)


def _event(path: Path, number: int, observation: Any) -> tuple[str, str, str] | None:
    """Return onset, offset and label of an observation as text; None for one of the background."""
    where = f"{path}: observation {number}"
    if not isinstance(observation, dict):
        raise UserError(f"{where} is no object (time, duration, value)")
    value = observation.get("value")
    if isinstance(value, dict):
        if value.get("role") == "background":
            return None
        value = value.get("label")
    if not isinstance(value, str):
        raise UserError(f"{where} has no label (an object's `label`, or text)")
    times = [observation.get(key) for key in ("time", "duration")]
    numbers = [float(time) for time in times if isinstance(time, int | float) and not isinstance(time, bool)]
    if len(numbers) < 2:
        raise UserError(f"{where} has no time and duration (numbers of seconds are expected)")
    return seconds_text(numbers[0]), seconds_text(sum(numbers)), value
