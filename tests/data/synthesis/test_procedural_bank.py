import numpy as np
import pytest

from sed.data.synthesis.procedural_bank import DISTRACTORS, FAMILIES, ProceduralBank
from sed.data.synthesis.signals import RATE

LABELS = sorted(FAMILIES)


def make(bank, split, label, seed, seconds=1.5):
    rng = np.random.default_rng(seed)
    return bank.voice(split, label, rng)(rng, seconds)


@pytest.mark.parametrize("label", LABELS)
def test_every_family_gives_sound_and_no_two_are_equal(label):
    bank = ProceduralBank(seed=1)
    sounds = [make(bank, "train", label, seed) for seed in range(6)]
    for sound in sounds:
        assert np.isfinite(sound).all() and 0.3 < len(sound) / RATE < 2.2
        assert np.abs(sound).max() > 0.01
    short = [sound[:4000] / np.abs(sound).max() for sound in sounds]
    for i, one in enumerate(short):
        for other in short[i + 1 :]:
            size = min(len(one), len(other))
            assert np.abs(one[:size] - other[:size]).max() > 0.05
    np.testing.assert_array_equal(sounds[0], make(bank, "train", label, 0))


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("seconds", [0.25, 10.0])
def test_sounds_have_about_the_requested_length_from_a_quarter_second_to_a_clip(label, seconds):
    sound = make(ProceduralBank(seed=0), "train", label, 3, seconds)
    assert np.isfinite(sound).all() and 0.3 * seconds < len(sound) / RATE < 1.4 * seconds + 0.1


def test_training_and_validation_share_no_source(monkeypatch):
    bank = ProceduralBank(seed=0, sources=40)
    drawn = {"train": set(), "validation": set()}
    for split, found in drawn.items():

        def family(source, found=found):
            found.add(source.random())  # the first draw names the source
            return lambda *_: np.zeros(1)

        monkeypatch.setitem(FAMILIES, "Dog", family)
        for seed in range(300):
            bank.voice(split, "Dog", np.random.default_rng(seed))
    assert len(drawn["train"]) == len(drawn["validation"]) == 40
    assert not drawn["train"] & drawn["validation"]


def test_backgrounds_have_the_requested_length_and_distractors_are_of_every_kind():
    bank = ProceduralBank(seed=0)
    assert len(bank.background("train", np.random.default_rng(0), 5000)) == 5000
    kinds = set()
    for seed in range(40):
        kind, sound = bank.distractor("validation", np.random.default_rng(seed))
        kinds.add(kind)
        assert np.isfinite(sound).all() and sound.any()
    assert kinds == set(DISTRACTORS)
