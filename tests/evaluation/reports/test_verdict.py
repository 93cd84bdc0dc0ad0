"""The first lines of a report: events found and detections right, label by label."""

import numpy as np
import pytest
from problems import detections, problem

from sed.evaluation.metrics.evaluate import evaluate
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports.certainty import FEW
from sed.evaluation.reports.verdict import count, verdict

LABELS = ["dog", "alarm", "<dishes>"]


def made(rows):
    """Return a table of (clip, label, onset, offset)."""
    return EventTable.of(*(np.array(column) for column in zip(*sorted(rows), strict=True)))


def kitchen(clips=("monday_0.000_10.000", "monday_10.000_20.000", "tuesday_0.000_10.000")):
    truth = made([(0, 0, 1.0, 2.0), (0, 0, 4.0, 5.0), (0, 1, 6.0, 8.0), (1, 2, 0.0, 3.0), (2, 1, 1.0, 3.0)])
    return Problem(clips=list(clips), labels=LABELS, durations=np.full(len(clips), 10.0), truth=truth)


def test_each_label_is_judged_in_words_and_nothing_detected_is_said():
    found = made([(0, 0, 1.1, 2.1), (0, 0, 4.5, 5.0), (0, 0, 6.1, 7.0), (0, 1, 9.0, 9.5), (1, 0, 5.0, 6.0)])
    text = "".join(verdict(kitchen(), found))
    assert (
        "<li>dog: 1 of 2 events found, 1 of 4 detections right; the others: 1 lay on alarm, "
        "1 had wrong times (or were doubled), 1 lay on nothing</li>"
    ) in text
    assert "<li>alarm: 0 of 2 events found, 0 of 1 detections right; the others: 1 lay on nothing</li>" in text
    assert "<li>nothing detected: &lt;dishes&gt; (1 event)</li>" in text and "<dishes>" not in text
    assert "Only 2 recordings (3 clips): these numbers are rough." in text
    assert ">--threshold 0.3</code>" in text and "a higher threshold" in text


def test_what_is_found_gets_no_advice_and_many_clips_no_warning():
    right = kitchen().truth
    text = "".join(verdict(kitchen(), right))
    assert "helps" not in text and "others" not in text and "alarm: 2 of 2 events found" in text
    assert "rough" not in "".join(verdict(kitchen([f"c{k}" for k in range(FEW)]), right))


@pytest.mark.parametrize("seed", range(5))
def test_the_numbers_are_those_of_event_based_f1(seed):
    task = problem(seed, events=30)
    found = detections(seed, task)
    counts = evaluate(task, detections=found, points=None, scores=None).counts["event"].total()
    whole = count(task, found)
    for k, label in enumerate(task.labels):
        one = whole[label]
        assert (one.right, one.detections, one.events) == (counts.tp[k], counts.system[k], counts.truth[k])
        assert one.right + one.off + one.nothing + sum(one.taken.values()) == one.detections
