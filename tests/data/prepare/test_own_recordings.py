import sys
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sed.bin import own_data
from sed.data.events import OVERLAPPING
from sed.data.prepare.own_recordings import lay_out, split
from sed.data.tables import read_events_tsv, read_tags_tsv


@pytest.mark.thorough
@settings(deadline=None)
@given(
    st.dictionaries(
        st.text("abcdef0123", min_size=3, max_size=4), st.sets(st.sampled_from("KLMNO"), max_size=3), min_size=4
    ),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.sampled_from(["", "^."]),
)
def test_split_keeps_groups_whole_and_every_label_in_training(recordings, share, group):
    chosen = split(recordings, share=share, group=group)
    assert chosen == split(dict(reversed(recordings.items())), share=share, group=group)
    if group:
        assert not {name[0] for name in chosen} & {name[0] for name in recordings if name not in chosen}
    for label in set().union(*recordings.values()):
        having = [name for name in recordings if label in recordings[name]]
        assert [name for name in having if name not in chosen]


def test_a_label_of_two_recordings_is_in_validation_too():
    recordings = {f"r{i}": ["common"] for i in range(40)} | {"x1": ["rare"], "x2": ["rare"], "y": ["single"]}
    chosen = split(recordings, share=0.2)
    assert len(chosen & {"x1", "x2"}) == 1 and "y" not in chosen and len(chosen) == 9  # a fifth of 43


def test_recordings_without_labels_are_divided_too():
    assert len(split({f"r{i}": [] for i in range(40)}, share=0.2)) == 8


@pytest.mark.thorough
def test_the_split_of_many_recordings_takes_linear_time():
    recordings = {f"r{i}": ["a", "b", "c"] for i in range(50_000)}
    start = time.process_time()
    assert len(split(recordings, share=0.2)) == 10_000
    assert time.process_time() - start < 10  # a count over all recordings for each one took minutes


def call(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["own_data", *map(str, args)])
    with pytest.raises(SystemExit) as done:
        own_data.main()
    return done.value.code


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "rec" / "deep"
    folder.mkdir(parents=True)
    rows = ["filename\tonset\toffset\tevent_label"]
    for i in range(6):
        soundfile.write(folder / f"e{i}.wav", np.random.default_rng(i).uniform(-0.1, 0.1, 8000 * 23), 8000)
        rows += [f"e{i}.wav\t1.0\t2.5\tdoor", f"e{i}.wav\t9.0\t12.0\tmy cat & dog"]
    for name in ("t0.flac", "u0.ogg"):
        soundfile.write(folder / name, np.random.default_rng(9).uniform(-0.1, 0.1, 8000 * 5), 8000)
    (tmp_path / "events.tsv").write_text("\n".join(rows) + "\n")
    (tmp_path / "tags.tsv").write_text("filename\tevent_labels\nt0.flac\tdoor,bell\n")
    return tmp_path


def test_own_recordings_get_desed_s_layout(corpus, monkeypatch):
    args = ("--events", corpus / "events.tsv", "--tags", corpus / "tags.tsv", corpus / "rec", corpus / "out")
    for _ in range(2):  # a second run changes nothing
        assert call(monkeypatch, *args) == 0
        meta = corpus / "out" / "metadata"
        assert (meta / "labels.txt").read_text() == "bell\ndoor\nmy cat & dog\n"
        train, valid = (read_events_tsv(meta / p) for p in ("train/audioset_strong.tsv", "validation/validation.tsv"))
        assert len(train) + len(valid) == 18 and len(valid) == 6  # three clips per recording
        assert not {clip[:2] for clip in train} & {clip[:2] for clip in valid}
        spans = {clip[3:]: [tuple(e) for e in found] for clip, found in train.items()}
        assert spans["0.000_10.000"] == [(1.0, 2.5, "door"), (9.0, 10.0, "my cat & dog")]
        assert spans["10.000_20.000"] == [(0.0, 2.0, "my cat & dog")] and spans["20.000_23.000"] == []
        assert read_tags_tsv(meta / "train" / "weak.tsv") == {"t0_0.000_5.000": ("door", "bell")}
        assert "u0_0.000_5.000" in (meta / "train" / "unlabel_in_domain.tsv").read_text()
        audio = corpus / "out" / "audio"
        assert len(list((audio / "train" / "strong_label_real").iterdir())) == 12
        assert len(list((audio / "validation" / "validation").iterdir())) == 6


def test_clips_are_not_written_where_another_run_would_read_them_as_recordings(corpus, monkeypatch, capsys):
    args = ("--events", corpus / "events.tsv", corpus / "rec")
    for out in (corpus / "rec" / "out", corpus / "rec", corpus / "rec" / "deep" / ".." / "new"):
        assert call(monkeypatch, *args, out) == 2
        assert f"{out}: in {corpus / 'rec'}, of which all files are read" in capsys.readouterr().err
    assert call(monkeypatch, "--events", corpus, corpus / "rec", corpus / "out") == 2
    assert not (corpus / "rec" / "out").exists() and not (corpus / "out").exists()


def test_an_unreadable_recording_is_named_and_the_others_are_used(corpus, monkeypatch, capsys):
    (corpus / "rec" / "deep" / "e1.wav").write_text("text")
    args = ("--events", corpus / "events.tsv", corpus / "rec", corpus / "out")
    assert call(monkeypatch, *args) == 0
    said = capsys.readouterr().err
    assert f"left out: {corpus / 'rec' / 'deep' / 'e1.wav'}: not audio" in said
    assert "1 of 6 recordings are not there or cannot be used, as 'e1'" in said, "once said not to be there"
    assert not list((corpus / "out").rglob("e1_*")) and list((corpus / "out").rglob("e0_*"))
    assert call(monkeypatch, "--max-bad", "1", *args) == 2
    assert "convert" in capsys.readouterr().err.splitlines()[-1]


def test_recordings_that_a_data_directory_would_refuse_are_left_out_by_name(corpus, monkeypatch, capsys):
    """One of 0.05 s was laid out as a clip, at which the recipe's next stage stopped."""
    soundfile.write(corpus / "rec" / "brief.wav", np.full(400, 0.1), 8000)
    soundfile.write(corpus / "rec" / "mute.wav", np.zeros(8000 * 5), 8000)
    args = ("--events", corpus / "events.tsv", corpus / "rec", corpus / "out")
    assert call(monkeypatch, "--max-bad", "19", *args) == 2
    assert "2 of 10 recordings cannot be used" in capsys.readouterr().err.splitlines()[-1]
    assert call(monkeypatch, *args) == 0
    said = capsys.readouterr().err
    assert "brief.wav: too short: 0.050 s" in said and "mute.wav: silent" in said
    assert not [*(corpus / "out").rglob("brief_*"), *(corpus / "out").rglob("mute_*")]


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda c: (c / "events.tsv").write_text("filename\tonset\toffset\nx\t1\t2\n"), "no column of labels"),
        (
            lambda c: (c / "events.tsv").write_text("filename\tonset\toffset\tevent_label\nx.wav\t1\t2\ta\n"),
            "none of its 1 recordings is there",
        ),
        (
            lambda c: (c / "events.tsv").write_text("filename\tonset\toffset\tevent_label\ne0.wav\t3\t2\ta\n"),
            "events.tsv:2: onset 3",
        ),
        (lambda c: (c / "events.tsv").write_text("filename\tonset\toffset\tevent_label\n"), "events.tsv: has no rows"),
        (lambda c: soundfile.write(c / "rec" / "e0.flac", np.zeros(99), 8000), "has the name of"),
    ],
)
def test_bad_input_is_one_line(corpus, monkeypatch, capsys, change, message):
    change(corpus)
    assert call(monkeypatch, "--events", corpus / "events.tsv", corpus / "rec", corpus / "out") == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (corpus / "out" / "metadata" / "labels.txt").exists()


def test_audacity_s_label_files_give_the_same_corpus_as_a_table(tmp_path):
    audio, labels = tmp_path / "audio", tmp_path / "labels"
    audio.mkdir(), labels.mkdir()
    for name in "abcd":
        soundfile.write(audio / f"{name}.wav", np.full(12 * 8000, 0.1), 8000)
        # the second line is the frequency range (Hz) of the first label
        (labels / f"{name}.txt").write_text("1.0\t2.5\tDog\n\\\t100\t900\n11.0\t11.9\tDog\n")
    table = tmp_path / "events.tsv"
    rows = "".join(f"{name}.wav\t1\t2.5\tDog\n{name}.wav\t11\t11.9\tDog\n" for name in "abcd")
    table.write_text(f"filename\tonset\toffset\tevent_label\n{rows}")
    found = []
    for events in (labels, table):
        out = tmp_path / f"out_{events.name}"
        lay_out(audio, out, events=events, tags=None, seconds=10, share=0.3, group="", seed=0, jobs=1)
        found.append({path.name: path.read_text() for path in (out / "metadata").rglob("*.tsv")})
    assert found[0] == found[1]
    assert sum(text.count("\tDog\n") for text in found[0].values()) == 8  # two events of each recording


def test_labels_that_overlap_or_lie_in_a_rest_too_short_for_a_clip_are_named_with_file_and_line(tmp_path, log_lines):
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", np.full(8000 * 10 + 4000, 0.1), 8000)
        (tmp_path / f"{name}.txt").write_text("1\t2\tDog\n")
    (tmp_path / "b.txt").write_text("1\t3\tDog\n2\t2.5\tCat\n2\t4\tDog\n10.1\t10.4\tDog\n")
    options = {"seconds": 10, "share": 0.3, "group": "", "seed": 0, "jobs": 1, "max_dropped": 10}
    lay_out(tmp_path, tmp_path / "out", events=tmp_path, tags=None, **options)
    assert any(f"1 of 6 events {OVERLAPPING}, the first at line 3 of b.txt" in line for line in log_lines)
    assert any("too short for a clip, the first at line 4 of b.txt" in line for line in log_lines)
    tables = [path.read_text() for path in (tmp_path / "out" / "metadata").rglob("*.tsv")]
    assert sum(table.count("b_0.000_10.000.flac\t") for table in tables) == 2  # one dog from 1 to 4, one cat


def test_a_brief_event_at_the_end_of_a_whole_clip_is_not_said_to_lie_in_a_rest(tmp_path, log_lines):
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 8000)
    (tmp_path / "a.txt").write_text("0.1\t0.5\tDog\n0.993\t0.998\tCat\n")
    options = {"seconds": 10, "share": 0, "group": "", "seed": 0, "jobs": 1}
    lay_out(tmp_path, tmp_path / "out", events=tmp_path, tags=None, **options)
    assert not any("too short for a clip" in line for line in log_lines)
    assert any("1 events shorter than 0.01 s left out" in line for line in log_lines)


@pytest.mark.parametrize(
    ("share", "words"), [(0.3, "too few recordings for a validation set"), (0.0, "since --validation is 0")]
)
def test_a_missing_validation_set_is_explained_by_its_cause(tmp_path, log_lines, share, words):
    soundfile.write(tmp_path / "a.wav", np.full(8000, 0.1), 8000)
    (tmp_path / "a.txt").write_text("0.1\t0.5\tDog\n")
    options = {"seconds": 10, "share": share, "group": "", "seed": 0, "jobs": 1}
    lay_out(tmp_path, tmp_path / "out", events=tmp_path, tags=None, **options)
    (line,) = [line for line in log_lines if "validation set" in line]
    assert words in line and "stop at stage 4" in line


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("^rec/", "--group ^rec/ matches no name, as a: names have neither folder nor suffix, and each recording"),
        (".", "too few groups of recordings for a validation set"),
    ],
)
def test_groups_that_hold_nothing_or_all_are_warned_of(tmp_path, log_lines, group, words):
    (tmp_path / "rec").mkdir()
    for name in ("a", "ab"):
        soundfile.write(tmp_path / "rec" / f"{name}.wav", np.full(8000, 0.1), 8000)
        (tmp_path / "rec" / f"{name}.txt").write_text("0.1\t0.5\tDog\n")
    options = {"seconds": 10, "share": 0.5, "group": group, "seed": 0, "jobs": 1}
    lay_out(tmp_path / "rec", tmp_path / "out", events=tmp_path / "rec", tags=None, **options)
    assert sum(words in line for line in log_lines) == 1


@pytest.mark.parametrize("place", ["audio/train/weak/Yreal_1.000_2.000.wav", "metadata/train/weak.tsv"])
def test_the_folder_of_another_corpus_is_refused(corpus, monkeypatch, capsys, place):
    """Once, its recordings were removed and its tables replaced, with exit status 0."""
    other = corpus / "desed" / place
    other.parent.mkdir(parents=True)
    other.write_text("precious")
    code = call(monkeypatch, "--events", corpus / "events.tsv", corpus / "rec", corpus / "desed")
    assert code == 2 and capsys.readouterr().err.endswith("(choose another folder)\n")
    assert other.read_text() == "precious"


def test_corrected_events_keep_the_labels_of_the_model(corpus, monkeypatch, capsys):
    from tiny_model import LABELS, pack_tiny

    pack_tiny(corpus)
    (corpus / "corrected.tsv").write_text(
        "filename\tonset\toffset\tevent_label\ne0.wav\t1.000\t2.500\tDog\ne1.wav\t3.000\t4.000\tmy new\ne2.wav\t\t\t\n"
    )
    args = ("--from", corpus / "model", "--validation", "0", "--events", corpus / "corrected.tsv")
    assert call(monkeypatch, *args, corpus / "rec", corpus / "out") == 0
    meta = corpus / "out" / "metadata"
    assert (meta / "labels.txt").read_text().splitlines() == sorted([*LABELS, "my new"])
    strong = read_events_tsv(meta / "train" / "audioset_strong.tsv")
    assert strong["e0_0.000_10.000"] == [(1.0, 2.5, "Dog")] and strong["e2_0.000_10.000"] == []
    assert "e3_0.000_10.000" in (meta / "train" / "unlabel_in_domain.tsv").read_text()  # not reviewed
    assert call(monkeypatch, "--from", corpus / "rec", *args[4:], corpus / "rec", corpus / "other") == 2
    assert "a packed model without model.json" in capsys.readouterr().err
