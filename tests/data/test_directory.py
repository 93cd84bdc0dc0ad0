import pytest

from sed.data.directory import (
    DataDir,
    Event,
    clip_id,
    read_events_tsv,
    read_labels,
    read_scp,
    read_tags_tsv,
    write_durations_tsv,
    write_events_tsv,
    write_scp,
    write_tags_tsv,
)
from sed.errors import UserError


def test_clip_id_drops_the_last_suffix_only():
    assert clip_id("Y00pbt6aJV8Y_350.000_360.000.wav") == "Y00pbt6aJV8Y_350.000_360.000"
    assert clip_id("audio/train/12.flac") == "12"
    assert clip_id("plain") == "plain"


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


def test_rows_without_an_event_name_a_clip(tmp_path):
    (tmp_path / "v.tsv").write_text(
        "filename\tonset\toffset\tevent_label\r\nx.wav\t\t\t\r\ny.wav\t0\t1\tDog\r\nz.wav\n"
    )
    assert read_events_tsv(tmp_path / "v.tsv") == {"x": [], "y": [Event(0.0, 1.0, "Dog")], "z": []}


def test_scp_is_written_in_c_order(tmp_path):
    write_scp(tmp_path / "s", {"a": "1", "B": "2", "é": "3", "-": "4"})
    assert list(read_scp(tmp_path / "s")) == ["-", "B", "a", "é"]


HEAD = "filename\tonset\toffset\tevent_label\n"


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
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog,,Cat\n", "tags.tsv:2: empty tag"),
        ("tags.tsv", "filename\tevent_labels\na.wav\tDog\n", "no row of clip 'Ab'"),
        ("wav.scp", "b x\na y\n", "wav.scp:2: 'a' is out of order"),
        ("wav.scp", "a x\na y\n", "wav.scp:2: clip 'a' comes twice"),
        ("wav.scp", "a\n", "wav.scp:1: no value"),
        ("wav.scp", "", "no clips"),
        ("wav.scp", b"\xff\xfe\x00", "not a text file"),
        ("durations.tsv", "filename\tduration\na.wav\tten\n", "durations.tsv:2: duration 'ten'"),
        ("durations.tsv", "filename\tduration\na.wav\t10\n", "no duration of clip 'Ab'"),
    ],
)
def test_bad_rows_are_named_by_file_and_line(data, name, text, says):
    (data / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        DataDir.load(data, ["Cat", "Dog"])


def test_missing_things_are_user_errors(tmp_path):
    for call in (lambda: DataDir.load(tmp_path / "no"), lambda: DataDir.load(tmp_path), lambda: read_labels(tmp_path)):
        with pytest.raises(UserError):
            call()
    (tmp_path / "labels.txt").write_text("Dog\nDog\n")
    with pytest.raises(UserError, match=":2: label 'Dog' comes twice"):
        read_labels(tmp_path / "labels.txt")


def test_tags_count_once(tmp_path):
    (tmp_path / "t.tsv").write_text("filename\tevent_labels\na.wav\tDog,Dog\n")
    assert read_tags_tsv(tmp_path / "t.tsv") == {"a": ("Dog",)}
