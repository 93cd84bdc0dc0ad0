"""A budget of false alarms: chosen on some hours without events, kept on others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loudness import POST, RATE, Loudness
from scipy.stats import binom

from sed.errors import UserError
from sed.evaluation.postprocessing.threshold import Threshold
from sed.prediction import alarms
from sed.prediction.alarms import count_alarms, keep_budget, poisson_interval, shares, threshold_for
from sed.prediction.window_settings import WindowSettings

BUDGET = 20.0
"""per hour; every recording is an hour long"""


@lru_cache
def noise(seed: int, seconds: int) -> np.ndarray:
    """Return a quiet background with half-second bursts of random amplitude, 80 per hour on average.

    `Loudness` with the threshold of `POST` detects about three quarters of them: 64 in the hour of seed 0.
    """
    rng = np.random.default_rng(seed)
    audio = rng.uniform(-0.02, 0.02, seconds * RATE).astype(np.float32)
    for begin in rng.uniform(0, seconds - 2, rng.poisson(80 * seconds / 3600)):
        at = round(begin * RATE)
        audio[at : at + RATE // 2] = rng.uniform(0.3, 1.0)
    return audio


def blocks(name: str) -> Iterator[np.ndarray]:
    yield noise(int(name), 3600)


@pytest.mark.thorough
@pytest.mark.parametrize("centred", [False, True])
def test_the_budget_is_kept_on_hours_that_it_was_not_chosen_on(centred: bool) -> None:
    model: Any = Loudness()
    windows = WindowSettings(overlap=2.0, centre_events=centred)
    before = count_alarms(model, POST, ["100"], blocks, windows=windows, batch_size=64)
    post, found = keep_budget(model, POST, ["0"], blocks, per_hour=BUDGET, windows=windows, batch_size=64)
    after = count_alarms(model, post, ["100"], blocks, windows=windows, batch_size=64)
    assert found.hours == pytest.approx(1) and 0.8 * BUDGET <= found.total <= BUDGET
    # Two Poisson counts of an hour each: given their sum, one of them is binomial. 10: clearly fewer, chosen by hand.
    low, high = binom.interval(0.95, found.total + after.total, 0.5)
    assert low <= after.total <= high and after.total < before.total - 10


@pytest.mark.thorough
def test_a_model_within_the_budget_keeps_its_thresholds() -> None:
    model: Any = Loudness()
    post, found = keep_budget(model, POST, ["0"], blocks, per_hour=1000, windows=WindowSettings(), batch_size=64)
    assert post == POST and found.total == found.alarms["loud"] > 10


@pytest.mark.thorough
def test_alarms_left_after_the_last_round_are_those_of_the_thresholds_that_are_returned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = Loudness()
    windows = WindowSettings()
    monkeypatch.setattr(alarms, "MOST_ROUNDS", 1)
    monkeypatch.setattr(alarms, "threshold_for", lambda _scores, _most, lowest: lowest + 0.01)  # far too little
    post, found = keep_budget(model, POST, ["0"], blocks, per_hour=BUDGET, windows=windows, batch_size=64)
    assert post != POST and found.total > BUDGET
    assert found.alarms == count_alarms(model, post, ["0"], blocks, windows=windows, batch_size=64).alarms
    assert f"{found.total} false alarms are left after 1 rounds" in caplog.text


@pytest.mark.thorough
def test_too_short_recordings_are_refused_with_what_is_needed() -> None:
    model: Any = Loudness()
    with pytest.raises(UserError, match=r"--alarms-per-hour 0.5: takes 2 hours of recordings or more, not 1 \(add"):
        keep_budget(model, POST, ["0"], blocks, per_hour=0.5, windows=WindowSettings(), batch_size=64)


@pytest.mark.parametrize(
    "alarms,allowed,expected",
    [
        ({"a": 1, "b": 9, "c": 20}, 11, {"a": 1, "b": 5, "c": 5}),
        ({"a": 1, "b": 9, "c": 20}, 12, {"a": 1, "b": 6, "c": 5}),
        ({"a": 3, "b": 3, "c": 3}, 1, {"a": 1, "b": 0, "c": 0}),
        ({"a": 3, "b": 0}, 8, {"a": 3, "b": 0}),
    ],
)
def test_labels_with_the_most_alarms_lose_first(alarms: dict[str, int], allowed: int, expected: dict[str, int]) -> None:
    assert shares(alarms, allowed) == expected


def test_thresholds_are_the_lowest_that_leave_at_most_this_number_of_events() -> None:
    rng = np.random.default_rng(0)
    scores = [np.append(rng.uniform(0.5, 1, rng.integers(1, 30)), 0).astype(np.float32) for _ in range(40)]

    def events(threshold: float) -> int:  # counted as anyone would, run by run
        count = 0
        for run in scores:
            inside = False
            for value in run:
                count += value > threshold and not inside
                inside = value > threshold
        return count

    for most in (0, 1, 5, 20):
        threshold = threshold_for(scores, most, 0.5)
        assert events(threshold) <= most and 0.5 <= threshold <= 1
        # no lower one does, although the number of events rises, too, where an event splits into its peaks
        assert all(events(float(v)) > most for run in scores for v in run[:-1] if v < threshold)
    assert threshold_for([np.float32([0.9, 0.6, 0.95, 0]), np.float32([0.55, 0])], 1, 0.5) == np.float32(0.55)
    assert threshold_for([], 0, 0.3) == 0.3
    plateau = [np.float32([0.6, 0.6, 0]), np.float32([0.7, 0.7, 0])]
    assert threshold_for(plateau, 1, 0.5) == np.float32(0.6) and threshold_for(plateau, 0, 0.5) == np.float32(0.7)


def test_the_interval_is_the_published_one() -> None:
    """Garwood's table: 0 to 3.689, 0.0253 to 5.572 and 4.795 to 18.39 for 0, 1 and 10 events."""
    for count, (low, high) in {0: (0, 3.689), 1: (0.0253, 5.572), 10: (4.795, 18.39)}.items():
        assert poisson_interval(count) == (pytest.approx(low, rel=2e-3), pytest.approx(high, rel=1e-3))


@pytest.mark.thorough
def test_a_threshold_of_one_finds_nothing() -> None:
    model: Any = Loudness()
    post = replace(POST, threshold=Threshold({"loud": 1.0}))
    assert count_alarms(model, post, ["0"], blocks, windows=WindowSettings(), batch_size=64).total == 0


@pytest.mark.thorough
def test_the_command_writes_what_predict_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from tiny_model import call, save_tiny, write_sounds

    from sed.bin import pack, predict, tune

    model = save_tiny(tmp_path / "model")
    for number in range(2):
        write_sounds(tmp_path / f"{number}.wav", 30, seed=number)
    budget = ["--model", model, "--alarms-per-hour", "600", "--device", "cpu", "--out", tmp_path / "quiet.json"]
    assert call(tune, *budget, tmp_path / "0.wav", tmp_path / "1.wav") == 0
    stored = json.loads((tmp_path / "quiet.json").read_text())
    assert sum(stored["alarms"].values()) <= 10 and stored["clips"] == ["0", "1"]
    assert "false alarms in 0.02 hours" in capsys.readouterr().err
    predicted = ["--model", model, "--device", "cpu", "--threads", "1", tmp_path / "0.wav", tmp_path / "1.wav"]
    counts = []
    for extra in ([], ["--tuned", tmp_path / "quiet.json"]):
        assert call(predict, *predicted, *extra) == 0
        printed = capsys.readouterr()
        counts.append(len(printed.out.splitlines()) - 1)
        assert ("post-processing of " + str(tmp_path / "quiet.json") in printed.err) == bool(extra)
    assert counts[0] > 10 and counts[1] == sum(stored["alarms"].values())
    assert call(pack, "--tuned", tmp_path / "quiet.json", model, tmp_path / "packed") == 0
    assert f"post-processing of {tmp_path / 'quiet.json'}" in capsys.readouterr().err
    assert call(tune, *budget[2:], tmp_path / "0.wav") == 2
    assert "go together" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alarms-per-hour", "0"], "--alarms-per-hour 0: a number above 0"),
        (["--alarms-per-hour", "5", "--bias"], "takes recordings, not scores"),
        (["--alarms-per-hour", "5", "--only-scored"], "takes recordings, not scores"),
        (["--alarms-per-hour", "5", "--ground-truth", "events.tsv"], "takes recordings without events"),
    ],
)
def test_a_budget_of_0_and_options_that_a_budget_does_not_use_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    from tiny_model import call

    from sed.bin import tune

    assert call(tune, "--model", "no such model", *options, "--out", tmp_path / "t.json", tmp_path / "x.wav") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "t.json").exists()


def test_streams_are_refused_since_recordings_are_read_again_for_every_rise_of_the_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny_model import call

    from sed.bin import tune

    assert call(tune, "--model", "none", "--alarms-per-hour", "5", "--out", tmp_path / "t.json", "-") == 2
    assert "-: a stream, which can be read only once (give files)" in capsys.readouterr().err
