"""Label Studio's exports (JSON and JSON-MIN) of audio regions.

A task is one recording. What Label Studio calls an annotation is all the work of one person on a task, a list of
regions; this package's class `Annotation` is a single event. Of a task's annotations that were not cancelled, one is
read: the first that is marked as ground truth, or the first if none is; in JSON-MIN, which repeats the task for each,
the first. The number of the others is logged. If a task has `predictions` but not the key `annotations`, as in files
for import, the first prediction is read. A region with several labels becomes one event per label.

An annotation or prediction without regions states that a recording has no events. A task without any, or with cancelled
annotations only (Label Studio's "Skip"), states nothing, and is left out.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from sed.data.annotations.annotation import Annotation, annotation, or_none, seconds_of, seconds_text
from sed.data.annotations.named_columns import columns_of, missing_in
from sed.data.recordings import SUFFIXES
from sed.errors import UserError

log = logging.getLogger("sed.data")
KEYS = ("audio", "url", "file", "wav", "sound")
"""keys of a task's data that usually name its recording; if it has none of them, the first value with a suffix of audio
does"""
_UPLOADED = re.compile(r"^(?:.*/)?upload/(?:[^/]+/)*[0-9a-f]{8}-(?=[^/]+$)")
"""path of an uploaded file up to its own name, to which Label Studio adds 8 hexadecimal digits; in other folders,
names may begin like that themselves: `20240131-0830.wav`, a UUID"""


class LabelStudio:
    """Reader of exports."""

    name = "a Label Studio export"

    def recognises(self, text: str) -> bool:
        """Return whether the text looks like a list of tasks, or a single task with annotations.

        JAMS files have `annotations`, too, but are recognised before (`registry.READERS`).
        """
        return text.lstrip()[:1] == "[" or (text.lstrip()[:1] == "{" and '"annotations"' in text)

    def read(self, path: Path, text: str) -> Iterator[Annotation]:
        """Yield the events of all tasks; one whose annotation has no regions is a recording without events."""
        try:
            tasks = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: not JSON: {error} (export it again)") from None
        tasks = tasks if isinstance(tasks, list) else [tasks]
        left_out = unlabelled = 0
        read: set[str] = set()
        for number, task in enumerate(tasks, 1):
            if not isinstance(task, dict):
                raise UserError(f"{path}: task {number} is no object (a Label Studio export is a list of tasks)")
            if _is_min(task) and "id" in task:  # JSON-MIN repeats a task for each of its annotations
                if str(task["id"]) in read:
                    left_out += 1
                    continue
                read.add(str(task["id"]))
            recording = _recording(path, number, task)
            regions, unread = _regions(f"{path}: task {number}", task)
            if not regions and _is_foreign(task):
                raise UserError(
                    f"{path}: object {number} of the list is no task of Label Studio (a list of events is read as JSON "
                    "lines: an object per line with filename, onset, offset and label, no brackets around them)"
                )
            if regions is None:
                unlabelled += 1
                continue
            left_out += unread
            found = (event for region in regions for event in _events(path, number, recording, region))
            yield from or_none(found, recording, number)
        if left_out:
            log.warning("%s: %d further annotations of tasks that have several were left out", path, left_out)
        if unlabelled:
            log.warning("%s: %d tasks that are not labelled yet, or were skipped, were left out", path, unlabelled)


def _is_min(task: dict[str, Any]) -> bool:
    """Return whether a task is of JSON-MIN, which has the data and the regions in the task itself."""
    named = "annotations" in task or isinstance(task.get("data"), dict) or isinstance(task.get("predictions"), list)
    return not named


def _is_foreign(task: dict[str, Any]) -> bool:
    """Return whether an object without regions is not of Label Studio, such as an event of another program's list."""
    event = not missing_in(columns_of(list(task)))  # with times and a label of its own
    return _is_min(task) and "annotation_id" not in task and (event or "id" not in task)


def _recording(path: Path, number: int, task: dict[str, Any]) -> str:
    """Return the file name of a task's recording."""
    data = task.get("data") if isinstance(task.get("data"), dict) else task  # JSON-MIN has the data in the task itself
    assert isinstance(data, dict)
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    names = {key: name for key, value in texts.items() if (name := _name_in(value))}
    named = [names[key] for key in KEYS if key in names]
    named += [name for name in names.values() if Path(name).suffix.lower() in SUFFIXES]
    if not named:
        raise UserError(f"{path}: task {number} names no audio (its data has {', '.join(map(str, data)) or 'nothing'})")
    return named[0]


def _name_in(address: str) -> str:
    """Return the file name in an address; with local storage it is in the query (`/data/local-files/?d=site/a.wav`)."""
    path, _, query = address.partition("?")
    local = parse_qs(query).get("d")  # `parse_qs` unquotes, too
    # On Windows, Label Studio writes paths in a local folder with backslashes.
    return (local[0].replace("\\", "/") if local else _UPLOADED.sub("", unquote(path))).rsplit("/", 1)[-1]


def _regions(where: str, task: dict[str, Any]) -> tuple[list[dict[str, Any]] | None, int]:
    """Return the regions of the annotation that is read, and the number of the others that were not cancelled.

    The regions are None if there is no annotation but cancelled ones. `where`: the file and the task, for messages.
    """
    if _is_min(task):
        # JSON-MIN has a list of regions for each control of the labelling interface, under the control's name. Those
        # of controls for notes repeat regions without labels. If no list has labels, the longest is kept, and its
        # regions are refused later.
        lists = [_spans(value) for value in task.values() if isinstance(value, list)]
        labelled = [region for found in lists if any(map(_labels, found)) for region in found]
        return labelled or max(lists, key=len, default=[]), 0
    source = "annotations" if "annotations" in task else "predictions"
    candidates = [one for one in _objects(where, task.get(source)) if not one.get("was_cancelled")]
    if not candidates:
        return None, 0
    candidates.sort(key=lambda one: not one.get("ground_truth"))  # the ground truth first; the sort is stable
    results = _objects(where, candidates[0].get("result", "none"))  # a result that is missing is refused, null is empty
    ids = {str(one["id"]) for one in results if one.get("id") is not None and _labels(one.get("value"))}
    # A note has the id of its region, and is left out if that has a label. A region without a label is kept: `_events`
    # refuses it.
    kept = (one for one in results if _labels(one.get("value")) or str(one.get("id")) not in ids)
    return _spans(one.get("value") for one in kept), max(0, len(candidates) - 1)


def _objects(where: str, value: Any) -> list[dict[str, Any]]:
    """Return a list of objects, an empty one for null; UserError for anything else. `where` is as in `_regions`."""
    found = [] if value is None else value
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UserError(
            f"{where}: its annotations or predictions are not a list of objects with a `result`, a list of regions "
            "(JSON of another tool? give a table with a header instead)"
        )
    return found


def _spans(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the values that have a start: regions of time, not labels of the whole recording."""
    return [one for one in values if isinstance(one, dict) and "start" in one]


def _labels(value: Any) -> list[Any]:
    """Return the labels of a region, whose key ends in `labels`; none for a text, choice or rating about a region."""
    found = (names for key, names in value.items() if key.endswith("labels")) if isinstance(value, dict) else ()
    return next((names for names in found if isinstance(names, list) and names), [])


def _events(path: Path, number: int, recording: str, value: dict[str, Any]) -> Iterator[Annotation]:
    """Yield an event for each label of a region (`value`) of task `number`."""
    names = _labels(value)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path}: task {number} has a region without a label (label it, or remove it)")
    times = [seconds_of(value.get(key)) for key in ("start", "end")]
    if not all(map(math.isfinite, times)):
        raise UserError(f"{path}: task {number} has a region without a start and an end in seconds (remove it)")
    onset, offset = map(seconds_text, times)
    for name in names:
        yield annotation(path, number, recording, onset, offset, name)
