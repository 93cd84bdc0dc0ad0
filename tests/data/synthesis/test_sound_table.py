import numpy as np
import pytest
import soundfile

from sed.data.synthesis.signals import RATE
from sed.data.synthesis.sound_table import IN_PROCESS, LOOPED, Sounds, chances
from sed.data.synthesis.soundbank import SoundBank


def bank(path):
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for role, label, seconds in [
            ("foreground", "Bark", 0.5),
            ("foreground", "Hum", 4.0),
            ("distractor", "Knock", 0.4),
            ("background", "rain", 3.0),
        ]:
            folder = path / split / role / label
            folder.mkdir(parents=True)
            for i in range(2 if split == "train" else 1):
                sound = np.concatenate([np.zeros(800), 0.1 * rng.normal(size=int(seconds * RATE))])
                soundfile.write(folder / f"{i}.wav", sound, RATE)
    return SoundBank(path)


def test_kinds_come_in_order_levelled_trimmed_and_looped(tmp_path):
    sounds = Sounds.load(bank(tmp_path))
    assert sounds.names == ["Bark", "Hum", "distractor/Knock", "background/rain"]
    assert [kind.count for kind in sounds.kinds] == [2, 2, 2, 2] and len(sounds.length) == 8
    assert [kind.texture for kind in sounds.kinds] == [False, True, False, True]
    for kind in sounds.kinds:
        for i in range(kind.first, kind.first + kind.count):
            sound = sounds.wave[sounds.start[i] :][: sounds.length[i]].astype(float)
            windows = sound[: len(sound) // 1600 * 1600].reshape(-1, 1600)
            # the loudest tenth of a second, of level 1, need not begin where one of the windows does
            assert 0.8 < np.sqrt((windows**2).mean(1)).max() < 1.05
            assert (len(sound) == LOOPED * RATE) == kind.texture
    assert sounds.length[0] < 0.51 * RATE  # the silence at the start is gone


def test_a_linked_folder_is_a_kind_of_its_own(tmp_path):
    bank(tmp_path)
    (tmp_path / "train/distractor/rain").symlink_to("../background/rain")
    names = Sounds.load(SoundBank(tmp_path)).names
    assert "distractor/rain" in names and "background/rain" in names


@pytest.mark.thorough
def test_procedural_sounds_are_separate_kinds_for_any_number_of_processes(tmp_path):
    sounds = Sounds.load(bank(tmp_path), procedural=32, seed=3)
    assert "procedural/Dog" in sounds.names and "procedural/background" in sounds.names
    assert {kind.role for kind in sounds.kinds if kind.name == "procedural/background"} == {"background"}
    count = IN_PROCESS + 1  # so that two processes are started
    many = Sounds.load(SoundBank(tmp_path), procedural=count, seed=3, nj=2)
    alone = Sounds.load(SoundBank(tmp_path), procedural=count, seed=3, nj=1)
    assert np.array_equal(many.wave, alone.wave)


def test_a_source_of_many_sounds_is_weighted_down():
    chance = chances(["a", "a", "a", "a", "b"])
    assert np.allclose(chance, [1 / 6] * 4 + [1 / 3])
