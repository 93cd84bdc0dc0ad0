import numpy as np
import paths
import pytest
import soundfile

from sed.data.audio import inspect
from sed.data.directory import DataDir
from sed.data.prepare import data_directory
from sed.data.prepare.data_directory import find_audio, make_data_dir, read_annotation
from sed.data.soft_events import SoftEvent, write_soft_tsv
from sed.data.tables import Event, read_durations_tsv, tsv_rows
from sed.errors import UserError

KIT = paths.KIT / "desed_metadata"
LABELS = ["Cat", "Dog"]
DESED = [
    "Alarm_bell_ringing", "Blender", "Cat", "Dishes", "Dog", "Electric_shaver_toothbrush", "Frying", "Running_water",
    "Speech", "Vacuum_cleaner",
]  # fmt: skip
HEAD = "filename\tonset\toffset\tevent_label\n"


def put(path, seconds=10.0, value=0.1, rate=1000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(int(seconds * rate), value, np.float32), rate)


@pytest.fixture
def raw(tmp_path):
    for name in "abcd":
        put(tmp_path / "audio" / f"{name}.wav")
    rows = (
        "a.wav\t0\t3\tDog\na.wav\t2\t5\tDog\na.wav\t1\t12\tCat\nb.wav\t\t\t\nc.wav\t10.5\t11\tDog\ne.wav\t0\t1\tCat\n"
    )
    (tmp_path / "strong.tsv").write_text(HEAD + rows)
    return tmp_path


def coverage(path):
    columns = ("set", "class", "clips", "clips_expected", "events", "events_expected")
    return {row[1]: list(map(int, row[2:])) for _, row in tsv_rows(path / "coverage.tsv", columns)}


def strong(raw, out="out", **options):
    options = {"kind": "strong", "max_dropped": 100, **options}  # two of four events end beyond their clips
    make_data_dir(raw / "strong.tsv", raw / "audio", raw / out, labels=LABELS, **options)
    return DataDir.load(raw / out, LABELS)


def test_events_are_merged_and_cut_at_the_clip(raw):
    found = strong(raw)
    assert found.clips == ["a", "b", "c"]  # d is not annotated, e has no audio
    assert found.events == {"a": [Event(0, 5, "Dog"), Event(1, 10, "Cat")], "b": [], "c": []}
    assert coverage(raw / "out") == {"all": [3, 4, 4, 5], "Cat": [1, 2, 1, 2], "Dog": [2, 2, 3, 3]}


def test_soft_labels_are_kept_of_clips_with_audio_and_removed_with_their_table(raw):
    soft = {"a": [SoftEvent(1, 12, "Dog", 0.25)], "e": [SoftEvent(0, 1, "Cat", 1)]}
    write_soft_tsv(raw / "strong.soft.tsv", soft)
    assert strong(raw, soft=raw / "strong.soft.tsv").soft == {"a": [SoftEvent(1, 10, "Dog", 0.25)], "b": [], "c": []}
    assert strong(raw).soft is None
    write_soft_tsv(raw / "strong.soft.tsv", {"a": [SoftEvent(1, 2, "Bird", 1)]})
    (raw / "strong.tsv").write_text(HEAD + "a.wav\t0\t1\tDog\n")
    before = {path.name: path.read_bytes() for path in (raw / "out").iterdir()}
    with pytest.raises(UserError, match=r"strong\.soft\.tsv:2: unknown label 'Bird'"):
        strong(raw, soft=raw / "strong.soft.tsv")
    write_soft_tsv(raw / "strong.soft.tsv", {"a": [SoftEvent(1, 2, "Dog", 1)], "z": [SoftEvent(1, 2, "Dog", 1)]})
    with pytest.raises(UserError, match=r"strong\.soft\.tsv:3: clip 'z' is not in .*strong\.tsv"):
        strong(raw, soft=raw / "strong.soft.tsv")
    with pytest.raises(UserError, match="only with --kind strong, not unlabelled"):
        strong(raw, soft=raw / "strong.soft.tsv", kind="unlabelled")
    assert before == {path.name: path.read_bytes() for path in (raw / "out").iterdir()}  # not half of another set


def test_events_that_do_not_fit_are_counted_and_too_many_refused(raw, caplog):
    with caplog.at_level("WARNING", logger="sed.prepare"):
        strong(raw)
    assert "1 of 4 events beyond their recording's end dropped, the first at line 6" in caplog.text
    with pytest.raises(UserError, match=r"strong\.tsv: 2 of 4 events do not fit their recordings"):
        strong(raw, max_dropped=10)


def test_bad_audio_is_left_out_and_listed(raw):
    put(raw / "audio" / "a.wav", value=0)
    with pytest.raises(UserError, match="1 of 3 files are bad"):
        strong(raw)
    assert not (raw / "out" / "wav.scp").exists()
    assert strong(raw, max_bad=40).clips == ["b", "c"]
    assert (raw / "out" / "bad_audio.tsv").read_text() == "filename\treason\na.wav\tsilent\n"


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("a.wav", lambda p: p.write_bytes(b""), "empty file"),
        ("a.wav", lambda p: p.write_bytes(p.read_bytes()[:999]), "truncated"),
        ("a.wav", lambda p: p.write_text("<html>" * 99), "not audio"),
        ("a.wav", lambda p: soundfile.write(p, np.array([np.nan]), 16000, subtype="FLOAT"), "not finite"),
        ("a.wav", lambda p: put(p, 0.05), "too short"),
        ("a.wav", lambda p: put(p, 61), "too long"),
        ("Yx_30.000_40.000.wav", lambda p: put(p, 5), "wrong duration: 5.000 s, 10 s by its name"),
        ("Yx_30_40.wav", lambda p: put(p, 15), "wrong duration"),
        ("t.wav", lambda p: put(p, 9), "wrong duration: 9.000 s, 10 s in the metadata"),
    ],
)
def test_a_bad_recording_is_listed_with_its_reason(raw, name, make, reason):
    make(raw / "audio" / name)
    (raw / "strong.tsv").write_text(HEAD + f"{name}\t0\t1\tDog\nb.wav\t\t\t\n")
    (raw / "durations.tsv").write_text("filename\tduration\nt.wav\t10\n")
    assert strong(raw, max_bad=50, durations=raw / "durations.tsv").clips == ["b"]
    row = (raw / "out" / "bad_audio.tsv").read_text().splitlines()[1]
    assert row.startswith(name) and reason in row


def test_a_bad_recording_is_listed_by_the_name_of_its_link(raw):
    (raw / "audio/a.wav").rename(raw / "xyz.wav")
    put(raw / "xyz.wav", value=0)
    (raw / "audio/a.wav").symlink_to(raw / "xyz.wav")
    with pytest.raises(UserError, match=r"a\.wav: silent"):
        strong(raw)
    assert (raw / "out" / "bad_audio.tsv").read_text() == "filename\treason\na.wav\tsilent\n"


def test_the_audio_check_is_done_once(raw, monkeypatch):
    strong(raw)
    read = []
    monkeypatch.setattr("sed.data.prepare.data_directory.inspect", lambda path: read.append(path.name) or inspect(path))
    strong(raw)
    assert read == []
    put(raw / "audio" / "b.wav", 9)
    assert strong(raw).durations["b"] == 9 and read == ["b.wav"]
    (raw / "out" / ".audio_check.tsv").write_text("rubbish")
    strong(raw)
    assert sorted(read) == ["a.wav", "b.wav", "b.wav", "c.wav"]


def test_files_that_could_not_be_read_are_read_again(raw, monkeypatch):
    """ffmpeg may be installed in the meantime, or a permission granted: the file itself is then unchanged."""
    with monkeypatch.context() as lacking:
        lacking.setattr("sed.data.prepare.data_directory.inspect", lambda _: (0.0, "not audio that libsndfile reads"))
        with pytest.raises(UserError, match="3 of 3 files are bad"):
            strong(raw)
    assert strong(raw).clips == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("strong", HEAD + "a.wav\t0\t1\tBird\n", "x.tsv:2: unknown label 'Bird'"),
        ("strong", HEAD + "a.wav\t0\n", "x.tsv:2: broken row"),
        ("strong", HEAD, "names no clips"),
        ("strong", HEAD + "a b.wav\t0\t1\tDog\n", "holds a blank"),
        ("weak", "filename\tevent_labels\na.wav\tDog\na.wav\tDog\n", "x.tsv:3: clip 'a' comes twice"),
        ("weak", "filename\tevent_labels\na.wav\tDog,Bird\n", "x.tsv:2: unknown label 'Bird'"),
        ("unlabelled", "file\na.wav\n", "x.tsv:1: no column 'filename'"),
        ("unlabelled", "filename\na/x.wav\nb/x.wav\n", "x.tsv:3: b/x.wav and a/x.wav are both clip 'x'"),
    ],
)
def test_bad_metadata_is_named(tmp_path, kind, text, says):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(UserError, match=says):
        read_annotation(tmp_path / "x.tsv", kind, LABELS)


def test_min_coverage_is_enforced_and_a_set_without_audio_refused(raw):
    with pytest.raises(UserError, match="3 of 4 clips"):
        strong(raw, min_coverage=80)
    (raw / "audio").rename(raw / "moved")
    (raw / "audio").mkdir()
    with pytest.raises(UserError, match="no audio of the 4 clips"):
        strong(raw)


def test_two_files_of_one_clip_are_refused(raw):
    put(raw / "audio" / "deep" / "a.flac")
    with pytest.raises(UserError, match="are both clip 'a'"):
        find_audio(raw / "audio")


def test_broken_links_count_as_missing(raw):
    (raw / "audio" / "z.wav").symlink_to(raw / "gone.wav")
    assert "z" not in find_audio(raw / "audio")


def test_weak_sets_have_tags_and_unlabelled_sets_none(raw):
    (raw / "weak.tsv").write_text("filename\tevent_labels\na.wav\tDog,Dog\nb.wav\t\n")
    make_data_dir(raw / "weak.tsv", raw / "audio", raw / "out", kind="weak", labels=LABELS)
    assert DataDir.load(raw / "out", LABELS).tags == {"a": ("Dog",), "b": ()}
    assert coverage(raw / "out")["all"] == [2, 2, 2, 2]
    make_data_dir(raw / "weak.tsv", raw / "audio", raw / "out", kind="unlabelled", labels=LABELS)
    found = DataDir.load(raw / "out", LABELS)
    assert found.tags is None and found.clips == ["a", "b"]


@pytest.mark.skipif(not KIT.is_dir(), reason=f"no DESED metadata at {KIT} (set SED_KIT)")
@pytest.mark.parametrize(
    ("name", "kind", "clips", "events", "without"),
    [
        ("validation", "strong", 1168, 4239 - 15, 15),  # 4239 rows, 15 of them of clips without events
        pytest.param("public", "strong", 692, 2765, 0, marks=pytest.mark.slow),
        # 2247 tags, three of which repeat one of their row
        pytest.param("weak", "weak", 1578, 2247, None, marks=pytest.mark.slow),
        pytest.param("unlabel_in_domain", "unlabelled", 14412, 0, None, marks=pytest.mark.slow),
    ],
)
def test_desed_itself_gives_the_known_counts(tmp_path, name, kind, clips, events, without):
    annotation = read_annotation(KIT / f"{name}.tsv", kind, DESED)
    stated = read_durations_tsv(KIT / "validation_durations.tsv")
    (tmp_path / "audio").mkdir()
    for clip in annotation.clips:
        put(tmp_path / "audio" / f"{clip}.wav", stated.get(clip, _named(clip)), rate=100)
    make_data_dir(KIT / f"{name}.tsv", tmp_path / "audio", tmp_path / "out", kind=kind, labels=DESED)
    found = DataDir.load(tmp_path / "out", DESED)
    assert len(found.clips) == clips
    assert coverage(tmp_path / "out")["all"] == [clips, clips, events, events]
    if kind == "strong":
        assert sum(map(len, found.events.values())) == events
        assert sum(not rows for rows in found.events.values()) == without


def _named(clip):
    start, end = clip.rsplit("_", 2)[1:]
    return float(end) - float(start)


@pytest.mark.parametrize("name", ["events.tsv", "tags.tsv", "durations.tsv"])
def test_tables_that_stage_1_did_not_write_are_not_replaced(raw, name):
    """Once, an output folder with tables of other origin lost them."""
    (raw / name).write_text("precious")
    with pytest.raises(UserError, match=rf"holds {name}, and is not a data directory"):
        strong(raw, out=".")
    assert (raw / name).read_text() == "precious"


def test_a_killed_second_run_does_not_look_complete(raw, monkeypatch):
    strong(raw)
    monkeypatch.setattr(data_directory, "write_events_tsv", killed)
    with pytest.raises(KeyboardInterrupt):
        strong(raw)
    assert not (raw / "out" / "wav.scp").exists()
    monkeypatch.undo()
    assert strong(raw).clips == ["a", "b", "c"]


def killed(*_):
    raise KeyboardInterrupt


def test_a_refused_second_run_leaves_the_first_one_s_set(raw):
    strong(raw)
    with pytest.raises(UserError, match="2 of 4 events do not fit"):
        strong(raw, max_dropped=5)
    assert DataDir.load(raw / "out", LABELS).clips == ["a", "b", "c"]


def test_clips_of_the_archives_alone_have_an_origin_too(raw):
    (raw / "origins.tsv").write_text("set\tfilename\torigin\nother\tz.wav\tmirror/1.tar\n")
    strong(raw, origins=raw / "origins.tsv")
    rows = [row for _, row in tsv_rows(raw / "out" / "origins.tsv", ("set", "clip", "origin"))]
    assert rows == [["out", clip, "archives"] for clip in "abc"]
    strong(raw)
    assert not (raw / "out" / "origins.tsv").exists()


def test_a_data_directory_is_made_again(raw):
    for _ in range(2):
        strong(raw)
    (raw / "out" / ".audio_check.tsv").unlink()  # a copy without hidden files
    assert strong(raw).clips == ["a", "b", "c"]
