"""The picture of class-wise gains."""

from pathlib import Path

import pytest
from several_seeds import experiments

from sed.evaluation.reports.seeds import gains, reduce


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return experiments(tmp_path / "exp")


def test_gains_are_drawn_shortest_events_first(exp):
    one = reduce.margin("ast_gru", "ast_sed", reduce.find(exp, "validation"))
    axes = gains.gains(one, {"Dog": 3.0, "Frying": 0.5}).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Frying\n0.5 s", "Dog\n3.0 s"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([10, 10])
    nothing = {**one, "per_class": {"Dog": {"event_f1": None}}}
    assert gains.gains(nothing, {}) is None
