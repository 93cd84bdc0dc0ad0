from collections import Counter

import numpy as np
import pytest
from bursts import Bursts

from sed.data.labels import merge_events
from sed.data.synthesis.procedural_bank import ProceduralBank
from sed.data.synthesis.soundscape import ISOLATED, PROFILES, REAL, SYNTHETIC, draw_labels, profile, soundscape, trim


@pytest.fixture(scope="module")
def clips():
    bank = ProceduralBank(seed=0)
    return [
        soundscape(bank, "train", mixing, np.random.default_rng(seed))
        for seed, mixing in enumerate([REAL, SYNTHETIC] * 15)
    ]


def test_clips_have_their_length_and_events_lie_inside(clips):
    for audio, events in clips:
        assert audio.shape == (160000,) and audio.dtype == np.float32
        assert np.isfinite(audio).all() and 0 < np.abs(audio).max() < 1
        for onset, offset, label in events:
            assert 0 <= onset < offset <= 10 and label in PROFILES
        assert merge_events({"x": events})[1] == 0  # no two of a label overlap


def test_counts_and_overlaps_are_like_desed(clips):
    counts = [len(events) for _, events in clips]
    assert 2.5 < np.mean(counts) < 5.0  # DESED's validation has 3.6 per clip
    spans = [(e.onset, e.offset, e.label) for _, events in clips for e in events]
    assert np.mean([any(a[2] != b[2] and a.onset < b.offset and b.onset < a.offset for a in e for b in e)
                    for _, e in clips]) > 0.15  # fmt: skip
    long = [b - a for a, b, label in spans if label in ("Frying", "Vacuum_cleaner", "Electric_shaver_toothbrush")]
    short = [b - a for a, b, label in spans if label in ("Dishes", "Dog", "Cat", "Speech")]
    assert np.median(long) > 4 and 0.2 < np.median(short) < 1.5


def test_annotated_times_are_those_of_the_sound():
    for seed in range(8):
        audio, events = soundscape(Bursts(), "train", ISOLATED, np.random.default_rng(seed), labels=["Burst"])
        power = (audio.reshape(-1, 160) ** 2).mean(axis=1)
        loud = power > 0.05 * power.max()  # -13 dB; the background's median is 19 dB down or more (measured)
        annotated = np.zeros(1000, bool)
        for event in events:
            annotated[round(event.onset * 100) : round(event.offset * 100)] = True
        assert (loud & ~annotated).mean() < 0.02 + 0.05 * len(events)  # reverberation: at most 0.5 of 10 s per event
        assert (annotated & ~loud).mean() < 0.02


def test_a_clip_is_a_function_of_its_generator():
    bank = ProceduralBank(seed=0)
    first, second = (soundscape(bank, "train", REAL, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1] == second[1]


def test_labels_are_drawn_by_their_share():
    bank = ProceduralBank(seed=0)
    rng = np.random.default_rng(0)
    drawn = [draw_labels(bank, "train", rng) for _ in range(2000)]
    assert Counter(map(len, drawn))[1] == pytest.approx(2000 * 597 / 1168, rel=0.1)  # as in DESED's validation
    found = Counter(label for labels in drawn for label in labels)
    assert set(found) == set(PROFILES) and found.most_common(1)[0][0] == "Speech"


def test_a_label_that_desed_lacks_has_the_bank_s_typical_length():
    assert profile(Bursts(), "Burst").median == 1.0


def test_trim_leaves_out_silence_at_both_ends():
    sound = np.zeros(16000)
    sound[3200:8000] = 1
    assert len(trim(sound)) == 4800
    assert len(trim(np.ones(10))) == 10
