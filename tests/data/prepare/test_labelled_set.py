"""Recordings with one label file each, of any format, become a set in DESED's layout."""

from __future__ import annotations

from pathlib import Path

import label_files
import numpy as np
import pytest
import soundfile

from sed.data.prepare.labelled_set import lay_out_set
from sed.data.tables import Event, read_events_tsv
from sed.errors import UserError

RATE = 2000
KNOWN = ["car", "people walking"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three recordings of 2, 2 and 5 s, and their label files: two of different formats, and an empty one."""
    for name, seconds in (("a.wav", 2), ("deep/b c.wav", 2), ("long.wav", 5)):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seconds).standard_normal(RATE * seconds)
        soundfile.write(tmp_path / "audio" / name, 0.1 * noise, RATE)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.ann").write_text("0.5\t1.25\tcar\n0.75\t2.0000000002\tcar\n")
    (tmp_path / "labels" / "b c.ann").touch()
    (tmp_path / "labels" / "long.ann").write_text("audio/street/long.wav\tstreet\t1.5\t4.5\tpeople walking\r\n")
    (tmp_path / "labels" / "a.jams").write_text("{}")  # of another suffix: not looked at
    return tmp_path


def lay_out(corpus: Path, **changes: object) -> dict[str, list[Event]]:
    options: dict = {"suffix": ".ann", "known": KNOWN, "seconds": 2.0, "jobs": 1} | changes
    lay_out_set(corpus / "audio", corpus / "labels", corpus / "clips", corpus / "set.tsv", **options)
    return read_events_tsv(corpus / "set.tsv")


def test_short_recordings_are_linked_and_long_ones_cut(corpus: Path) -> None:
    walking = "people walking"
    assert lay_out(corpus) == {
        "a": [Event(0.5, 1.25, "car"), Event(0.75, 2.0, "car")],
        "b_c": [],
        "long_0.000_2.000": [Event(1.5, 2.0, walking)],
        "long_2.000_4.000": [Event(0.0, 2.0, walking)],
        "long_4.000_5.000": [Event(0.0, 0.5, walking)],
    }
    assert (corpus / "clips" / "a.wav").resolve() == (corpus / "audio" / "a.wav").resolve()
    assert (corpus / "clips" / "b_c.wav").resolve() == (corpus / "audio" / "deep" / "b c.wav").resolve()
    whole, _ = soundfile.read(corpus / "audio" / "long.wav", dtype="int16")
    parts = sorted((corpus / "clips").glob("long_*.flac"))
    np.testing.assert_array_equal(np.concatenate([soundfile.read(part, dtype="int16")[0] for part in parts]), whole)


def test_a_set_is_laid_out_once_and_again_if_labels_change(corpus: Path, log_lines: list[str]) -> None:
    lay_out(corpus)
    log_lines.clear()
    lay_out(corpus)
    assert log_lines == [f"{corpus / 'set.tsv'}: there already"]
    (corpus / "labels" / "a.ann").write_text("0\t1\tcar\n")
    assert lay_out(corpus)["a"] == [Event(0, 1, "car")]


def test_a_set_is_laid_out_again_if_labels_move_to_the_next_recording(corpus: Path) -> None:
    """Once, it was not: the label files, read one after the other, had the same text as before."""
    before = lay_out(corpus)["a"]
    (corpus / "labels" / "a.ann").rename(corpus / "labels" / "b c.ann")
    (corpus / "labels" / "a.ann").touch()
    events = lay_out(corpus)
    assert (events["a"], events["b_c"]) == ([], before)


def test_a_set_is_laid_out_again_if_its_recordings_have_moved(corpus: Path) -> None:
    """Once, its links led nowhere, and the set was "there already"."""
    lay_out(corpus)
    (corpus / "audio").rename(corpus / "moved")
    lay_out_set(
        *(corpus / "moved", corpus / "labels", corpus / "clips", corpus / "set.tsv"),
        **{"suffix": ".ann", "known": KNOWN, "seconds": 2.0, "jobs": 1},
    )
    assert (corpus / "clips" / "a.wav").resolve() == (corpus / "moved" / "a.wav").resolve()


def test_a_set_is_laid_out_again_if_silent_recordings_are_added_or_renamed(corpus: Path) -> None:
    """Once, the set was not laid out again, since the label files of such recordings are empty."""
    lay_out(corpus)
    for folder, suffix in (("audio", "wav"), ("labels", "ann")):
        (corpus / folder / f"new.{suffix}").write_bytes((corpus / folder / f"a.{suffix}").read_bytes())
    (corpus / "labels" / "new.ann").write_bytes(b"")
    assert lay_out(corpus)["new"] == []
    for folder, suffix in (("audio", "wav"), ("labels", "ann")):
        (corpus / folder / f"new.{suffix}").rename(corpus / folder / f"renamed.{suffix}")
    found = lay_out(corpus)
    assert found["renamed"] == [] and "new" not in found


def test_a_blank_before_the_suffix_does_not_make_two_recordings_one(corpus: Path) -> None:
    """Once, the link of `a_.wav` replaced that of `a .wav`, whose events were lost."""
    for folder, suffix in (("audio", "wav"), ("labels", "ann")):
        data = (corpus / folder / f"a.{suffix}").read_bytes()
        (corpus / folder / f"a.{suffix}").rename(corpus / folder / f"a .{suffix}")
        (corpus / folder / f"a_.{suffix}").write_bytes(data)
    events = lay_out(corpus)
    assert len(events["a"]) == len(events["a_"]) == 2


def test_a_blank_label_file_is_a_recording_without_events(corpus: Path) -> None:
    """Once, it was refused here, though a folder of label files may have one (`sed.data.events`)."""
    (corpus / "labels" / "a.ann").write_text("\r\n")
    assert lay_out(corpus)["a"] == []


@pytest.mark.parametrize("name", label_files.FILES)
def test_label_files_of_all_formats_that_convert_reads_are_read(corpus: Path, name: str) -> None:
    """Once, DESED's own columns were refused."""
    soundfile.write(corpus / "audio" / "a.wav", np.full(RATE * 3, 0.1), RATE)  # the events end at 2.5 s
    label_files.write(corpus / "labels", "a.ann", label_files.FILES[name][1])
    found = lay_out(corpus, known=[label_files.DOG.label, label_files.CAT.label, *KNOWN], seconds=5.0)
    assert found["a"] == [label_files.DOG, label_files.CAT]


@pytest.mark.parametrize(
    "text",
    [
        "filename\tonset\toffset\tevent_label\ndeep/a.wav\t0.5\t1\tcar\n",
        "C:\\audio\\a.wav\t0.5\t1\tcar\n",
    ],
)
def test_a_recording_in_a_label_file_may_have_another_folder(corpus: Path, text: str) -> None:
    (corpus / "labels" / "a.ann").write_text(text)
    assert lay_out(corpus)["a"] == [Event(0.5, 1, "car")]


def test_label_files_in_a_linked_folder_are_read(corpus: Path) -> None:
    (corpus / "labels").rename(corpus / "elsewhere")
    (corpus / "labels").mkdir()
    (corpus / "labels" / "linked").symlink_to(corpus / "elsewhere")
    assert len(lay_out(corpus)["a"]) == 2


def test_a_list_chooses_the_recordings(corpus: Path) -> None:
    listed = corpus / "fold.txt"
    listed.write_bytes(b"audio/street/a.wav\tstreet\r\naudio/street/a.wav\tstreet\t0\t1\tcar\r\n")
    assert lay_out(corpus, listed=listed).keys() == {"a"}
    listed.write_text("audio/street/z.wav\tstreet\n")
    with pytest.raises(UserError, match=r"fold.txt:1: 'z' is not in .*audio \(is the corpus whole"):
        lay_out(corpus, listed=listed)
    listed.write_text("\n")
    with pytest.raises(UserError, match=r"fold.txt: names no recording"):
        lay_out(corpus, listed=listed)
    with pytest.raises(UserError, match=r"nowhere.txt: no such file"):
        lay_out(corpus, listed=corpus / "nowhere.txt")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("labels/a.ann", None, r"labels: no .ann file of 1 of 3 recordings, as 'a' \(is the corpus whole"),
        ("labels/z.ann", "0\t1\tcar\n", r"audio: no recording of 1 of 4 .ann files, as 'z'"),
        ("labels/a.ann", "0\t1\tbird\n", r"a.ann:1: label 'bird' is none of the corpus's \(car, people walking\)"),
        ("labels/a.ann", "0\t1\tcar\n2\t1\tcar\n", r"a.ann:2: onset 2 is not before offset 1"),
        ("labels/a.ann", "start end label\n", r"a.ann:1: no column 'filename'"),
        ("labels/a.ann", "audio/b.wav\tstreet\t0\t1\tcar\n", r"a.ann:1: labels of 'b' in the file of 'a'"),
        ("audio/deep/a.flac", "x", r"are both 'a'"),
        ("audio/b_c.wav", "x", r"audio/deep/b c.wav and .*audio/b_c.wav are both 'b_c'"),
    ],
)
def test_another_layout_is_refused_in_one_line(corpus: Path, file: str, text: str | None, message: str) -> None:
    if text is None:
        (corpus / file).unlink()
    else:
        (corpus / file).write_text(text)
    with pytest.raises(UserError, match=message) as refused:
        lay_out(corpus)
    assert "\n" not in str(refused.value)
    assert not (corpus / "set.tsv").exists()


def test_missing_folders_are_named(corpus: Path) -> None:
    for place in ("audio", "labels"):
        (corpus / place).rename(corpus / "elsewhere")
        with pytest.raises(UserError, match=rf"{place}: no such folder \(is the corpus whole"):
            lay_out(corpus)
        (corpus / "elsewhere").rename(corpus / place)
    (corpus / "labels").rename(corpus / "kept")
    for path in (corpus / "audio").rglob("*.wav"):
        path.unlink()
    (corpus / "labels").mkdir()
    with pytest.raises(UserError, match=r"audio: no recordings in it"):
        lay_out(corpus)


@pytest.mark.parametrize("clips", ["", "deep"])
def test_clips_are_not_laid_out_among_the_recordings(corpus: Path, clips: str) -> None:
    """A link would replace the recording that it leads to."""
    before = (corpus / "audio" / "a.wav").read_bytes()
    with pytest.raises(UserError, match="of which all recordings are read"):
        lay_out_set(corpus / "audio", corpus / "labels", corpus / "audio" / clips, corpus / "set.tsv", suffix=".ann")
    assert (corpus / "audio" / "a.wav").read_bytes() == before


def test_a_file_is_not_replaced_by_a_link(corpus: Path) -> None:
    (corpus / "clips").mkdir()
    (corpus / "clips" / "a.wav").write_bytes(b"another corpus's")
    with pytest.raises(UserError, match=r"clips/a\.wav: not a link"):
        lay_out(corpus)
    assert (corpus / "clips" / "a.wav").read_bytes() == b"another corpus's"
