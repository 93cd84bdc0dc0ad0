import dataclasses
import itertools

import numpy as np
import pytest
from bursts import Bursts

from sed.data.synthesis.continuous import SHORTEST, continuous
from sed.data.synthesis.procedural_bank import ProceduralBank
from sed.data.synthesis.signals import RATE
from sed.data.synthesis.soundscape import GAP, ISOLATED, PROFILES, REAL


@pytest.fixture(scope="module")
def recordings():
    bank = ProceduralBank(seed=0)
    return [
        continuous(bank, "validation", REAL, np.random.default_rng(seed), seconds=60, every=every)
        for every in (10, 60)
        for seed in range(4)
    ]


def test_recordings_have_their_length_and_events_lie_inside(recordings):
    for audio, events in recordings:
        assert audio.shape == (60 * RATE,) and audio.dtype == np.float32
        assert np.isfinite(audio).all() and 0 < np.abs(audio).max() < 1
        assert events == sorted(events)
        for onset, offset, label in events:
            assert onset >= 0 and onset + SHORTEST - 0.002 <= offset <= 60 and label in PROFILES


def test_events_of_one_label_are_apart(recordings):
    for _, events in recordings:
        for label in {event.label for event in events}:
            mine = [event for event in events if event.label == label]
            for one, other in itertools.pairwise(mine):
                assert other.onset - one.offset > GAP - 0.002  # times are rounded to milliseconds


def test_stretches_set_the_density_and_begin_anywhere(recordings):
    dense, sparse = recordings[:4], recordings[4:]
    # a dense recording has 7 stretches, a sparse one 2
    assert sum(len(events) for _, events in dense) > 2.5 * sum(len(events) for _, events in sparse) > 0
    across = [e for _, events in dense for e in events if e.onset // 10 != e.offset // 10]
    assert across and len({round(e.onset % 10, 1) for _, events in dense for e in events}) > 20


def test_the_same_seed_is_the_same_recording(recordings):
    bank = ProceduralBank(seed=0)
    audio, events = continuous(bank, "validation", REAL, np.random.default_rng(1), seconds=60, every=10)
    np.testing.assert_array_equal(audio, recordings[1][0])
    assert events == recordings[1][1]


def test_events_are_where_they_are_annotated():
    dry = dataclasses.replace(ISOLATED, reverberation=(0.01, 0.02), wet=(0.0, 0.0))
    loud, silent = [], []
    for seed in range(6):
        audio, events = continuous(Bursts(), "train", dry, np.random.default_rng(seed), seconds=40, every=10)
        power = (audio.astype(float)[: len(audio) // 160 * 160].reshape(-1, 160) ** 2).mean(1)  # blocks of 10 ms
        inside = np.zeros(len(power), bool)
        edge = np.zeros(len(power), bool)  # within 50 ms of an onset or offset
        for onset, offset, _ in events:
            inside[round(onset * 100) : round(offset * 100)] = True
            for border in (onset, offset):
                edge[max(0, round(border * 100) - 5) : round(border * 100) + 6] = True
        loud.append(np.median(power[inside & ~edge]))
        silent.append(power[~inside & ~edge].max() if (~inside & ~edge).any() else 0)
        assert len(events) > 3
    assert (np.array(loud) > 3 * np.array(silent)).all()
