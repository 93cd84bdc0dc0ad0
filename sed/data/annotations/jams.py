"""JAMS (JSON Annotated Music Specification): the label files of Scaper's soundscapes, such as URBAN-SED's.

A JAMS file holds several annotations, each a list of observations in one namespace (kind of content). The observations
in the namespaces of sound events are read, except those of a soundscape's background recording.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sed.data.annotations.annotation import Annotation, annotation, or_none, recording_of, seconds_of, seconds_text
from sed.errors import UserError

NAMESPACES = ("scaper", "sound_event", "segment_open", "tag_open")
"""namespaces of sound events; an observation's `value` is its label or, in `scaper`, an object with a `label`

A tag of `tag_open` is an event as long as its observation, which may be the whole recording.
"""
_KEYS = re.compile(r'"(namespace|annotation_metadata|jams_version)"\s*:')


class Jams:
    """Reader of JAMS files; each annotates the recording of the same name."""

    name = "a JAMS file"

    def recognises(self, text: str) -> bool:
        """Return whether the text begins as a JSON object does, and has a key that JAMS files have."""
        return text.lstrip()[:1] == "{" and bool(_KEYS.search(text))

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events of all annotations of sound events; if these hold no events, the recording without events.

        Observations are numbered from 1, over all annotations of sound events.

        Raises:
            UserError: the file is damaged, or has no annotation of sound events.
        """
        try:
            annotations = json.loads(text)["annotations"]
            found = [(one["namespace"], one["data"]) for one in annotations]
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON: {error} (download or export it again)") from None
        except (KeyError, TypeError, IndexError):
            raise UserError(f"{path}: no annotations with a namespace and data (JAMS has them)") from None
        known = [data for namespace, data in found if namespace in NAMESPACES]
        if not known:
            has = ", ".join(str(namespace) for namespace, _ in found) or "none"
            raise UserError(
                f"{path}: no sound events (namespaces in it: {has}; those of sound events: {', '.join(NAMESPACES)})"
            )
        # `data` that is no list is taken for one observation, so that `_event` says what it lacks
        observations = (one for data in known for one in (data if isinstance(data, list) else [data]))
        events = ((number, _event(path, number, one)) for number, one in enumerate(observations, 1))
        recording = recording_of(path)
        yield from or_none(
            (annotation(path, number, recording, *event) for number, event in events if event), recording
        )


def _event(path: Path, number: int, observation: Any) -> tuple[str, str, str] | None:
    """Return onset, offset and label of an observation as text; None if it is a soundscape's background."""
    where = f"{path}: observation {number}"
    if not isinstance(observation, dict):
        raise UserError(f"{where} is not an object (with time, duration, value)")
    value = observation.get("value")
    if isinstance(value, dict):
        if value.get("role") == "background":
            return None
        value = value.get("label")
    if not isinstance(value, str):
        raise UserError(f"{where} has no label (its value must be text, or an object with a `label`)")
    numbers = [seconds_of(observation.get(key)) for key in ("time", "duration")]
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{where} has no time and duration (numbers of seconds are expected)")
    for key, seconds in zip(("time", "duration"), numbers, strict=True):
        if seconds < 0:
            raise UserError(f"{where} has a {key} of {seconds:g} s (correct it: negative ones are impossible)")
    return seconds_text(numbers[0]), seconds_text(sum(numbers)), value
