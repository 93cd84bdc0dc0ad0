import csv
import io
import os
import re

import numpy as np
import pytest
from paths import ROOT

from sed.data.tables import Event
from sed.errors import UserError
from sed.prediction.decisions import Detection
from sed.prediction.recording import Result
from sed.prediction.writers import FORMATS, FormatSink, check_formats, file_stems, table_names

DETECTIONS = [
    Detection(Event(0.0, 0.52, "Dog"), 0.87654),
    Detection(Event(3599.99, 3661.005, "<script> a&b --> c"), 0.5),
]


def test_posteriors_come_in_pieces_with_running_times():
    labels = ["Dog", 'a,"b"']
    file = io.StringIO(FORMATS["csv"].header(labels))
    file.seek(0, 2)
    sink = FormatSink(file, FORMATS["csv"], "x.wav", frame_seconds=0.01)
    values = np.random.default_rng(0).random((57, 2), np.float32)
    for part in (values[:20], values[20:21], values[21:]):
        sink.posteriors(part)
    sink.finish(Result("x.wav", 0.57, DETECTIONS))
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert rows[0] == ["filename", "onset", "offset", *labels] and len(rows) == 58
    assert [row[1] for row in rows[35:37]] == ["0.34", "0.35"]
    np.testing.assert_allclose(np.array([row[3:] for row in rows[1:]], float), values, rtol=1e-5)


def test_the_manual_says_of_which_tool_each_format_of_events_is():
    page = (ROOT / "docs/own-sounds.md").read_text(encoding="utf-8")
    rows = page.split("| tool | read | written by", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    written = [name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[3])]
    assert sorted(written) == sorted(FORMATS.keys() - {"csv"})  # csv holds posteriors


def test_live_posteriors_do_not_wait_for_a_full_buffer(tmp_path):
    with (tmp_path / "x.csv").open("w") as file:
        sink = FormatSink(file, FORMATS["csv"], "-", frame_seconds=0.01, live=True)
        sink.posteriors(np.zeros((1, 1), np.float32))
        assert (tmp_path / "x.csv").read_text() == "-,0,0.01,0\n"


def test_live_lines_are_written_at_once(tmp_path):
    with (tmp_path / "x.tsv").open("w") as file:
        sink = FormatSink(file, FORMATS["tsv"], "x.wav", frame_seconds=0.01, live=True)
        sink.detections(DETECTIONS[:1])
        assert (tmp_path / "x.tsv").read_text() == "x.wav\t0.000\t0.520\tDog\n"
        sink.finish(Result("x.wav", 1, DETECTIONS[:1]))
        assert (tmp_path / "x.tsv").read_text().count("\n") == 1


def test_formats_without_names_take_one_recording():
    assert check_formats(["tsv", "vtt", "tsv"], together=False, recordings=5) == [FORMATS["tsv"], FORMATS["vtt"]]
    assert check_formats(["vtt"], together=True, recordings=1) == [FORMATS["vtt"]]
    assert check_formats(["csv"], together=True, recordings=2) == [FORMATS["csv"]]
    for formats, says in (
        (["audacity"], "no room for file names"),
        (["tsv", "csv"], "several formats"),
        (["x"], "tsv"),
    ):
        with pytest.raises(UserError, match=says):
            check_formats(formats, together=True, recordings=2)


def test_outputs_do_not_collide():
    assert file_stems(["a/x.wav", "a/y.wav", "-"]) == {"a/x.wav": "x", "a/y.wav": "y", "-": "stdin"}
    assert file_stems(["-", "stdin.wav"]) == {"-": "stdin", "stdin.wav": "stdin.wav"}
    assert set(file_stems(["a/x.wav", "a/x.flac"]).values()) == {"x.wav", "x.flac"}
    assert set(file_stems(["a/x.wav", "b/x.wav"]).values()) == {"a_x.wav", "b_x.wav"}
    assert set(file_stems(["/data/a/x.wav", "/data/b/c/x.wav"]).values()) == {"a_x.wav", "b_c_x.wav"}
    assert set(file_stems(["a_b/x.wav", "a/b/x.wav"]).values()) == {"a_b_x.wav", "a_b_x.wav (2)"}
    assert set(file_stems(["a/x.wav", "a/X.wav"]).values()) == {"x.wav", "X.wav (2)"}  # one file, on some systems
    assert file_stems(["tab\there.wav", "latin\udcfc.wav"]) == {
        "tab\there.wav": "tab\\there",
        "latin\udcfc.wav": "latin\\udcfc",
    }


def test_only_a_suffix_of_audio_is_left_out_of_the_names_of_output_files():
    """Label files name recordings without one; `_360.000` was shortened to `_360`, which names no recording."""
    names = ["Yx_350.000_360.000", "a/Yy_1.000_2.000.FLAC", "v1.2"]
    assert list(file_stems(names).values()) == ["Yx_350.000_360.000", "Yy_1.000_2.000", "v1.2"]
    both = ["Yx_0.000_1.000", "Yx_0.000_1.000.wav"]
    assert list(file_stems(both).values()) == both


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/x.wav", "b/y.wav", "-"], ["x.wav", "y.wav", "-"]),
        (["rec/site1/x.wav", "rec/site2/x.wav", "rec/site2/y.wav"], ["site1/x.wav", "site2/x.wav", "y.wav"]),
        (["/d/x.wav", "/d/deep/x.wav"], ["x.wav", "deep/x.wav"]),
        (["1/a/x.wav", "2/a/x.wav", "3/y.wav", "4/y.wav"], ["1/a/x.wav", "2/a/x.wav", "3/y.wav", "4/y.wav"]),
        (["./a/x.wav", "a/../b/x.wav"], ["a/x.wav", "b/x.wav"]),
        (["e\u0301.wav", "\xe9.wav"], ["\xe9.wav", "\xe9.wav (2)"]),  # two files, of one name to every reader
        (["a\tb.wav", "a\nb.wav", "k\udcfcche.wav"], ["a\\tb.wav", "a\\nb.wav", "k\\udcfcche.wav"]),
        (["1/a\tb.wav", "2/a\tb.wav"], ["1/a\\tb.wav", "2/a\\tb.wav"]),
    ],
)
def test_names_in_tables_are_short_where_they_are_unique(names, expected):
    assert list(table_names(names).values()) == expected


@pytest.mark.parametrize("form", [table_names, file_stems])
def test_the_common_folder_of_recordings_of_one_name_is_found_once(form, monkeypatch):
    """Finding it for each of 4000 recordings took a minute."""
    found, commonpath = [], os.path.commonpath
    monkeypatch.setattr(os.path, "commonpath", lambda paths: found.append(paths) or commonpath(paths))
    assert len(set(form([f"site{number}/audio.wav" for number in range(9)]).values())) == 9
    assert len(found) == 1


class Cues:
    """A format with a text at the start, for frames, for events, and at the end."""

    suffix, together = ".cue", False

    def header(self, labels):
        return f"LABELS {len(labels)}\n"

    def posteriors(self, _name, borders, _posteriors):
        return f"FRAMES {borders[0]:g} {borders[-1]:g}\n"

    def event(self, name, detection):
        return f"INDEX {name} {detection.event.label}\n"

    def end(self, result):
        return f"END {result.name} {result.seconds:g} {len(result.detections)}\n"


def test_a_format_gets_frames_events_and_the_end_in_order():
    file = io.StringIO()
    sink = FormatSink(file, Cues(), "x.wav", frame_seconds=0.5)
    for frames in (2, 3):
        sink.posteriors(np.zeros((frames, 1), np.float32))
    sink.detections(DETECTIONS[:1])  # not live: at the end, all of them
    sink.finish(Result("x.wav", 2.5, DETECTIONS))
    events = "".join(f"INDEX x.wav {detection.event.label}\n" for detection in DETECTIONS)
    assert file.getvalue() == f"FRAMES 0 1\nFRAMES 1 2.5\n{events}END x.wav 2.5 2\n"
