from types import SimpleNamespace

import pytest
from problems import problem, scores

from sed.errors import UserError
from sed.evaluation.metrics.decode import decode_one
from sed.evaluation.metrics.f1 import event_counts
from sed.evaluation.postprocessing.csebbs import BoxParameters
from sed.evaluation.postprocessing.pipeline import PostProcessing, read_tuned, refuse_own_clips, write_tuned
from sed.evaluation.postprocessing.tuning import class_areas, tune


@pytest.fixture(scope="module")
def material():
    made = problem(2, clips=6, events=30).joined  # as sed_scores_eval, which tunes the thresholds, needs it
    return made, scores(2, made)


def plain(labels, *names):
    return PostProcessing(
        steps=names,
        median=dict.fromkeys(labels, 0.3),
        csebbs=dict.fromkeys(labels, BoxParameters()),
        threshold=dict.fromkeys(labels, 0.5),
        tuned_on="other",
    )


def f1(made, frames, post):
    found = decode_one(post.apply(frames), post.thresholds(made.labels))
    return event_counts(made, found).total().ratios()["f1"]


def test_a_tuned_threshold_is_no_worse_for_any_class_on_its_own_set(material):
    made, frames = material
    before = plain(made.labels, "median")
    after = tune(made, frames, before, ["threshold"])
    assert (f1(made, frames, after) >= f1(made, frames, before) - 1e-12).all()
    assert f1(made, frames, after).sum() > f1(made, frames, before).sum()


@pytest.mark.parametrize("what", ["median", "csebbs"])
def test_a_tuned_step_is_no_worse_for_any_class_on_its_own_set(material, what):
    made, frames = material
    before = plain(made.labels, what)
    tuned = class_areas(made, tune(made, frames, before, [what]).apply(frames))
    plainly = class_areas(made, before.apply(frames))
    if what == "csebbs":  # its default is one of the candidates; the median's is not
        assert all(tuned[label] >= plainly[label] - 1e-12 for label in tuned)
    assert set(tuned) == set(made.labels)


def options(path):
    return SimpleNamespace(tuned=str(path), post_processing=["auto"], median="paper", maximum="0", threshold="0.5")


def test_the_file_brings_everything_back_and_refuses_its_own_clips(material, tmp_path):
    made, _ = material
    path = tmp_path / "tuned.json"
    write_tuned(path, plain(made.labels, "csebbs"), clips=made.clips, facts={"tuned": ["csebbs"]})
    again = read_tuned(options(path), made.labels)
    assert again.csebbs == plain(made.labels, "csebbs").csebbs and again.tuned_on == "other (csebbs)"
    refuse_own_clips(path, ["elsewhere"])
    with pytest.raises(UserError, match="tuned on other, which holds 1 of the clips"):
        refuse_own_clips(path, ["elsewhere", made.clips[0]])
    with pytest.raises(UserError, match="another label set"):
        read_tuned(options(path), ["x"])
    with pytest.raises(UserError, match="its own steps"):
        read_tuned(SimpleNamespace(**{**vars(options(path)), "threshold": "0.3"}), made.labels)
    path.write_text("{}")
    with pytest.raises(UserError, match="not written by"):
        read_tuned(options(path), made.labels)
