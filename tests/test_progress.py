"""Progress: the rate, the time left, the lines and when they come; a bar where there is a terminal."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from sed import progress
from sed.progress import Meter, Progress


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    return clock


def test_a_slow_start_is_soon_forgotten(clock: Clock) -> None:
    run = Progress(100, "step", done=10)
    clock.now += 50
    run.advance()
    assert run.rate == pytest.approx(1 / 50)
    for _ in range(60):  # one step per second from then on, for a whole WINDOW
        clock.now += 1
        run.advance()
        assert run.rate <= 1 + 1e-9
    assert run.rate == pytest.approx(1) and run.left == pytest.approx(100 - run.done)
    clock.now += 600  # and a machine that slept
    run.advance()
    assert run.rate == pytest.approx(1 / 600)


def test_the_time_left_is_shown_only_when_the_rate_is_steady_and_then_is_near_the_truth(clock: Clock) -> None:
    """Three ways to start: at once, slowly for ten seconds, and with a compilation of two minutes; then 2 steps/s."""
    for first in ([], [3.5, 3.5, 3.0], [120.0]):
        run = Progress(400, "step")
        for seconds in first:
            clock.now += seconds
            run.advance()
            assert run.left is None
        shown_after = None
        for step in range(390):
            clock.now += 0.5
            run.advance()
            if run.left is not None:
                shown_after = shown_after or step / 2
                assert run.left == pytest.approx((400 - run.done) / 2, rel=0.15)
        # seconds after the slow steps: about EVERY if they took 10 s or 2 minutes, twice that without any
        assert shown_after is not None and 9 <= shown_after <= 20.5


def test_the_time_left_is_shown_after_a_minute_even_if_the_rate_never_settles(clock: Clock) -> None:
    run = Progress(10_000, "step")
    for second in range(60):
        clock.now += 1
        run.advance(20 if second < 12 else 2 if second < 40 else 1)
        assert second >= 59 or run.left is None
    done = 12 * 20 + 28 * 2 + 20 * 1
    assert run.left == pytest.approx((10_000 - done) / (done / 60))


def test_many_short_steps_count_like_few_long_ones(clock: Clock) -> None:
    run = Progress(None, "clip")
    for _ in range(20_000):
        clock.now += 0.01
        run.advance(3)
    assert run.rate == pytest.approx(300, rel=0.02)
    assert run.left is None and run.moved == run.done == 60_000
    assert len(run._seen) < 100


def test_a_line_every_ten_seconds(clock: Clock, log_lines: list[str]) -> None:
    with Progress(100, "clip", done=20, title="cut") as run:
        due = []
        for _ in range(35):
            clock.now += 1
            due.append(run.advance())
    assert [at for at, was in enumerate(due, 1) if was] == [10, 20, 30]
    assert log_lines == [
        "cut 30 of 100 clips, 1 clips/s",
        "cut 40 of 100 clips, 1 clips/s, 60 s left",
        "cut 50 of 100 clips, 1 clips/s, 50 s left",
    ]


def test_a_caller_may_choose_the_words_and_the_moment(clock: Clock, log_lines: list[str]) -> None:
    run = Progress(8, "step", describe=lambda run: f"step {run.done:.0f}: {run.rate:.2f}/s")
    clock.now += 12
    assert not run.advance(2, report=False) and not log_lines
    assert run.report() and not run.report()
    clock.now += 9
    run.postpone()  # the caller has logged a line
    clock.now += 9
    assert not run.report()
    hidden = Progress(8, "step", shown=False)
    clock.now += 60
    assert hidden.advance()  # the caller's other periodic work is due all the same
    assert log_lines == ["step 2: 0.17/s"]


def test_a_terminal_gets_a_bar_and_no_lines(
    clock: Clock, log_lines: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(40, "clip", done=10, title="dump") as run:
        clock.now += 11
        assert run.advance(20)
    assert not log_lines
    assert "30/40" in capsys.readouterr().err
    with Progress(40, "clip", shown=False) as run:
        run.advance(20)
    assert not capsys.readouterr().err


def test_a_transfer_counts_what_arrives_and_no_byte_twice(clock: Clock, log_lines: list[str]) -> None:
    meter = Meter()
    meter.expect("a", 40_000_000, 10_000_000)
    meter.expect("b", 60_000_000)
    meter.at("a", 10_000_000)
    for second in range(1, 21):
        clock.now += 1
        meter.at("a", 10_000_000 + second * 1_000_000)
        meter.at("b", second * 1_000_000)
    # The lines are logged by the update of a; b's of the same second, 1 MB, comes after it.
    assert log_lines == ["download: 29 MB of 100 MB, 2 MB/s", "download: 49 MB of 100 MB, 2 MB/s, 26 s left"]
    assert meter.left() == {"a": 10_000_000, "b": 40_000_000}
    meter.at("b", 0)  # begun again: b's bytes are to come again, but still count for the rate
    clock.now += 10
    meter.at("b", 1_000_000)
    assert log_lines[2] == "download: 31 MB of 100 MB, 1 MB/s, 50 s left"
    meter.close()
    meter.at("b", 2_000_000)
    assert meter.left()["b"] == 58_000_000


def test_a_transfer_of_unknown_size_says_what_came(clock: Clock, log_lines: list[str]) -> None:
    meter = Meter("unpack x.tar")
    meter.at("x", 0)
    clock.now += 20
    meter.at("x", 3_000)
    assert log_lines == ["unpack x.tar: 3 kB, 150 B/s"]


def test_transfers_have_no_total_while_the_size_of_one_is_unknown(clock: Clock, log_lines: list[str]) -> None:
    meter = Meter()
    meter.expect("known", 2_000)
    meter.expect("of unknown size", 0)
    meter.at("known", 0)
    for second in range(1, 31):
        clock.now += 1
        meter.at("of unknown size", 100 * second)
    assert log_lines == [f"download: {sent} kB, 100 B/s" for sent in (1, 2, 3)]

    log_lines.clear()
    meter = Meter()
    meter.expect("known", 2_000)
    meter.at("known", 0)
    clock.now += 10
    meter.at("known", 1_000)
    meter.at("fallback, not expected", 0)
    clock.now += 10
    meter.at("fallback, not expected", 3_000)
    # 300 B/s instead of 200: the first 10 s were much slower, so they are no longer counted (`Progress._settle`).
    assert log_lines == ["download: 1 kB of 2 kB, 100 B/s", "download: 4 kB, 300 B/s"]


class Interrupted(Progress):
    """Progress within each step of which other threads run; what they count meanwhile is lost."""

    def advance(self, count: float = 1, *, report: bool = True) -> bool:
        before = self.done, self.moved
        time.sleep(1e-4)
        self.done, self.moved = before
        return super().advance(count, report=report)


def test_transfers_may_come_from_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "Progress", Interrupted)
    meter = Meter()
    names = [f"file{n}" for n in range(8)]
    for name in names:
        meter.expect(name, 50)

    def fetch(name: str) -> None:
        for position in range(1, 51):
            meter.at(name, position)

    threads = [threading.Thread(target=fetch, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter._progress is not None and meter._progress.done == meter._progress.moved == 8 * 50
    assert set(meter.left().values()) == {0}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.4, "89 s"), (90, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


@pytest.mark.parametrize(("size", "text"), [(12, "12 B"), (890e6, "890 MB"), (999.6e6, "1.0 GB"), (31.6e9, "31.6 GB")])
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert progress.human(size) == text
