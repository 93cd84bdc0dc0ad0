from sed.evaluation.metrics.table import BY_KEY
from sed.evaluation.reports.certainty import FEW, NO_INTERVAL, caveat, interval_text


def test_an_interval_of_no_width_is_no_certainty() -> None:
    psds, f1 = BY_KEY["psds1"], BY_KEY["event_f1_macro"]
    assert interval_text([1.0, 1.0], psds) == f"[{NO_INTERVAL}]"
    assert interval_text([0.551, 0.639], f1) == "[55.10, 63.90]"
    assert interval_text(None, psds) == ""


def test_few_clips_have_their_caveat() -> None:
    assert "on 1 clip only" in caveat([{"clips": 1}])
    assert "on 3 clips only" in caveat([{"clips": 1168}, {"clips": 3}])
    assert caveat([{"clips": FEW}]) == caveat([]) == ""
