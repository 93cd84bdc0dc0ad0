import pytest
from problems import problem, scores

from sed.evaluation.metrics.f1 import event_counts
from sed.evaluation.postprocessing.csebbs import BoxParameters, Csebbs
from sed.evaluation.postprocessing.maximum import Maximum
from sed.evaluation.postprocessing.median import Median
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.tuning import FEW, class_areas, few_events, tune


@pytest.fixture(scope="module")
def material():
    made = problem(2, clips=6, events=30).joined  # thresholds are tuned on joined events
    return made, scores(2, made)


def plain(labels, *names):
    made = {"median": Median(dict.fromkeys(labels, 0.32)), "csebbs": Csebbs(dict.fromkeys(labels, BoxParameters()))}
    return PostProcessing(
        steps=[made[name] for name in names], threshold=Threshold(dict.fromkeys(labels, 0.5)), tuned_on="other"
    )


def f1(made, frames, post):
    found = post.threshold.decide(post.apply(frames))
    return event_counts(made, found).total().ratios()["f1"]


def test_a_tuned_threshold_is_no_worse_for_any_class_on_its_own_set(material):
    made, frames = material
    before = plain(made.labels, "median")
    after = tune(made, frames, before, ["threshold"])
    assert (f1(made, frames, after) >= f1(made, frames, before) - 1e-12).all()
    assert f1(made, frames, after).sum() > f1(made, frames, before).sum()


def test_labels_with_few_events_are_named_in_one_line_with_their_counts(material):
    made, _ = material
    line = few_events(made)
    assert "\n" not in line and "guesswork" in line
    few = [f"{label} {n}" for label, n in zip(made.labels, made.counts.tolist(), strict=True) if n < FEW]
    assert len(few) > 0 and f"({', '.join(few)})" in line
    assert few_events(problem(2, clips=40, events=400, length=9.0)) == ""
    many = problem(2)
    for count, rest in ((6, "1 more label"), (8, "3 more labels")):
        labels = [f"l{k}" for k in range(count)]
        made = type(many)(clips=many.clips, labels=labels, durations=many.durations, truth=many.truth)
        assert f", l4 0, {rest})" in few_events(made)


@pytest.mark.parametrize("what", ["median", "csebbs"])
def test_a_tuned_step_is_no_worse_for_any_class_on_its_own_set(material, what):
    made, frames = material
    before = plain(made.labels, what)
    tuned = class_areas(made, tune(made, frames, before, [what]).apply(frames))
    plainly = class_areas(made, before.apply(frames))
    # The parameters before tuning are among the candidates.
    assert set(tuned) == set(made.labels) and all(tuned[label] >= plainly[label] - 1e-12 for label in tuned)
    assert sum(tuned.values()) > sum(plainly.values())


def test_other_steps_stay_and_a_class_without_events_takes_the_first_candidate(material):
    made, frames = material
    silent = type(made)(
        clips=made.clips, labels=made.labels, durations=made.durations, truth=made.truth.where(made.truth.label != 1)
    )
    widened = Maximum(dict.fromkeys(made.labels, 0.1))
    before = plain(made.labels, "median")
    before = PostProcessing(steps=[widened, *before.steps], threshold=before.threshold)
    after = tune(silent, frames, before, ["median", "threshold"])
    assert after.names == ["maximum", "median"] and after.steps[0] == widened
    assert after.steps[1].by_label[made.labels[1]] == Median.grid[0]
    assert after.threshold.by_label[made.labels[1]] == 0.5
