import numpy as np
import pytest
import soundfile
from paths import KIT

from sed.data.synthesis.signals import RATE
from sed.data.synthesis.soundbank import SoundBank
from sed.data.synthesis.soundscape import REAL, soundscape
from sed.errors import UserError


def put(path, seconds, rate=16000, pitch=500, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, np.stack([tone] * channels, axis=1), rate)


@pytest.fixture
def bank_dir(tmp_path):
    for split, pitch in (("train", 500), ("validation", 900)):
        put(tmp_path / split / "foreground" / "Bird" / "a.wav", 0.6, pitch=pitch)
        put(tmp_path / split / "foreground" / "Rain" / "b.flac", 4.0, rate=44100, channels=2, pitch=pitch)
        put(tmp_path / split / "background" / "fan" / "deep" / "c.ogg", 2.0, rate=22050)
        put(tmp_path / split / "distractor" / "car" / "d.wav", 1.0)
    (tmp_path / "train" / "foreground" / "README.txt").write_text("notes")
    return tmp_path


def test_folders_define_the_labels(bank_dir):
    bank = SoundBank(bank_dir)
    assert bank.labels == ["Bird", "Rain"]
    assert bank.typical_seconds("Bird") == pytest.approx(0.6)


def test_events_are_whole_and_textures_are_stretches(bank_dir):
    bank, rng = SoundBank(bank_dir), np.random.default_rng(0)
    assert len(bank.voice("train", "Bird", rng)(rng, 9.0)) == pytest.approx(0.6 * RATE, abs=2)
    for seconds in (1.0, 3.9, 9.0):  # the last is looped
        assert len(bank.voice("train", "Rain", rng)(rng, seconds)) == pytest.approx(seconds * RATE, abs=2)
    assert len(bank.background("train", rng, 100000)) == 100000
    assert bank.distractor("train", rng)[0] == "car"
    audio, events = soundscape(bank, "train", REAL, rng, labels=["Bird", "Rain"])
    assert audio.shape == (160000,) and {event.label for event in events} == {"Bird", "Rain"}


def test_the_splits_share_no_recordings(bank_dir):
    bank, rng = SoundBank(bank_dir), np.random.default_rng(0)
    for split, pitch in (("train", 500), ("validation", 900)):
        sound = bank.voice(split, "Bird", rng)(rng, 1.0)
        hertz = np.argmax(np.abs(np.fft.rfft(sound))) * RATE / len(sound)
        assert hertz == pytest.approx(pitch, abs=10)


def test_bad_banks_are_refused(bank_dir):
    with pytest.raises(UserError, match="no such soundbank"):
        SoundBank(bank_dir / "nowhere")
    put(bank_dir / "validation" / "foreground" / "Cow" / "a.wav", 1)
    with pytest.raises(UserError, match="'Cow' is in validation/foreground only"):
        SoundBank(bank_dir)
    put(bank_dir / "train" / "foreground" / "Cow" / "a.wav", 1)
    for label in ("Big cow", "Big\ncow"):  # tables and labels.txt have one label per line
        put(bank_dir / "train" / "foreground" / label / "a.wav", 1)
        with pytest.raises(UserError, match=f"{label!r} holds".replace("\\", r"\\")):
            SoundBank(bank_dir)
        (bank_dir / "train" / "foreground" / label / "a.wav").unlink()
    (bank_dir / "train" / "foreground").rename(bank_dir / "train" / "other")
    with pytest.raises(UserError, match="no recordings in train/foreground"):
        SoundBank(bank_dir)


def test_a_bad_recording_is_named(bank_dir):
    file = bank_dir / "train" / "foreground" / "Bird" / "a.wav"
    file.write_bytes(b"not audio")
    with pytest.raises(UserError, match=r"Bird/a\.wav: not audio"):
        SoundBank(bank_dir).typical_seconds("Bird")


@pytest.mark.skipif(not (KIT / "soundbank").is_dir(), reason=f"no real recordings at {KIT}/soundbank (set SED_KIT)")
def test_the_soundbank_of_the_tests_has_deseds_ten_classes():
    bank = SoundBank(KIT / "soundbank")
    assert len(bank.labels) == 10 and "Electric_shaver_toothbrush" in bank.labels
    audio, events = soundscape(bank, "validation", REAL, np.random.default_rng(2), labels=["Speech", "Dishes"])
    assert audio.any() and events
