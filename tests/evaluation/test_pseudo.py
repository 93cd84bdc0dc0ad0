import numpy as np
import pytest

from sed.data.directory import DataDir, read_scp, write_scp
from sed.data.scores import Scores
from sed.data.tables import Event, read_events_tsv, write_durations_tsv
from sed.errors import UserError
from sed.evaluation import pseudo
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold

LABELS = ["Cat", "Dog"]
PLAIN = PostProcessing(threshold=Threshold(dict.fromkeys(LABELS, 0.5)))


def silence(clips, frames=10):
    shape = (len(clips), frames, len(LABELS))
    return Scores(
        clips=clips, labels=LABELS, frame=np.zeros(shape, np.float32), clip=np.zeros(shape[::2], np.float32),
        frame_seconds=0.1,
    )  # fmt: skip


def test_what_the_tags_rule_out_is_silenced_and_clips_without_tags_are_left():
    scores = silence(["a", "b"])
    scores.frame[:] = scores.clip[:] = 0.9
    pseudo.mask_by_tags(scores, {"a": ("Dog",)})
    assert (scores.frame[0, :, 0] == 0).all() and scores.clip[0, 0] == 0
    assert (scores.frame[0, :, 1] == np.float32(0.9)).all() and (scores.frame[1] == np.float32(0.9)).all()


def test_scores_that_are_mapped_from_a_file_are_masked_without_being_changed():
    scores = silence(["a", "b"])
    scores.frame[:] = scores.clip[:] = 0.9
    scores.frame.flags.writeable = scores.clip.flags.writeable = False  # as memory-mapped posteriors are
    found = pseudo.pseudo_events(scores, {"a": 1.0, "b": 1.0}, PLAIN, {"a": ("Dog",)})
    assert found == {"a": [Event(0.0, 1.0, "Dog")], "b": [Event(0.0, 1.0, "Cat"), Event(0.0, 1.0, "Dog")]}
    assert (scores.frame == np.float32(0.9)).all()


def test_events_end_with_their_clip_and_silent_clips_are_kept():
    scores = silence(["a", "b", "c"])
    scores.frame[0, 2:5, 1] = 0.8
    scores.frame[1, 4:, 0] = 0.8  # to the end of ten frames, in a clip of 0.75 s
    scores.frame[1, 8:, 1] = 0.8  # wholly beyond it
    found = pseudo.pseudo_events(scores, {"a": 1.0, "b": 0.75, "c": 1.0}, PLAIN)
    assert found == {"a": [Event(0.2, 0.5, "Dog")], "b": [Event(0.4, 0.75, "Cat")], "c": []}
    assert pseudo.summary(found) == "3 clips, 2 events, 1 without any"


def test_a_clip_without_a_duration_is_refused():
    with pytest.raises(UserError, match=r"durations\.tsv: no clip 'b'"):
        pseudo.pseudo_events(silence(["a", "b"]), {"a": 1.0}, PLAIN)


def test_clips_in_chunks_have_the_events_of_all_at_once(monkeypatch):
    clips = [f"c{i}" for i in range(7)]
    scores = silence(clips)
    for i in range(7):
        scores.frame[i, i : i + 2, i % 2] = 1
    durations = dict.fromkeys(clips, 1.0)
    at_once = pseudo.pseudo_events(scores, durations, PLAIN)
    monkeypatch.setattr(pseudo, "CHUNK", 3)
    assert pseudo.pseudo_events(scores, durations, PLAIN) == at_once
    assert sum(map(len, at_once.values())) == 7


@pytest.fixture
def sets(tmp_path):
    """Two dumped sets of a clip each."""
    for name in ("weak", "unlabelled"):
        folder = tmp_path / "dump" / name
        folder.mkdir(parents=True)
        write_scp(folder / "wav.scp", {f"{name}_1": f"/nowhere/{name}_1.wav"})
        write_scp(folder / "feats.scp", {f"{name}_1": "feats.1.h5:0"})
        write_durations_tsv(folder / "durations.tsv", {f"{name}_1": 10.0})
    return [tmp_path / "dump" / "weak", tmp_path / "dump" / "unlabelled"]


def test_the_set_refers_to_the_features_of_the_others_and_is_a_data_directory(sets, tmp_path):
    out = tmp_path / "dump" / "pseudo"
    events = {"weak_1": [Event(1.0, 2.5, "Cat")], "unlabelled_1": []}
    pseudo.write_pseudo_set(out, sets, events, {"weak_1": 10.0, "unlabelled_1": 10.0}, {"models": ["exp/x"]})
    assert read_scp(out / "feats.scp") == {
        "weak_1": "../weak/feats.1.h5:0",
        "unlabelled_1": "../unlabelled/feats.1.h5:0",
    }
    made = DataDir.load(out, LABELS)
    assert made.events == events and made.tags is None
    assert pseudo.read_origins(tmp_path / "dump", ["weak", "pseudo"]) == {"pseudo": {"models": ["exp/x"]}}
    assert read_events_tsv(out / "events.tsv")["weak_1"] == events["weak_1"]
    (out / "pseudo_labels.json").write_text("{")
    with pytest.raises(UserError, match=r"pseudo_labels\.json: not JSON.*label the set again"):
        pseudo.read_origins(tmp_path / "dump", ["pseudo"])
    (out / pseudo.ORIGIN).write_text('{"models": "exp/x"}')
    with pytest.raises(UserError, match="not an origin of pseudo-labels: models is"):
        pseudo.read_origins(tmp_path / "dump", ["pseudo"])


def test_a_set_below_a_link_finds_the_features(sets, tmp_path):
    (tmp_path / "disk" / "deep" / "folder").mkdir(parents=True)
    (tmp_path / "linked").symlink_to(tmp_path / "disk" / "deep" / "folder")
    (sets[0] / "feats.1.h5:0").touch()
    out = tmp_path / "linked" / "pseudo"
    pseudo.write_pseudo_set(out, sets, {"weak_1": []}, {"weak_1": 10.0}, {})
    assert (out / read_scp(out / "feats.scp")["weak_1"]).is_file()


def test_a_set_with_its_own_features_is_not_overwritten(sets, tmp_path):
    with pytest.raises(UserError, match=r"unlabelled: a set that is not of pseudo-labels"):
        pseudo.check_output(sets[1])
    pseudo.check_output(tmp_path / "pseudo")
    pseudo.write_pseudo_set(tmp_path / "pseudo", sets[:1], {"weak_1": []}, {"weak_1": 10.0}, {})
    pseudo.check_output(tmp_path / "pseudo")  # pseudo-labels are replaced
    (sets[1] / "feats.scp").unlink()  # a data directory, which has no features, or a dump that is not finished
    with pytest.raises(UserError, match=r"unlabelled: a set that is not of pseudo-labels"):
        pseudo.check_output(sets[1])


@pytest.mark.parametrize("name", ["wav.scp", "events.tsv", "feats.scp"])
def test_a_set_whose_writing_was_killed_is_written_again(sets, tmp_path, monkeypatch, name):
    def killed(path, *_):
        if path.name == name:
            raise KeyboardInterrupt
        path.touch()

    out = tmp_path / "pseudo"
    with monkeypatch.context() as patched:
        patched.setattr(pseudo, "write_scp", killed)
        patched.setattr(pseudo, "write_events_tsv", killed)
        with pytest.raises(KeyboardInterrupt):
            pseudo.write_pseudo_set(out, sets[:1], {"weak_1": []}, {"weak_1": 10.0}, {})
    pseudo.check_output(out)


def test_a_clip_in_two_of_the_sets_is_refused(sets, tmp_path):
    with pytest.raises(UserError, match="clip 'weak_1' is in another of the sets too"):
        pseudo.write_pseudo_set(tmp_path / "pseudo", [sets[0], sets[0]], {}, {"weak_1": 10.0}, {})
    assert not (tmp_path / "pseudo").exists()


@pytest.mark.parametrize("name", ["feats.scp", "wav.scp"])
def test_a_clip_that_one_list_of_its_set_lacks_is_refused(sets, tmp_path, name):
    write_scp(sets[0] / name, {"other": "x"})
    with pytest.raises(UserError, match=rf"weak/{name}, .*: no clip 'weak_1', which has labels"):
        pseudo.write_pseudo_set(tmp_path / "pseudo", sets, {"weak_1": []}, {"weak_1": 10.0}, {})
    assert not (tmp_path / "pseudo").exists()


def test_clips_without_known_labels_are_not_in_the_set(sets, tmp_path):
    pseudo.write_pseudo_set(tmp_path / "dump" / "pseudo", sets, {"weak_1": []}, {"weak_1": 10.0}, {})
    assert [*read_scp(tmp_path / "dump" / "pseudo" / "feats.scp")] == ["weak_1"]


def test_the_bias_is_that_of_pairs_that_overlap_each_other_most():
    truth = {
        "a": [Event(1.0, 2.0, "Dog"), Event(3.0, 4.0, "Dog"), Event(1.0, 2.0, "Cat")],
        "b": [Event(5.0, 6.0, "Cat"), Event(6.1, 6.3, "Cat")],
    }
    found = {
        "a": [Event(1.1, 2.4, "Dog"), Event(3.3, 4.0, "Dog"), Event(3.9, 9.0, "Dog"), Event(2.5, 3.0, "Cat")],
        "b": [Event(4.8, 6.2, "Cat")],
    }
    # onsets are 0.1, 0.3 and -0.2 late, offsets 0.4, 0 and 0.2; Cat of clip a is missed; 3.9 to 9 and the true event
    # from 6.1 are in no pair, since what they overlap most overlaps another more
    assert pseudo.boundary_bias(found, truth) == pytest.approx((0.2 / 3, 0.6 / 3), abs=1e-4)
    assert pseudo.boundary_bias({}, truth) == (0, 0)


def test_a_planted_bias_is_measured_and_taken_back():
    rng = np.random.default_rng(0)
    truth = {f"c{i}": [Event(2.0 + i / 50, 4.0 + rng.random(), "Dog")] for i in range(20)}
    late = {clip: [Event(e.onset + 0.12, e.offset - 0.3, e.label) for e in events] for clip, events in truth.items()}
    bias = pseudo.boundary_bias(late, truth)
    assert bias == pytest.approx((0.12, -0.3), abs=1e-3)
    for clip, events in late.items():
        (event,) = bias.corrected(events, 10.0)
        assert (event.onset, event.offset) == pytest.approx(truth[clip][0][:2], abs=2e-3)


def test_the_bias_of_a_tuned_file_is_read_or_refused():
    assert pseudo.Bias.of({}, "t.json") == (0, 0)
    assert pseudo.Bias.of({"bias": {"onset": 0.1, "offset": -0.2}}, "t.json") == (0.1, -0.2)
    for broken in ({"onset": "0.1"}, {"late": 1}, [0.1, 0.2], {"onset": float("nan")}, {"onset": True}, 5, None):
        with pytest.raises(UserError, match=r"t\.json: bias is not seconds"):
            pseudo.Bias.of({"bias": broken}, "t.json")


def test_times_at_the_clip_s_ends_stay_and_events_that_lose_their_length_are_dropped():
    bias = pseudo.Bias(onset=0.5, offset=0.2)
    events = [Event(0.0, 10.0, "Dog"), Event(0.2, 3.0, "Cat"), Event(4.0, 4.1, "Cat")]
    assert bias.corrected(events, 10.0) == [Event(0.0, 2.8, "Cat"), Event(0.0, 10.0, "Dog"), Event(3.5, 3.9, "Cat")]
    assert pseudo.Bias(onset=-0.3, offset=0.0).corrected([Event(1.0, 1.2, "Cat")], 10.0) == []
    to_the_end = [Event(9.0, 10.031, "Cat")]  # of a clip of 10.03125 s, rounded
    assert bias.corrected(to_the_end, 10.03125) == [Event(8.5, 10.031, "Cat")]
    # 0.6 ms are left, less than a data directory can write
    assert pseudo.Bias(onset=0.0994, offset=0.1988).corrected([Event(1.1, 1.2, "Cat")], 10.0) == []


HEAD = "filename\tonset\toffset\tevent_label\n"


def test_published_tables_are_taken_for_the_clips_that_they_name(tmp_path, log_lines):
    path = tmp_path / "train_weak_pseudo_labeled.tsv"
    path.write_text(
        f"{HEAD}a.wav\t0.0\t10.03\tDog\nb.wav\t\t\t\na.wav\t1.5\t2.0\tCat\na.wav\t10.01\t10.02\tCat\na.wav\t3\t3\tCat\n"
    )
    found = pseudo.read_published([path], {"a": 10.0, "b": 9.5, "c": 10.0}, LABELS)
    assert found == {"a": [Event(0.0, 10.0, "Dog"), Event(1.5, 2.0, "Cat")], "b": []}
    assert log_lines == ["1 offsets beyond the clip's end cut, 2 events that begin beyond it or have no length dropped"]


def test_published_events_that_milliseconds_cannot_hold_are_dropped(sets, tmp_path):
    path, out, durations = tmp_path / "published.tsv", tmp_path / "dump" / "pseudo", {"weak_1": 10.0}
    path.write_text(f"{HEAD}weak_1.wav\t9.9996\t10.2\tDog\nweak_1.wav\t1.0\t2.0004\tDog\n")
    found = pseudo.read_published([path], durations, LABELS)
    pseudo.write_pseudo_set(out, sets[:1], found, durations, {})
    assert DataDir.load(out, LABELS).events == found == {"weak_1": [Event(1.0, 2.0, "Dog")]}


def test_two_tables_of_one_clip_are_refused(tmp_path):
    for name in ("a.tsv", "b.tsv"):
        (tmp_path / name).write_text(f"{HEAD}a.wav\t0.0\t1.0\tDog\na.wav\t2.0\t3.0\tDog\n")
    for other in ("a.tsv", "b.tsv"):
        with pytest.raises(UserError, match=rf"{other}:2: clip 'a' is in another of the tables too"):
            pseudo.read_published([tmp_path / "a.tsv", tmp_path / other], {"a": 10.0}, LABELS)


def test_published_tables_without_rows_are_refused(tmp_path):
    (tmp_path / "labels.tsv").write_text(HEAD)
    with pytest.raises(UserError, match=r"labels\.tsv: no rows"):
        pseudo.read_published([tmp_path / "labels.tsv"], {"a": 10.0}, LABELS)


@pytest.mark.parametrize(
    "row, message",
    [
        ("x.wav\t0.0\t1.0\tDog", r"labels.tsv:2: clip 'x' is in none of the sets \(pseudo-labels of other clips\?\)"),
        ("a.wav\t0.0\t1.0\tFrog", r"labels.tsv:2: unknown label 'Frog'"),
        ("a.wav\t2.0\t1.0\tDog", r"labels.tsv:2: onset 2.0 is not before offset 1.0"),
    ],
)
def test_tables_of_other_clips_or_labels_are_refused_with_their_line(tmp_path, row, message):
    (tmp_path / "labels.tsv").write_text(f"{HEAD}{row}\n")
    with pytest.raises(UserError, match=message):
        pseudo.read_published([tmp_path / "labels.tsv"], {"a": 10.0}, LABELS)


def test_the_origin_of_labels_is_given_by_tables_or_by_models_and_tuning_set():
    assert pseudo.origin_text({"tables": {"far/weak.tsv": "sha256:1", "far/other.tsv": "sha256:2"}}) == (
        "tables weak.tsv, other.tsv"
    )
    assert pseudo.origin_text({"models": ["a", "b"], "tuned_on": "synth_valid"}) == "2 models, tuned on synth_valid"
    assert pseudo.origin_text({"models": ["a"], "tuned_on": ""}) == "1 model"


def test_tags_are_those_of_events_and_those_given_or_none_are_written(sets, tmp_path):
    out, events = tmp_path / "dump" / "pseudo", {"weak_1": [Event(1.0, 2.5, "Cat")], "unlabelled_1": []}
    every = {"weak_1": 10.0, "unlabelled_1": 10.0}
    pseudo.write_pseudo_set(out, sets, events, every, {}, {"weak_1": ("Dog",)})
    assert DataDir.load(out, LABELS).tags == {"unlabelled_1": (), "weak_1": ("Cat", "Dog")}
    pseudo.write_pseudo_set(out, sets, events, every, {})
    assert DataDir.load(out, LABELS).tags is None
