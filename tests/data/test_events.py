"""Rules for the rows of event tables, alone and in three commands that apply them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import KIT, ROOT

from sed.data.events import BEYOND, CUT, EXCEEDING, NO_LENGTH, OVERLAPPING, TWICE, by_clip, fit, read_rows
from sed.data.labels import merge_events
from sed.data.tables import Event, read_durations_tsv
from sed.errors import UserError

HEADER = "filename\tonset\toffset\tevent_label\n"


def table(path: Path, *rows: str) -> Path:
    path.write_text(HEADER + "".join(f"{row}\n".replace(" ", "\t") for row in rows), encoding="utf-8")
    return path


def test_each_kind_is_dropped_or_cut_and_counted_with_its_first_line(tmp_path):
    rows = ["a.wav 1 2 dog", "a.wav 3 3 dog", "a.wav 3.0001 3.0003 dog", "a.wav 11 12 dog", "a.wav 9 10.4 dog"]
    rows += ["a.wav 9 10.005 cat", "a.wav 1 2 dog", "b.wav 9 99 dog", "gone.wav 1 2 dog", "b.wav nan nan nan"]
    path = table(tmp_path / "t.tsv", *rows)
    kept, tally = fit(path, read_rows(path), {"a": 10.0, "b": 10.0})
    assert by_clip(kept) == {
        "a": [Event(1, 2, "dog"), Event(9, 10, "dog"), Event(9, 10, "cat")],
        "b": [Event(9, 10, "dog")],
    }
    assert tally.events == 8 and tally.suspect == 4  # not that of line 6, which ends less than LONG beyond the end
    assert tally.found == {NO_LENGTH: (2, 3), BEYOND: (1, 5), CUT: (2, 6), TWICE: (1, 8)}
    assert f"{path}: 2 of 8 events {NO_LENGTH}, the first at line 3" in list(tally.lines())
    with pytest.raises(UserError, match=r"4 of 8 events do not fit their recordings.*in seconds\?.*--max-dropped"):
        tally.check(10)
    with pytest.raises(UserError) as refused:
        tally.check(10)
    assert TWICE not in str(refused.value)  # no reason for the refusal
    tally.check(50)


def test_an_event_that_begins_in_the_last_millisecond_is_beyond_the_end(tmp_path):
    path = table(tmp_path / "t.tsv", "a.wav 9.998 10.2 dog", "a.wav 9.9995 10.2 dog")
    kept, tally = fit(path, read_rows(path), {"a": 10.0})
    assert by_clip(kept) == {"a": [Event(9.998, 10, "dog")]} and tally.found == {CUT: (1, 2), BEYOND: (1, 3)}


def test_events_that_overlap_in_one_clip_and_label_are_counted_with_the_line_of_the_first(tmp_path):
    rows = ["a.wav 4 6 dog", "a.wav 1 5 dog", "a.wav 2 3 cat", "b.wav 1 5 dog", "a.wav 6 7 dog", "a.wav 2 3 dog"]
    path = table(tmp_path / "t.tsv", *rows)
    kept, tally = fit(path, read_rows(path), {"a": 10.0, "b": 10.0})
    assert len(kept) == 6 and tally.suspect == 0 and tally.found == {OVERLAPPING: (2, 2)}  # 1-5 with 2-3 and 4-6
    assert merge_events(by_clip(kept))[1] == 2
    for name, text in (("a", "1\t2\tdog\n"), ("b", "4\t6\tdog\n0\t1\tdog\n1\t5\tdog\n")):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "folder" / f"{name}.txt").write_text(text)
    _, tally = fit(tmp_path / "folder", read_rows(tmp_path / "folder"), {"a": 10.0, "b": 10.0})
    assert list(tally.lines()) == [f"{tmp_path / 'folder'}: 1 of 4 events {OVERLAPPING}, the first at line 1 of b.txt"]


def test_scoring_cuts_nothing(tmp_path):
    path = table(tmp_path / "t.tsv", "a.wav 9 99 dog")
    kept, tally = fit(path, read_rows(path), {"a": 10.0}, cut=False)
    assert by_clip(kept) == {"a": [Event(9, 99, "dog")]} and tally.found == {EXCEEDING: (1, 2)}
    assert "1 of 1 events ending beyond their recording's end kept as they are" in next(tally.lines())
    with pytest.raises(UserError, match=rf"1 of 1 events do not fit their recordings: 1 {EXCEEDING} \(line 2\)"):
        tally.check(10)


def test_rows_written_by_pandas_or_audacity_are_read(tmp_path):
    path = table(tmp_path / "t.tsv", "a.wav 1 2 dog", "\\ 100.0 2000.0", "b.wav nan nan nan", "c.wav NaN NaN ")
    assert by_clip(read_rows(path)) == {"a": [Event(1, 2, "dog")], "b": [], "c": []}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a.wav -0.01 2 dog", "onset -0.01 is negative"),
        ("a.wav 2 1 dog", "onset 2 is not before offset 1"),
        ("a.wav 1_0 20 dog", "onset '1_0' is not a number"),
        ("a.wav inf 20 dog", "onset 'inf' is not a number"),
        ("a.wav 1 nan dog", "offset 'nan' is not a number"),
        ("a.wav 1 2", "broken row"),
    ],
)
def test_unreadable_rows_are_refused_with_their_line(tmp_path, row, why):
    path = table(tmp_path / "t.tsv", "a.wav 1 2 dog", row)
    with pytest.raises(UserError, match=re.escape(f"{path}:3: {why}")):
        read_rows(path)


def test_label_files_of_one_name_in_two_folders_are_refused_unless_they_name_their_recordings(tmp_path):
    for day in ("day1", "day2"):
        (tmp_path / day).mkdir()
        table(tmp_path / day / "labels.tsv", f"{day}.wav 1 2 dog")
    assert by_clip(read_rows(tmp_path)) == {"day1": [Event(1, 2, "dog")], "day2": [Event(1, 2, "dog")]}
    for day in ("day1", "day2"):
        (tmp_path / day / "rec.txt").write_text("1\t2\tdog\n")
    with pytest.raises(UserError, match=r"day2/rec\.txt and .*day1/rec\.txt both have labels of recording 'rec'"):
        read_rows(tmp_path)


def test_two_recordings_of_one_name_are_refused(tmp_path):
    path = table(tmp_path / "t.tsv", "site1/rec.wav 1 2 dog", "site1/rec.wav 3 4 dog", "site2/rec.wav 1 2 dog")
    with pytest.raises(UserError, match=r"t\.tsv:4: site2/rec\.wav and site1/rec\.wav are both clip 'rec'"):
        read_rows(path)


@pytest.mark.thorough
@given(
    rows=st.lists(st.tuples(st.floats(0, 12), st.floats(0, 3)), min_size=1, max_size=20),
    end=st.floats(0.5, 12),
)
@settings(max_examples=200, deadline=None)
def test_rows_are_kept_or_dropped_and_kept_events_lie_inside(rows, end, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    path = table(folder / "p.tsv", *(f"a.wav {onset:.4f} {onset + length:.4f} x" for onset, length in rows))
    kept, tally = fit(path, read_rows(path), {"a": end})
    dropped = sum(count for kind, (count, _) in tally.found.items() if kind not in (CUT, OVERLAPPING))
    assert len(kept) + dropped == tally.events == len(rows)
    for row in kept:
        assert 0 <= row.event.onset < row.event.offset <= end


@pytest.mark.skipif(not (KIT / "desed_metadata").is_dir(), reason=f"no DESED metadata at {KIT} (set SED_KIT)")
def test_desed_validation_keeps_every_event():
    folder = KIT / "desed_metadata"
    kept, tally = fit(
        "x", read_rows(folder / "validation.tsv"), read_durations_tsv(folder / "validation_durations.tsv")
    )
    # of 4239 rows, 15 are of clips without events
    assert tally.events == 4224 == sum(row.event is not None for row in kept) and tally.suspect == 0


def random_row(rng: np.random.Generator, odd_share: float, negative_share: float) -> str:
    """Return a row of an event table: a plain event, with one probability an odd one, with another a negative onset."""
    onset = round(float(rng.uniform(0, 8)), 3)
    offset = round(onset + float(rng.uniform(0.1, 1.9)), 3)
    name, label = f"r{rng.integers(4)}.wav", "dog" if rng.random() < 0.5 else "cat"
    odd = [
        (onset, onset),
        (onset + 0.0001, onset + 0.0003),
        (onset + 10, offset + 10),
        (onset, 10.3),
        (onset, 10.004),
        (1000 * onset + 11000, 1000 * offset + 12000),
        ("nan", "nan"),
    ]
    if rng.random() < negative_share:
        return f"{name}\t-0.1\t1\t{label}"
    if rng.random() < odd_share:
        onset, offset = odd[rng.integers(len(odd))]
    return f"{name}\t{onset}\t{offset}\t{'nan' if onset == 'nan' else label}"


def verdicts(folder: Path, rows: list[str]) -> dict[str, tuple[int, str]]:
    """Return the exit status of own data, stage 1 and scoring for one table, and their messages about dropped rows."""
    (folder / "t.tsv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    (folder / "u.tsv").write_text("filename\tduration\n" + "".join(f"r{k}.wav\t10\n" for k in range(4)))
    (folder / "labels.txt").write_text("cat\ndog\n")
    commands = {
        "own_data": ["--events", "t.tsv", "--nj", "1", "rec", "own"],
        "make_data_dir": ["t.tsv", "rec", "dir", "--kind", "strong", "--labels", "labels.txt", "--nj", "1"],
        "score": ["t.tsv", "--ground-truth", "t.tsv", "--durations", "u.tsv", "--out", "out/r.json"],
    }
    commands["score"] += ["--no-report", "--bootstrap", "0", "--jobs", "1"]
    found = {}
    for name, arguments in commands.items():
        done = subprocess.run(
            [sys.executable, "-m", f"sed.bin.{name}", *arguments],
            cwd=folder, capture_output=True, text=True, check=False, env={"PATH": "", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        text = done.stderr.replace(EXCEEDING, CUT)  # scoring counts the events that the others cut, and keeps them
        said = sorted(re.findall(r"t\.tsv: (\d+ of \d+ events [^,]*), the first at line (\d+)", text))
        refused = re.findall(r"t\.tsv:? ?(\d+: [^(]*|\d+ of \d+ events do not fit[^(]*)", text.splitlines()[-1])
        found[name] = done.returncode, json.dumps([said, refused if done.returncode else []])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("odd_share", "negative_share", "status", "words"),
    [(0.08, 0.0, 0, CUT), (0.4, 0.0, 2, "do not fit"), (0.08, 0.01, 2, "is negative")],
    ids=["few odd rows", "many odd rows", "negative onsets"],
)
def test_own_data_stage_1_and_scoring_agree(tmp_path, odd_share, negative_share, status, words):
    rng = np.random.default_rng(0)
    (tmp_path / "rec").mkdir()
    for k in range(4):
        soundfile.write(tmp_path / "rec" / f"r{k}.wav", 0.1 * rng.standard_normal(10 * 2000), 2000)
    rows = [random_row(rng, odd_share, negative_share) for _ in range(500)]
    found = verdicts(tmp_path, rows)
    assert len(set(found.values())) == 1, found
    assert found["score"][0] == status and words in found["score"][1]


def test_a_text_among_label_files_that_is_none_is_to_be_moved_away(tmp_path):
    """Such as notes, or a recorder's settings: the message asked for columns, as if the text held labels."""
    (tmp_path / "a.txt").write_text("1.0\t2.0\tdog\n")
    (tmp_path / "notes.txt").write_text("Battery changed.\n")
    with pytest.raises(UserError, match=r"notes\.txt:1: no column .*; if it holds no labels, move it out of "):
        read_rows(tmp_path)
    with pytest.raises(UserError, match=r"notes\.txt:1: no column .* event_label\)$"):
        read_rows(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").write_text("filename\tonset\toffset\tevent_label\nb.wav\t2\t1\tdog\n")
    with pytest.raises(UserError, match=r"notes\.txt:2: onset 2 is not before offset 1 \(correct the row\)$"):
        read_rows(tmp_path)
