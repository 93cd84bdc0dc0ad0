import re
from pathlib import Path

import pytest

from sed.data.directory import DataDir, read_labels, read_scp, read_set_labels, write_scp
from sed.data.soft_events import SoftEvent, write_soft_tsv
from sed.data.tables import (
    DATA_DIR,
    Event,
    write_durations_tsv,
    write_events_tsv,
    write_tags_tsv,
)
from sed.errors import UserError


@pytest.fixture
def data(tmp_path):
    (tmp_path / "wav.scp").write_text("Ab /x/Ab.wav\na /x/a b.wav\nb /x/b.flac\n")
    write_durations_tsv(tmp_path / "durations.tsv", {"a": 10.0, "b": 9.5, "Ab": 10.0})
    write_events_tsv(tmp_path / "events.tsv", {"a": [Event(0.5, 1.0, "Dog"), Event(0.0, 10.0, "Cat")], "b": []})
    write_tags_tsv(tmp_path / "tags.tsv", {"a": ("Dog", "Cat"), "b": (), "Ab": ("Dog",)})
    return tmp_path


def test_load_gives_every_clip_a_list_of_events_in_order(data):
    found = DataDir.load(data, ["Cat", "Dog"])
    assert found.clips == ["Ab", "a", "b"]  # C order
    assert found.wavs["a"] == "/x/a b.wav"
    assert found.events == {"Ab": [], "a": [Event(0.0, 10.0, "Cat"), Event(0.5, 1.0, "Dog")], "b": []}
    assert found.tags == {"Ab": ("Dog",), "a": ("Dog", "Cat"), "b": ()}
    assert found.durations["b"] == 9.5


def test_scp_is_written_in_c_order(tmp_path):
    write_scp(tmp_path / "s", {"a": "1", "B": "2", "é": "3", "-": "4"})
    assert list(read_scp(tmp_path / "s")) == ["-", "B", "a", "é"]


def test_soft_labels_of_a_set_are_read_for_every_clip(data):
    soft = [SoftEvent(0.0, 1.0, "Dog", 0.5), SoftEvent(0.5, 2.0, "Cat", 1.0), SoftEvent(1.0, 1.5, "Dog", 0.25)]
    write_soft_tsv(data / "soft.tsv", {"a": soft})
    assert DataDir.load(data, ["Cat", "Dog"]).soft == {"Ab": [], "a": soft, "b": []}


HEAD = "filename\tonset\toffset\tevent_label\n"
SOFT = "filename\tonset\toffset\tevent_label\tshare\n"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("events.tsv", HEAD + "a.wav\t0\t1\tBird\n", "events.tsv:2: unknown label 'Bird'"),
        ("events.tsv", HEAD + "a.wav\t2\t1\tDog\n", "events.tsv:2: onset 2 is not before"),
        ("events.tsv", HEAD + "a.wav\t0\t1\tDog\na.wav\t-1\t1\tDog\n", "events.tsv:3: onset"),
        ("events.tsv", HEAD + "a.wav\t0\tnan\tDog\n", "events.tsv:2: offset 'nan'"),
        ("events.tsv", HEAD + "a.wav\t0\t11\tDog\n", "events.tsv:2: offset 11 is beyond"),
        ("events.tsv", HEAD + "a.wav\t0\t\tDog\n", "events.tsv:2: broken row"),
        ("events.tsv", HEAD + "q.wav\t0\t1\tDog\n", "events.tsv:2: clip 'q' is not in wav.scp"),
        ("events.tsv", HEAD + "a.wav\t0\t1\tDog\textra\n", "events.tsv:2: 5 fields"),
        ("events.tsv", "file onset\n", "events.tsv:1: no column 'filename'"),
        ("soft.tsv", SOFT + "a.wav\t0\t1\tBird\t1\n", "soft.tsv:2: unknown label 'Bird'"),
        ("soft.tsv", SOFT + "a.wav\t0\t11\tDog\t1\n", "soft.tsv:2: offset 11 is beyond"),
        ("soft.tsv", SOFT + "q.wav\t0\t1\tDog\t1\n", "soft.tsv:2: clip 'q' is not in wav.scp"),
        ("soft.tsv", SOFT + "a.wav\t0\t1\tDog\t2\n", "soft.tsv:2: share 2 is not above 0"),
        (
            "soft.tsv",
            SOFT + "a.wav\t0\t2\tDog\t1\na.wav\t1\t3\tDog\t0.5\n",
            "soft.tsv:3: it overlaps the span of 'Dog'",
        ),
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog,,Cat\n", "tags.tsv:2: empty tag"),
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog\n", "no row of clip 'Ab'"),
        ("wav.scp", "b x\na y\n", "wav.scp:2: 'a' is out of order"),
        ("wav.scp", "a x\na y\n", "wav.scp:2: clip 'a' comes twice"),
        ("wav.scp", "a\n", "wav.scp:1: no value"),
        ("wav.scp", "", "no clips"),
        ("wav.scp", b"\xff\xfe\x00", "not a text file"),
        ("durations.tsv", "filename\tduration\na.wav\tten\n", "durations.tsv:2: duration 'ten'"),
        ("durations.tsv", "filename\tduration\na.wav\t10\n", "durations.tsv: no row of clip 'Ab'"),
        ("events.tsv", HEAD + "a.wav\t1\t1.0\tDog\n", "events.tsv:2: onset 1 is not before offset 1.0"),
        ("events.tsv", HEAD + "a.wav\t1\t10.003\tDog\n", "events.tsv:2: offset 10.003 is beyond the clip's 10 s"),
        ("events.tsv", HEAD + "a.wav\tx\t2\tDog\n", "events.tsv:2: onset 'x' is not a number"),
        ("events.tsv", HEAD + "a.wav\t1_0\t11\tDog\n", "events.tsv:2: onset '1_0' is not a number"),
        ("events.tsv", HEAD + "a.wav\t0\t1e999\tDog\n", "events.tsv:2: offset '1e999' is not a number"),
        ("events.tsv", HEAD + "a.wav\t1\t2\n", "events.tsv:2: broken row"),
        ("events.tsv", HEAD + "a.wav\t1\t2\tDog \n", "events.tsv:2: blanks around a field"),
        ("events.tsv", HEAD + "a.wav\t1\t2\tDog\r\n", "events.tsv:2: the line ends in a carriage return"),
        ("events.tsv", "\n" + HEAD, "events.tsv:1: no column 'filename'"),
        ("events.tsv", HEAD.replace("offset", "onset\toffset"), "events.tsv:1: column 'onset' comes twice"),
        ("events.tsv", HEAD.replace("event_label", "label"), "events.tsv:1: no column 'event_label'"),
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog,Bird\n", "tags.tsv:2: unknown label 'Bird'"),
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog\na.flac\tCat\n", "tags.tsv:3: clip 'a' comes twice"),
        ("wav.scp", "a a.wav\na\tb.wav\n", "wav.scp:2: no value after 'a\tb.wav'"),
        ("wav.scp", "a a.wav\r\n", "wav.scp:1: the line ends in a carriage return"),
        ("wav.scp", "Ab b.wav\na a.wav\n\n", "wav.scp:3: a blank line"),
        ("wav.scp", "Ab b.wav\n \na a.wav\n", "wav.scp:2: a blank line"),
        ("wav.scp", " Ab b.wav\na a.wav\n", "wav.scp:1: a blank line, or a blank before the id"),
        ("wav.scp", b"\xef\xbb\xbfAb b.wav\na a.wav\n", "wav.scp:1: a byte order mark before the id"),
        ("durations.tsv", "filename\tduration\na.wav\t10\na.wav\t10\n", "durations.tsv:3: clip 'a' comes twice"),
        ("durations.tsv", "filename\tduration\na.wav\t0\n", "durations.tsv:2: duration 0 is not positive"),
        ("durations.tsv", "filename\tduration\nq.wav\t1\n", "durations.tsv:2: clip 'q' is not in wav.scp"),
        ("durations.tsv", "", "durations.tsv:1: no column 'filename'"),
    ],
)
def test_bad_tables_are_named_with_what_is_wrong(data, name, text, says):
    (data / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=re.escape(says)):
        DataDir.load(data, ["Cat", "Dog"])


@pytest.mark.parametrize("name", ["events.tsv", "tags.tsv", "soft.tsv"])
def test_a_link_to_missing_annotations_is_not_taken_for_a_set_without_any(data: Path, name: str) -> None:
    (data / name).unlink(missing_ok=True)
    (data / name).symlink_to("gone.tsv")
    with pytest.raises(UserError, match=f"{name}: a link to a file that does not exist: gone.tsv"):
        DataDir.load(data, ["Cat", "Dog"])


def test_missing_files_and_folders_are_user_errors(tmp_path):
    for call in (lambda: DataDir.load(tmp_path / "no"), lambda: DataDir.load(tmp_path), lambda: read_labels(tmp_path)):
        with pytest.raises(UserError):
            call()
    (tmp_path / "labels.txt").write_text("Dog\nDog\n")
    with pytest.raises(UserError, match=":2: label 'Dog' comes twice"):
        read_labels(tmp_path / "labels.txt")


def test_offsets_may_be_2_ms_beyond_the_clip_and_columns_in_any_order(data: Path) -> None:
    (data / "events.tsv").write_text("event_label\tfilename\toffset\tonset\tmore\nDog\ta.wav\t10.002\t1\tx\n")
    assert DataDir.load(data, ["Dog", "Cat"]).events["a"] == [Event(1.0, 10.002, "Dog")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "labels.txt: no labels"),
        ("\n \n", "labels.txt: no labels"),
        ("Cat\n\nCat\n", "labels.txt:3: label 'Cat' comes twice"),
        ("Cat,Dog\n", "labels.txt:1: label 'Cat,Dog' holds a comma"),
        ("Cat\t\n", "labels.txt:1: label 'Cat' holds a comma or a tab"),
        ("Cat\nDog\r\n", "labels.txt:2: the line ends in a carriage return"),
    ],
)
def test_a_broken_list_of_labels_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "labels.txt").write_bytes(text.encode())
    with pytest.raises(UserError, match=re.escape(says)):
        read_labels(tmp_path / "labels.txt", DATA_DIR)


def test_labels_that_a_user_gives_may_end_in_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes(b" Cat \r\n\r\nAlarm bell\r\n")
    assert read_labels(tmp_path / "labels.txt") == ["Cat", "Alarm bell"]


def test_labels_of_a_set_are_its_own_or_those_of_the_folder_above(tmp_path: Path) -> None:
    (tmp_path / "weak").mkdir()
    (tmp_path / "labels.txt").write_text("Cat\nDog\n")
    assert read_set_labels(tmp_path / "weak") == ["Cat", "Dog"]
    (tmp_path / "weak" / "labels.txt").write_text("Dog\n")
    assert read_set_labels(tmp_path / "weak") == ["Dog"]


def test_missing_audio_is_named_by_its_line(data: Path) -> None:
    (data / "a b.wav").touch()
    scp = f"Ab {data / 'a b.wav'}\na {data / 'a b.wav'}\nb {data}\n"
    (data / "wav.scp").write_text(scp)
    with pytest.raises(UserError, match=re.escape(f"wav.scp:3: b: no such audio file: {data} ")):
        DataDir.load(data, ["Cat", "Dog"]).check_audio()  # a folder is not a file
    (data / "wav.scp").write_text(scp.replace(f"b {data}\n", f"b {data / 'a b.wav'}\n"))
    DataDir.load(data, ["Cat", "Dog"]).check_audio()


def test_audio_that_may_not_be_read_is_not_said_to_be_missing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = data / "a b.wav"
    wav.touch()
    (data / "wav.scp").write_text(f"Ab {wav}\na {wav}\nb {wav}\n")
    monkeypatch.setattr("os.access", lambda _path, _mode: False)  # root may read any file
    with pytest.raises(UserError, match=re.escape(f"wav.scp:1: Ab: permission denied: {wav} (")):
        DataDir.load(data, ["Cat", "Dog"]).check_audio()


def test_a_clip_id_that_is_not_utf_8_is_named(tmp_path):
    (tmp_path / "wav.scp").write_bytes(b"k\xfcche /audio/k\xfcche.wav\n")
    with pytest.raises(UserError, match=r"wav.scp:1: clip 'k\\udcfcche' is not UTF-8 \(rename it\)$"):
        read_scp(tmp_path / "wav.scp")
