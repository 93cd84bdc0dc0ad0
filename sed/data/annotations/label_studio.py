"""Label Studio's exports (JSON and JSON-MIN) of audio regions.

A task with several annotations contributes one: the one marked as ground truth, else the first not cancelled; the
number of those left out is logged.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from sed.data.annotations.annotation import Annotation, annotation, seconds_text
from sed.errors import UserError

log = logging.getLogger("sed.data")
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
"""prefix that Label Studio adds to the name of an uploaded file"""


class LabelStudio:
    """Reader of exports."""

    name = "a Label Studio export"

    def recognises(self, text: str) -> bool:
        """Return whether the text is a JSON list or object."""
        return text.lstrip()[:1] == "[" or (text.lstrip()[:1] == "{" and '"annotations"' in text)

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the regions of all tasks; a task without any names its recording."""
        try:
            tasks = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON: {error} (export it once more)") from None
        tasks = tasks if isinstance(tasks, list) else [tasks]
        others = 0
        for number, task in enumerate(tasks, 1):
            if not isinstance(task, dict):
                raise UserError(f"{path}: task {number} is no object (a Label Studio export is a list of tasks)")
            recording = _recording(path, number, task)
            regions, more = _regions(task)
            others += more
            found = [_region(path, number, recording, region) for region in regions]
            yield from found or [Annotation(number, recording, None)]
        if others:
            log.warning("%s: %d further annotations of tasks that have several were left out", path, others)


def _recording(path: Path, number: int, task: dict[str, Any]) -> str:
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    assert isinstance(data, dict)
    named = [value for key, value in data.items() if key in ("audio", "url", "file", "wav", "sound")]
    if not named or not isinstance(named[0], str):
        raise UserError(f"{path}: task {number} names no audio (its data has {', '.join(map(str, data)) or 'nothing'})")
    address = urlparse(named[0])
    place = parse_qs(address.query).get("d", [address.path])[0]
    return _UPLOADED.sub("", unquote(place).rsplit("/", 1)[-1])


def _regions(task: dict[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """Return the regions that count, and how many annotations of other people or times do not."""
    if "annotations" not in task:  # JSON-MIN stores the regions under the control's name
        lists = [value for value in task.values() if isinstance(value, list)]
        return [one for found in lists for one in found if isinstance(one, dict) and "start" in one], 0
    kept = [one for one in task["annotations"] or [] if isinstance(one, dict) and not one.get("was_cancelled")]
    kept.sort(key=lambda one: not one.get("ground_truth"))
    regions = [one.get("value") for one in (kept[0].get("result") or [])] if kept else []
    return [one for one in regions if isinstance(one, dict) and "start" in one], max(0, len(kept) - 1)


def _region(path: Path, number: int, recording: str, value: dict[str, Any]) -> Annotation:
    names = next((found for key, found in value.items() if key.endswith("labels") and found), None)
    if not isinstance(names, list) or not isinstance(names[0], str):
        raise UserError(f"{path}: task {number} has a region without a label (label it, or remove it)")
    times = [value.get(key) for key in ("start", "end")]
    if not all(isinstance(time, int | float) and not isinstance(time, bool) for time in times):
        raise UserError(f"{path}: task {number} has a region without a start and an end in seconds (remove it)")
    onset, offset = (seconds_text(float(time)) for time in times if time is not None)
    return annotation(path, number, recording, onset, offset, names[0])
