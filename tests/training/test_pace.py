import pytest

from sed.training import pace


def test_a_slow_start_is_soon_forgotten(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    run = pace.Pace(10)  # resumed at step 10
    clock[0] = 50
    assert run.at(11) == pytest.approx(1 / 50)
    for step in range(12, 72):  # a step a second from then on
        clock[0] += 1
        rate = run.at(step)
        assert rate <= 1 + 1e-9
    assert rate == pytest.approx(1)
    clock[0] += 600  # and a machine that slept
    assert run.at(72) == pytest.approx(1 / 600)
