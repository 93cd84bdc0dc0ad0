"""Output formats of prediction: DESED's TSV, tables with scores, JSON lines, label files of other tools, subtitles.

A new format is a class that satisfies `Format`, and an entry in `writers.FORMATS`.
"""
# ruff: noqa: ARG002 (the interface has arguments that not every format needs)

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from sed.data.recorder_names import clock_time, start_of
from sed.data.tables import EVENT_COLUMNS, Event, event_row
from sed.prediction.decisions import Detection
from sed.prediction.recording import Result


class Format(Protocol):
    """A file format of predictions. Every method returns the text to append; formats keep no state."""

    suffix: str
    """suffix of the output files"""
    together: bool = True
    """whether one file may hold several recordings, with their names"""
    whole: bool = False
    """whether a file can be written only at a recording's end, so that live prediction refuses the format"""
    short: bool = False
    """whether `predict` writes the recordings' file names (`writers.table_names`), as in DESED's tables, instead of the
    paths given; `predict --watch` writes their paths within its folder, whatever the format"""

    def header(self, labels: Sequence[str]) -> str:
        """Begin a file."""
        return ""

    def posteriors(self, name: str, borders: np.ndarray, posteriors: np.ndarray) -> str:
        """Format frames.

        Args:
            name: name of the recording.
            borders: (n + 1,) borders of the frames in seconds.
            posteriors: (n, classes) frame posteriors.

        Returns:
            Lines of the file.
        """
        return ""

    def event(self, name: str, detection: Detection) -> str:
        """Format an event of recording `name`."""
        return ""

    def silent(self, name: str) -> str:
        """Format recording `name` as one without events; '' if the format cannot. For conversions, not predictions."""
        return ""

    def end(self, result: Result) -> str:
        """End a recording, after its last event."""
        return ""


class Tsv(Format):
    """DESED's table of events: filename, onset, offset, event_label."""

    suffix, short = ".tsv", True

    def header(self, labels: Sequence[str]) -> str:
        return "\t".join(EVENT_COLUMNS) + "\n"

    def event(self, name: str, detection: Detection) -> str:
        return "\t".join(event_row(name, detection.event)) + "\n"

    def silent(self, name: str) -> str:
        return f"{name}\t\t\t\n"


class JsonLines(Format):
    """One JSON object per event; its score is the mean posterior of the label over the event."""

    suffix = ".jsonl"

    def event(self, name: str, detection: Detection) -> str:
        fields = {
            "filename": name,
            **detection.event._asdict(),
            "score": None if math.isnan(detection.score) else round(detection.score, 4),
        }
        return json.dumps(fields, ensure_ascii=False) + "\n"

    def silent(self, name: str) -> str:
        return json.dumps({"filename": name, **dict.fromkeys((*Event._fields, "score"))}, ensure_ascii=False) + "\n"


class Audacity(Format):
    """An Audacity label track: onset, offset, label."""

    suffix, together = ".txt", False

    def event(self, name: str, detection: Detection) -> str:
        return "{:.6f}\t{:.6f}\t{}\n".format(*detection.event)


class PosteriorCsv(Format):
    """One row per frame with the posteriors of all labels, before post-processing; no events."""

    suffix = ".csv"

    def header(self, labels: Sequence[str]) -> str:
        return self._rows([["filename", "onset", "offset", *labels]])

    def posteriors(self, name: str, borders: np.ndarray, posteriors: np.ndarray) -> str:
        """Format frames, one line per frame.

        Args:
            name: name of the recording.
            borders: (n + 1,) borders of the frames in seconds.
            posteriors: (n, classes) frame posteriors.

        Returns:
            Lines of CSV.
        """
        times = [f"{time:.10g}" for time in borders.tolist()]
        numbers = ([f"{value:.6g}" for value in row] for row in posteriors.tolist())
        return self._rows([name, *frame, *row] for *frame, row in zip(times[:-1], times[1:], numbers, strict=True))

    def _rows(self, rows: Iterable[Sequence[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()


class EventTable(Format):
    """One row per event: path, times, label, score; times of day where a recorder's file name states its start."""

    def __init__(self, suffix: str, separator: str) -> None:
        self.suffix, self._separator = suffix, separator

    def header(self, labels: Sequence[str]) -> str:
        return self._row(["path", "onset", "offset", "event_label", "score", "start_time", "end_time"])

    def event(self, name: str, detection: Detection) -> str:
        onset, offset, label = detection.event
        begin = start_of(name)
        clock = ["", ""] if begin is None else [clock_time(begin, seconds) for seconds in (onset, offset)]
        return self._row([name, f"{onset:.3f}", f"{offset:.3f}", label, _score(detection), *clock])

    def silent(self, name: str) -> str:
        return self._row([name, *[""] * 6])

    def _row(self, fields: Sequence[str]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=self._separator, lineterminator="\n").writerow(fields)
        return text.getvalue()


class Raven(Format):
    """A Raven selection table of one recording.

    Raven's selections have a frequency band, which the model does not detect: all span 0 to 8000 Hz, the band of audio
    at 16 kHz, whatever the model's rate: the writer does not know it, and nobody reads it from these columns.
    """

    suffix, together, whole = ".Table.1.selections.txt", False, True
    columns = (
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)",
        "Begin File", "File Offset (s)", "Annotation", "Score",
    )  # fmt: skip

    def header(self, labels: Sequence[str]) -> str:
        return "\t".join(self.columns) + "\n"

    def end(self, result: Result) -> str:
        file = result.name.rsplit("/", 1)[-1]
        rows = []
        for number, detection in enumerate(result.detections, 1):
            event, score = detection.event, _score(detection)
            times = f"{event.onset:.3f}", f"{event.offset:.3f}"
            rows.append([str(number), "Spectrogram 1", "1", *times, "0", "8000", file, times[0], event.label, score])
        return "".join("\t".join(row) + "\n" for row in rows)


class TextGrid(Format):
    """Praat's TextGrid: an interval tier per label, with empty intervals between events.

    Events of one label that overlap are distributed over several tiers. Those without length, which label files may
    have, are on a tier of points.
    """

    suffix, together, whole = ".TextGrid", False, True

    def end(self, result: Result) -> str:
        events = [detection.event for detection in result.detections]
        longest = max([result.seconds, *(event.offset for event in events)])
        tiers = []
        for label in sorted({event.label for event in events}):
            spans = [event[:2] for event in events if event.label == label]
            groups = _apart(span for span in spans if span[0] < span[1])
            if points := sorted({span for span in spans if span[0] == span[1]}):
                groups.append(points)
            for count, group in enumerate(groups, 1):
                lines = self._points(label, group) if group is points else self._intervals(label, group, longest)
                name = self._quoted(label if count == 1 else f"{label} {count}")
                kind = "TextTier" if group is points else "IntervalTier"
                tiers.append([f'class = "{kind}"', f"name = {name}", "xmin = 0", f"xmax = {longest!r}", *lines])
        head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {longest!r}"]
        head += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
        for number, tier in enumerate(tiers, 1):
            head += [f"    item [{number}]:", *(f"        {line}" for line in tier)]
        return "\n".join(head) + "\n"

    def _intervals(self, label: str, spans: Sequence[tuple[float, float]], end: float) -> list[str]:
        intervals: list[tuple[float, float, str]] = []
        reached = 0.0
        for onset, offset in spans:
            intervals += [(reached, onset, "")] * (onset > reached) + [(onset, offset, label)]
            reached = offset
        intervals += [(reached, end, "")] * (end > reached)
        lines = [f"intervals: size = {len(intervals)}"]
        for number, (onset, offset, text) in enumerate(intervals, 1):
            lines += [f"intervals [{number}]:", f"    xmin = {onset!r}", f"    xmax = {offset!r}"]
            lines += [f"    text = {self._quoted(text)}"]
        return lines

    def _points(self, label: str, points: Sequence[tuple[float, float]]) -> list[str]:
        lines = [f"points: size = {len(points)}"]
        for number, (time, _) in enumerate(points, 1):
            lines += [f"points [{number}]:", f"    number = {time!r}", f"    mark = {self._quoted(label)}"]
        return lines

    def _quoted(self, text: str) -> str:
        doubled = text.replace('"', '""')
        return f'"{doubled}"'


class LabelStudio(Format):
    """A task with pre-annotations, to import into Label Studio and correct.

    Names are those of its template for sound events: `<Labels name="label" toName="audio">`, `value="$audio"`.
    """

    suffix, together, whole = ".json", False, True

    def end(self, result: Result) -> str:
        found = [self._region(detection) for detection in result.detections]
        prediction = {"model_version": "ast-sed", "result": found}
        task = {"data": {"audio": result.name}, "predictions": [prediction]}
        return json.dumps([task], ensure_ascii=False, indent=1) + "\n"

    def _region(self, detection: Detection) -> dict[str, object]:
        onset, offset, label = detection.event
        value = {"start": round(onset, 6), "end": round(offset, 6), "channel": 0, "labels": [label]}
        region: dict[str, object] = {"from_name": "label", "to_name": "audio", "type": "labels", "value": value}
        return region if math.isnan(detection.score) else {**region, "score": round(detection.score, 4)}


class SubRip(Format):
    """Subtitles for a player, as SubRip: numbered."""

    suffix, together, whole = ".srt", False, True

    def end(self, result: Result) -> str:
        cues = []
        for number, (event, _) in enumerate(result.detections, 1):
            times = (_clock(seconds).replace(".", ",") for seconds in (event.onset, event.offset))
            cues.append(f"{number}\n{' --> '.join(times)}\n{event.label}\n")
        return "\n".join(cues)


class WebVtt(Format):
    """Subtitles for a player, as WebVTT."""

    suffix, together = ".vtt", False

    def header(self, labels: Sequence[str]) -> str:
        return "WEBVTT\n"

    def event(self, name: str, detection: Detection) -> str:
        onset, offset, label = detection.event
        text = label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"\n{_clock(onset)} --> {_clock(offset)}\n{text}\n"


def _apart(spans: Iterable[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Distribute spans (onset, offset) over as few lists as possible without overlaps within a list, each in order."""
    lists: list[list[tuple[float, float]]] = []
    for span in sorted(spans):
        free = next((one for one in lists if one[-1][1] <= span[0]), None)
        if free is None:
            lists.append([span])
        else:
            free.append(span)
    return lists


def _score(detection: Detection) -> str:
    return "" if math.isnan(detection.score) else f"{detection.score:.4f}"


def _clock(seconds: float) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
