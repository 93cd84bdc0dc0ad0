"""All numbers of a system on a set."""

from problems import detections, problem

from sed.evaluation.metrics.evaluate import evaluate, summary


def test_a_class_without_ground_truth_is_reported_and_in_no_average_over_classes():
    made = problem(1, classes=2)
    three = type(made)(clips=made.clips, labels=[*made.labels, "silent"], durations=made.durations, truth=made.truth)
    found = detections(1, three)
    with_alarms = evaluate(three, detections=found, points=None, scores=None)
    without = evaluate(made, detections=found.where(found.label < 2), points=None, scores=None)
    result, plain = summary(three, with_alarms), summary(made, without)
    assert result["classes_without_ground_truth"] == ["silent"]
    assert result["per_class"]["silent"]["event_f1"] is None
    for kind in ("event", "segment", "intersection"):
        assert result[f"{kind}_f1_macro"] == plain[f"{kind}_f1_macro"]
        assert result[f"{kind}_f1_micro"] < plain[f"{kind}_f1_micro"]  # counts the false alarms of all classes
