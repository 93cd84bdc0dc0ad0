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


def test_events_end_with_their_clip_and_silent_clips_are_kept():
    scores = silence(["a", "b", "c"])
    scores.frame[0, 2:5, 1] = 0.8
    scores.frame[1, 4:, 0] = 0.8  # to the end of ten frames, in a clip of 0.75 s
    scores.frame[1, 8:, 1] = 0.8  # wholly beyond it
    found = pseudo.pseudo_events(scores, {"a": 1.0, "b": 0.75, "c": 1.0}, PLAIN)
    assert found == {"a": [Event(0.2, 0.5, "Dog")], "b": [Event(0.4, 0.75, "Cat")], "c": []}
    assert pseudo.summary(found) == "3 clips, 2 events, 1 without any"


def test_chunks_do_not_show(monkeypatch):
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
    pseudo.write_pseudo_set(out, sets, events, {"weak_1": 10.0, "unlabelled_1": 10.0})
    assert read_scp(out / "feats.scp") == {
        "weak_1": "../weak/feats.1.h5:0",
        "unlabelled_1": "../unlabelled/feats.1.h5:0",
    }
    made = DataDir.load(out, LABELS)
    assert made.events == events and made.tags is None
    assert read_events_tsv(out / "events.tsv")["weak_1"] == events["weak_1"]


def test_a_clip_in_two_of_the_sets_is_refused(sets, tmp_path):
    with pytest.raises(UserError, match="clip 'weak_1' is in another of the sets too"):
        pseudo.write_pseudo_set(tmp_path / "pseudo", [sets[0], sets[0]], {}, {"weak_1": 10.0})
    assert not (tmp_path / "pseudo").exists()
