"""Exact text of events and frames in some formats; `test_conversion.py` reads back every format of events."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from sed.data.tables import Event, read_events_tsv
from sed.prediction.decisions import Detection
from sed.prediction.formats import Audacity, Format, JsonLines, PosteriorCsv, Raven, Tsv, WebVtt
from sed.prediction.recording import Result

DETECTIONS = [
    Detection(Event(0.0, 0.52, "Dog"), 0.87654),
    Detection(Event(3599.99, 3661.005, "<script> a&b --> c"), 0.5),
]


def events(format: Format, name: str, detections: list[Detection]) -> str:
    """Return the text of all events."""
    return "".join(format.event(name, detection) for detection in detections)


def test_tsv_reads_back(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(Tsv().header(["Dog"]) + events(Tsv(), "a/b/x.flac", DETECTIONS))
    assert read_events_tsv(tmp_path / "x.tsv") == {"x": [d.event for d in DETECTIONS]}


def test_json_lines_have_labels_and_rounded_scores() -> None:
    rows = [json.loads(line) for line in events(JsonLines(), "a/x.wav", DETECTIONS).splitlines()]
    assert rows[0] == {"filename": "a/x.wav", "onset": 0.0, "offset": 0.52, "label": "Dog", "score": 0.8765}
    assert [row["label"] for row in rows] == [d.event.label for d in DETECTIONS]


def test_audacity_labels_are_exact_and_webvtt_is_escaped() -> None:
    assert events(Audacity(), "x", DETECTIONS[:1]) == "0.000000\t0.520000\tDog\n"
    assert WebVtt().header([]) + events(WebVtt(), "x", DETECTIONS) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.520\nDog\n"
        "\n00:59:59.990 --> 01:01:01.005\n&lt;script&gt; a&amp;b --&gt; c\n"
    )


def test_posteriors_as_csv_quote_names_and_labels() -> None:
    labels, values = ["Dog", 'a,"b"'], np.array([[0.25, 1.0], [1e-9, 0.1234567]], np.float32)
    text = PosteriorCsv().header(labels) + PosteriorCsv().posteriors("a, b.wav", np.array([0.3, 0.31, 0.32]), values)
    assert list(csv.reader(text.splitlines())) == [
        ["filename", "onset", "offset", *labels],
        ["a, b.wav", "0.3", "0.31", "0.25", "1"],
        ["a, b.wav", "0.31", "0.32", "1e-09", "0.123457"],
    ]
    assert events(PosteriorCsv(), "x", DETECTIONS) == "" and text.count("\r") == 0


def test_selections_are_numbered_from_1_and_name_the_file_without_its_folder() -> None:
    rows = list(
        csv.DictReader(
            (Raven().header([]) + Raven().end(Result("a/x.wav", 1.0, DETECTIONS))).splitlines(), delimiter="\t"
        )
    )
    assert [row["Selection"] for row in rows] == ["1", "2"] and {row["Begin File"] for row in rows} == {"x.wav"}
    assert (rows[0]["Begin Time (s)"], rows[0]["End Time (s)"], rows[0]["Score"]) == ("0.000", "0.520", "0.8765")
