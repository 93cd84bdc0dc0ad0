"""Long recordings cut into clips, and the annotators of their events."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.data.prepare.aggregation import Annotations
from sed.data.prepare.clips import (
    Columns,
    cut_recording,
    read_annotations,
    recording_of,
    spans,
    warn_of_late_events,
    window_events,
    window_name,
    within,
)
from sed.data.tables import Event
from sed.errors import UserError


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (10, [(0, 10)]),
        (24.5, [(0, 10), (10, 20), (20, 24.5)]),
        (20.9, [(0, 10), (10, 20)]),
        (0.5, [(0, 0.5)]),
        (3, [(0, 3)]),
    ],
)
def test_windows_cover_a_recording_but_for_a_rest_below_a_second(seconds, found):
    assert spans(seconds, 10) == found


def test_a_window_s_name_has_its_recording_and_span():
    for name in ("kitchen", "a_0.000_10.000", "2026-03-02"):
        assert recording_of(window_name(name, 10, 24.5)) == (name, 10.0, 24.5)
    for other in ("kitchen", "Y1_30_40", "kitchen_10.000_20.000.wav"):
        assert recording_of(other) is None


def test_events_are_assigned_to_windows():
    events = {"a": [Event(8, 21, "x"), Event(9.995, 12, "y"), Event(1, 2, "y")]}
    assert window_events(events, {"a": spans(22, 10), "b": spans(5, 10)}) == {
        "a_0.000_10.000": [Event(8, 10, "x"), Event(1, 2, "y")],
        "a_10.000_20.000": [Event(0, 10, "x"), Event(0, 2, "y")],
        "a_20.000_22.000": [Event(0, 1, "x")],
        "b_0.000_5.000": [],
    }


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40), st.sampled_from("xy")), max_size=6),
    st.integers(1, 60),
    st.sampled_from([3, 10]),
)
def test_a_window_s_events_are_the_parts_of_all_events_in_it(spans_of_events, seconds, hop):
    events = [Event(onset, onset + length, label) for onset, length, label in spans_of_events]
    windows = [(start, min(start + 10, seconds)) for start in range(0, seconds, hop)]
    assert list(window_events({"a": events}, {"a": windows}).values()) == [within(events, *one) for one in windows]


def test_a_day_of_events_is_cut_in_linear_time():
    events = [Event(onset, onset + 1.0, "x") for onset in range(0, 86_400, 4)]
    start = time.process_time()
    found = window_events({"a": events}, {"a": spans(86_400, 10)})
    assert sum(map(len, found.values())) == 21_600
    assert time.process_time() - start < 10  # a look at all events for each window took ten minutes


def test_events_too_short_for_a_clip_are_counted(log_lines):
    assert window_events({"a": [Event(1, 1.005, "click"), Event(2, 3, "x")]}, {"a": spans(5, 10)}) == {
        "a_0.000_5.000": [Event(2, 3, "x")]
    }
    assert log_lines == ["1 events shorter than 0.01 s left out, the first in a"]


def test_events_after_the_last_clip_are_counted(log_lines):
    found = {"a": spans(20.5, 10), "b": spans(8, 10)}
    warn_of_late_events({"a": [Event(1, 2, "x"), Event(19.98, 20.2, "x")], "b": []}, found)
    assert log_lines == []
    warn_of_late_events({"a": [Event(1, 2, "x"), Event(20.1, 20.4, "x")], "b": [Event(1500, 2500, "x")]}, found)
    assert len(log_lines) == 1 and log_lines[0].startswith("2 of 3 events left out, the first in a")


REALDESED = Columns(annotator="annotator_id", status="review_status")


def table(path: Path, *rows: str, header="filename,onset,offset,class,annotator_id,review_status") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_rows_are_kept_by_annotator_and_review(tmp_path):
    path = table(
        tmp_path / "a.csv",
        "r.wav,0,1,x,a,unreviewed",
        "r.wav,2,3,x,b,rejected",
        "r.wav,4,5,y,a,accepted",
        "s.wav,0,1,x,a,unreviewed",
        "s.wav,0,2,x,b,unreviewed",
        "s.wav,1,2,y,c,unreviewed",
        "t.wav,2,2,x,a,unreviewed",
        "t.wav,2,1,x,a,unreviewed",
        "t.wav,,,,a,unreviewed",
        "u.wav,0,1,x,a,rejected",
        "u.wav,0,1,x,b,rejected",
    )
    one, two = Event(0, 1, "x"), Event(0, 2, "x")
    assert read_annotations(path, REALDESED) == {
        "r.wav": Annotations({"a": [one]}, {"a": [Event(4, 5, "y")]}),
        "s.wav": Annotations({"a": [one], "b": [two], "c": [Event(1, 2, "y")]}),
        "t.wav": Annotations({"a": []}),
    }


def test_who_made_a_recording_is_known_by_a_column(tmp_path):
    header = "filename,onset,offset,class,annotator_id,annotator_is_creator"
    path = table(tmp_path / "a.csv", "r.wav,0,1,x,a,False", "r.wav,0,1,x,b,True", header=header)
    found = read_annotations(path, Columns(annotator="annotator_id", collector="annotator_is_creator"))
    assert found["r.wav"].collectors == {"b"}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("r.wav,0,1,x,a,perhaps", "a.csv:2: unknown review 'perhaps'"),
        ("r.wav,zero,1,x,a,", "a.csv:2: 'zero' to '1' are not times"),
        ("r.wav,-2,1,x,a,", "a.csv:2: broken event"),
        ("r.wav,0,nan,x,a,", "a.csv:2: broken event"),
        ("r.wav,0,1,,a,", "a.csv:2: broken event"),
        (",0,1,x,a,", "a.csv:2: no filename"),
        ("r.wav,0,1,Dog, barking,a,", "a.csv:2: more fields than columns"),
        ('r.wav,0,1,"x\ns.wav,0,1,x,a,', r"a.csv:3: a tab or a line end in class 'x\\ns.wav,0,1"),
        ('r.wav,0,1,x,a,"un\nreviewed', "a.csv:3: a tab or a line end in review_status"),
        ('"r.wav,0,1,x,a,\ns.wav,0,1,x,a,', "a.csv:3: a tab or a line end in filename"),
    ],
)
def test_broken_rows_name_the_line(tmp_path, row, words):
    with pytest.raises(UserError, match=words):
        read_annotations(table(tmp_path / "a.csv", row), REALDESED)


def test_an_unpaired_quotation_mark_gives_a_message_of_one_line(tmp_path):
    rows = ['"r.wav,0,1,x,a,', *("r.wav,0,1,x,a," for _ in range(10_000))]
    with pytest.raises(UserError, match=r"a\.csv:2: field larger than .* quotation mark") as error:
        read_annotations(table(tmp_path / "a.csv", *rows), REALDESED)
    assert "\n" not in str(error.value)


def test_an_unpaired_quotation_mark_in_the_header_gives_a_message_of_one_line(tmp_path):
    path = table(tmp_path / "a.csv", "r.wav,0,1,x", header='filename,onset,"offset,class')
    with pytest.raises(UserError, match=r"no column 'offset'") as error:
        read_annotations(path, Columns())
    assert "\n" not in str(error.value)


def test_the_message_about_an_unknown_layout_lists_the_columns(tmp_path):
    with pytest.raises(UserError, match=r"no column 'class' \(it has file, begin"):
        read_annotations(
            table(tmp_path / "a.csv", header="file,begin"), Columns(filename="file", onset="begin", offset="begin")
        )


def test_cutting_is_exact_and_keeps_existing_clips(tmp_path):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, size=(24 * 1000, 2), dtype=np.int16)
    soundfile.write(tmp_path / "r.wav", samples, 1000)
    (tmp_path / "out").mkdir()
    cut_recording(tmp_path / "r.wav", tmp_path / "out", name="r", window=10)
    parts = [soundfile.read(p, dtype="int16")[0] for p in sorted((tmp_path / "out").iterdir())]
    assert np.array_equal(np.concatenate(parts), samples)
    first = tmp_path / "out" / "r_0.000_10.000.flac"
    before = first.stat().st_mtime_ns
    (tmp_path / "out" / "r_10.000_20.000.flac").unlink()
    cut_recording(tmp_path / "r.wav", tmp_path / "out", name="r", window=10)
    assert (first.stat().st_mtime_ns, len(list((tmp_path / "out").iterdir()))) == (before, 3)


@pytest.mark.parametrize("hop", [None, 0.1, 0.3, 0.7])
def test_windows_of_the_least_length_are_all_cut(tmp_path, hop):
    """Rounding makes some of them just below 1 s long, as differences of seconds."""
    soundfile.write(tmp_path / "a.wav", np.zeros(8000 * 20 + 4000), 8000)
    found = cut_recording(tmp_path / "a.wav", tmp_path, name="a", window=1.0, hop=hop)
    starts = [i * (hop or 1) for i in range(1000) if i * (hop or 1) <= 19.5]
    assert [start for start, _ in found] == pytest.approx(starts)


def test_samples_beyond_full_scale_are_counted_once_and_when_they_are_written(tmp_path, log_lines):
    samples = np.zeros(20_000, np.float32)
    samples[[7000, 15_000]] = 2
    soundfile.write(tmp_path / "r.wav", samples, 1000, subtype="FLOAT")
    (tmp_path / "clips").mkdir()
    for _ in range(2):
        cut_recording(tmp_path / "r.wav", tmp_path / "clips", name="r", window=10, hop=2.5)
    assert log_lines == [f"{tmp_path / 'r.wav'}: 2 samples beyond full scale were clipped"]


def test_a_recording_that_has_changed_is_cut_again(tmp_path):
    (tmp_path / "out").mkdir()
    for value, older in ((0.25, 0), (0.5, 10), (0.125, 5)):  # a file that replaces another may be older, or newer
        soundfile.write(tmp_path / "r.wav", np.full(24_000, value), 1000)
        os.utime(tmp_path / "r.wav", (time.time() - older,) * 2)
        cut_recording(tmp_path / "r.wav", tmp_path / "out", name="r", window=10)
        assert {soundfile.read(path)[0][0] for path in (tmp_path / "out").iterdir()} == {value}
