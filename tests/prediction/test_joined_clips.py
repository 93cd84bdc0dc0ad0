"""Recordings that are put together from the clips that they were cut into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from sed.data.prepare.clips import window_name, within
from sed.data.synthesis.signals import RATE
from sed.data.tables import Event, write_events_tsv
from sed.prediction.joined_clips import join_clips

EVENTS = [Event(0.5, 2.5, "a"), Event(1.0, 1.25, "b"), Event(3.5, 4.5, "a")]
"""two of them cross a border of clips of 2 s"""


def write_set(folder: Path, recordings: dict[str, float], *, missing: str = "") -> dict[str, np.ndarray]:
    """Write a data directory of clips of 2 s; return the samples of the recordings."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    sounds, scp, events = {}, [], {}
    for name, seconds in recordings.items():
        sounds[name] = 0.1 * rng.standard_normal(round(RATE * seconds)).astype(np.float32)
        for start in np.arange(0, seconds, 2.0):
            end = min(start + 2.0, seconds)
            clip = window_name(name, start, end)
            if clip == missing:
                continue
            path = folder / f"{clip}.wav"
            soundfile.write(path, sounds[name][round(start * RATE) : round(end * RATE)], RATE, subtype="FLOAT")
            scp.append(f"{clip} {path}\n")
            events[clip] = within(EVENTS, start, end)
    (folder / "wav.scp").write_text("".join(sorted(scp)))
    write_events_tsv(folder / "events.tsv", events)
    return sounds


def test_sounds_and_events_are_those_before_the_cut(tmp_path: Path) -> None:
    sounds = write_set(tmp_path / "set", {"long": 5.0, "short": 1.5, "x_1.000": 6.0})
    found, number = join_clips(tmp_path / "set", minutes=10)
    assert number == 2 and sorted(round(one.minutes * 60, 6) for one in found) == [5.0, 6.0]
    for one in found:
        name = "long" if one.minutes * 60 < 5.5 else "x_1.000"
        np.testing.assert_allclose(one.audio, sounds[name], atol=1e-6)
        assert [event.label for event in one.events] == ["a", "b", "a"]
        np.testing.assert_allclose([event[:2] for event in one.events], [event[:2] for event in EVENTS])


def test_recordings_that_lack_a_clip_are_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"whole": 4.0, "broken": 6.0}, missing=window_name("broken", 2.0, 4.0))
    found, number = join_clips(tmp_path / "set", minutes=10)
    assert number == len(found) == 1 and found[0].minutes * 60 == pytest.approx(4.0)


def test_recordings_with_a_clip_that_ends_early_are_left_out(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {"whole": 4.0, "broken": 6.0})
    scp = tmp_path / "set" / "wav.scp"
    scp.write_text(
        scp.read_text().replace(window_name("broken", 2.0, 4.0) + " ", window_name("broken", 2.0, 3.0) + " ")
    )
    found, _ = join_clips(tmp_path / "set", minutes=10)
    assert [one.minutes * 60 for one in found] == [pytest.approx(4.0)]


@pytest.mark.parametrize("samples", [RATE, 3 * RATE], ids=["short", "long"])
def test_a_file_of_another_length_than_its_clip_does_not_shift_later_clips(samples: int, tmp_path: Path) -> None:
    sounds = write_set(tmp_path / "set", {"r": 6.0})["r"]
    path = tmp_path / "set" / f"{window_name('r', 0.0, 2.0)}.wav"
    soundfile.write(path, np.resize(sounds[: 2 * RATE], samples), RATE, subtype="FLOAT")
    (found,), _ = join_clips(tmp_path / "set", minutes=10)
    assert found.minutes * 60 == pytest.approx(6.0)
    np.testing.assert_array_equal(found.audio[2 * RATE :], sounds[2 * RATE :])


def test_no_more_minutes_are_joined_than_asked_but_at_least_one_recording(tmp_path: Path) -> None:
    write_set(tmp_path / "set", {f"r{n}": 6.0 for n in range(5)})
    found, number = join_clips(tmp_path / "set", minutes=0.2)
    assert number == 5 and len(found) == 2  # 0.2 minutes are two recordings of 6 s
    assert len(join_clips(tmp_path / "set", minutes=0.01)[0]) == 1  # the first, however long it is
    again, _ = join_clips(tmp_path / "set", minutes=0.2)
    assert all(np.array_equal(a.audio, b.audio) for a, b in zip(found, again, strict=True))
