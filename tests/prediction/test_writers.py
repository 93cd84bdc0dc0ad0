import csv
import io
import json

import numpy as np
import pytest

from sed.data.tables import Event, read_events_tsv
from sed.errors import UserError
from sed.prediction.decisions import Detection
from sed.prediction.recording import Result
from sed.prediction.writers import FormatSink, check_together, file_stems, header, lines

DETECTIONS = [
    Detection(Event(0.0, 0.52, "Dog"), 0.87654),
    Detection(Event(3599.99, 3661.005, "<script> a&b --> c"), 0.5),
]


def test_tsv_reads_back(tmp_path):
    (tmp_path / "x.tsv").write_text(header("tsv", ["Dog"]) + lines("tsv", "a/b/x.flac", DETECTIONS))
    assert read_events_tsv(tmp_path / "x.tsv") == {"x": [d.event for d in DETECTIONS]}


def test_json_lines():
    rows = [json.loads(line) for line in lines("jsonl", "a/x.wav", DETECTIONS).splitlines()]
    assert rows[0] == {"filename": "a/x.wav", "onset": 0.0, "offset": 0.52, "label": "Dog", "score": 0.8765}
    assert [row["label"] for row in rows] == [d.event.label for d in DETECTIONS]


def test_audacity_and_webvtt():
    assert lines("audacity", "x", DETECTIONS[:1]) == "0.000000\t0.520000\tDog\n"
    text = header("vtt", []) + lines("vtt", "x", DETECTIONS)
    assert text == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.520\nDog\n"
        "\n00:59:59.990 --> 01:01:01.005\n&lt;script&gt; a&amp;b --&gt; c\n"
    )


def test_posteriors_come_in_pieces_with_running_times():
    labels = ["Dog", 'a,"b"']
    file = io.StringIO(header("csv", labels))
    file.seek(0, 2)
    sink = FormatSink(file, "csv", "x.wav", frame_seconds=0.01)
    values = np.random.default_rng(0).random((57, 2), np.float32)
    for part in (values[:20], values[20:21], values[21:]):
        sink.posteriors(part)
    sink.finish(Result("x.wav", 0.57, DETECTIONS))
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert rows[0] == ["filename", "onset", "offset", *labels] and len(rows) == 58
    assert [row[1] for row in rows[35:37]] == ["0.34", "0.35"]
    np.testing.assert_allclose(np.array([row[3:] for row in rows[1:]], float), values, rtol=1e-5)


def test_live_lines_are_written_at_once():
    file = io.StringIO()
    sink = FormatSink(file, "tsv", "x.wav", frame_seconds=0.01, live=True)
    sink.detections(DETECTIONS[:1])
    assert file.getvalue() == "x.wav\t0.000\t0.520\tDog\n"
    sink.finish(Result("x.wav", 1, DETECTIONS[:1]))
    assert file.getvalue().count("\n") == 1


def test_formats_without_names_take_one_recording():
    check_together("tsv", 5)
    check_together("vtt", 1)
    with pytest.raises(UserError, match="--out-dir"):
        check_together("audacity", 2)


def test_outputs_do_not_collide():
    assert file_stems(["a/x.wav", "a/y.wav", "-"]) == {"a/x.wav": "x", "a/y.wav": "y", "-": "stdin"}
    assert set(file_stems(["a/x.wav", "a/x.flac"]).values()) == {"x.wav", "x.flac"}
    assert set(file_stems(["a/x.wav", "b/x.wav"]).values()) == {"a_x.wav", "b_x.wav"}
