"""Events of label files in the output formats of prediction; tables also name the recordings without events."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sed.data.recordings import shown
from sed.data.tables import Event
from sed.prediction.decisions import Detection
from sed.prediction.formats import Format
from sed.prediction.recording import Result
from sed.prediction.writers import FORMATS, check_formats, file_stems


def in_one_file(recordings: Mapping[str, Sequence[Event]], name: str) -> str:
    """Return all recordings' events as the text of one file.

    recordings: {recording: events}; name: name of the format, one of `FORMATS`.

    Raises:
        UserError: there are several recordings, and the format's files hold only one.
    """
    (format,) = check_formats([name], together=True, recordings=len(recordings), option="--to")
    return format.header(_labels(recordings)) + "".join(_body(format, *one) for one in recordings.items())


def one_file_each(recordings: Mapping[str, Sequence[Event]], name: str) -> dict[str, str]:
    """Return {name of the output file: text} with a file for each recording's events.

    recordings: {recording: events}; name: name of the format, one of `FORMATS`.
    """
    format, stems = FORMATS[name], file_stems(list(recordings))
    header = format.header(_labels(recordings))
    return {stems[one] + format.suffix: header + _body(format, one, events) for one, events in recordings.items()}


def _labels(recordings: Mapping[str, Sequence[Event]]) -> list[str]:
    return sorted({event.label for events in recordings.values() for event in events})


def _body(format: Format, name: str, events: Sequence[Event]) -> str:
    name = shown(name)
    detections = [Detection(event, math.nan) for event in sorted(events)]  # label files have no scores
    seconds = max((event.offset for event in events), default=0.0)  # at least; label files have no lengths either
    result = Result(name, seconds, detections)
    rows = "".join(format.event(name, detection) for detection in detections) or format.silent(name)
    return rows + format.end(result)
