"""The advice for recordings without events names options, and what each of them gives."""

from collections import Counter

import numpy as np
import pytest

from sed.data.tables import Event
from sed.evaluation.postprocessing.options import options_of, resolve
from sed.prediction.decisions import Detection
from sed.prediction.nearest import LISTED, TRIED, Nearest, _counted, _just_below
from sed.prediction.recording import Result

NAMES = ["cat", "dog"]


def nearest_of(*recordings, events=()):
    """Return what recordings (name, seconds, highest raw posteriors, highest post-processed ones) add up to."""
    nearest = Nearest(NAMES)
    for name, seconds, raw, processed in recordings:
        sink = nearest.sink(name)
        sink.posteriors(np.float32([raw, [0, 0]]))
        sink.processed(np.float32([[0, 0], processed]))
        sink.finish(Result(name, seconds, list(events)))
    return nearest


def advised(nearest, given, *, centred=True, post_processing="paper"):
    """Let `nearest` advise, where `given` says which events (threshold, number of steps, centred) gives in a file."""
    post = resolve(options_of(post_processing=post_processing), NAMES)
    asked = []

    def attempt(post, centre, names):
        key = (post.threshold.by_label["cat"], len(post.steps), centre)
        asked.append((*key, list(names)))
        return {name: Counter(given.get(key, {}).get(name, {})) for name in names}

    nearest.advise(post, centred, attempt)
    return nearest.advice, asked


def test_a_label_that_a_lower_threshold_does_not_find_is_named_with_the_option_that_does():
    nearest = nearest_of(("a.wav", 9, [0.5, 0.9], [0.36, 0.39]), ("b.wav", 9, [0.2, 0.2], [0.1, 0.2]))
    given = {
        (0.3, 2, True): {"b.wav": {"dog": 7}},
        (0.5, 1, True): {"a.wav": {"dog": 1}, "b.wav": {"dog": 1}},
        (0.3, 2, False): {"a.wav": {"cat": 1}, "b.wav": {"dog": 7}},
    }
    advice, asked = advised(nearest, given)
    assert advice == (
        "no events; the highest posteriors were dog 0.39, cat 0.36 after weak masking and median filter, and dog 0.90, "
        "cat 0.50 before. Options that give events: --threshold 0.3 (dog 7); --post-processing median (dog 2); "
        "--threshold 0.3 --no-centre-events (dog 7, cat 1)"
    )
    assert nearest.found == {
        "a.wav": "--post-processing median (dog 1); --threshold 0.3 --no-centre-events (cat 1)",
        "b.wav": "--threshold 0.3 (dog 7); --post-processing median (dog 1); "
        "--threshold 0.3 --no-centre-events (dog 7)",
    }
    assert all(names == ["a.wav", "b.wav"] for *_, names in asked)


def test_an_option_without_events_is_not_named_and_centring_is_only_left_out_for_a_label_that_is_missing():
    highest = ("a.wav", 9, [0.5, 0.9], [0.1, 0.39])
    advice, asked = advised(nearest_of(highest), {(0.3, 2, True): {"a.wav": {"dog": 1}}})
    assert advice.endswith(". Options that give events: --threshold 0.3 (dog 1)") and len(asked) == 2
    advice, asked = advised(nearest_of(highest), {}, post_processing="median")
    assert advice.endswith(" before") and [one[:3] for one in asked] == [(0.3, 1, True), (0.3, 1, False)]
    _, asked = advised(nearest_of(highest), {}, post_processing="none", centred=False)
    assert [one[:3] for one in asked] == [(0.3, 0, False)]


def test_options_are_tried_on_the_nearest_recordings_of_a_limited_length_only():
    recordings = [(f"{k}.wav", TRIED / 2, [0, 0.9], [0, 0.1 * k]) for k in range(1, 5)]
    advice, asked = advised(nearest_of(*recordings), {(0.3, 2, True): {"3.wav": {"dog": 2}}})
    assert asked[0][3] == ["4.wav", "3.wav"] and ", in 2 of 4 recordings: --threshold 0.3 (dog 2)" in advice
    advice, asked = advised(nearest_of(("long.wav", TRIED + 1, [0, 0.9], [0, 0.4])), {})
    assert not asked and "--threshold 0.3 may give some; not tried" in advice
    advice, asked = advised(nearest_of(recordings[0], events=[Detection(Event(0, 1, "dog"), 0.9)]), {})
    assert advice == "" and not asked


@pytest.mark.parametrize(
    ("posterior", "text"), [(0.39, "0.3"), (0.34, "0.3"), (0.33, "0.2"), (1, "0.9"), (0.04, "0.03"), (0, "0.001")]
)
def test_the_threshold_that_is_tried_is_a_little_below_the_highest_posterior(posterior, text):
    assert _just_below(posterior) == text


def test_labels_that_are_not_listed_are_counted() -> None:
    for more, text in ((0, "l0 1"), (1, ", 1 more label"), (2, ", 2 more labels")):
        events = Counter(f"l{k}" for k in range(LISTED + more))
        counted = _counted(events)
        assert text in counted and counted.endswith(text if more else f"l{LISTED - 1} 1")
