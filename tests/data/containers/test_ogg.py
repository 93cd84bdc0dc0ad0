import numpy as np
import pytest
import soundfile
from sounds import beep, write_beep

from sed.data.audio import inspect, read_audio
from sed.errors import UserError


def ogg(path, rate=16000, subtype="VORBIS"):
    write_beep(path, rate, format="OGG", subtype=subtype)
    return path.read_bytes()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_is_read_completely(tmp_path, subtype):
    one = ogg(tmp_path / "a.ogg", 48000, subtype)
    (tmp_path / "c.ogg").write_bytes(3 * one)
    single = read_audio(tmp_path / "a.ogg", 48000)
    assert np.array_equal(read_audio(tmp_path / "c.ogg", 48000), np.tile(single, 3))
    assert inspect(tmp_path / "c.ogg")[0] == pytest.approx(9.0, abs=0.01)


def test_streams_of_a_chain_may_have_different_rates(tmp_path):
    (tmp_path / "c.ogg").write_bytes(ogg(tmp_path / "a.ogg", 16000) + ogg(tmp_path / "b.ogg", 44100))
    sound = read_audio(tmp_path / "c.ogg", 16000)
    assert len(sound) == pytest.approx(96000, abs=2)
    onsets = np.flatnonzero(np.diff((np.abs(sound) > 0.25).astype(int)) > 0) / 16000
    assert onsets[0] == pytest.approx(1, abs=0.02)
    assert onsets[onsets > 3][0] == pytest.approx(4, abs=0.02)


def test_a_short_stream_of_another_rate_at_the_end_of_a_chain_is_read(tmp_path):
    soundfile.write(tmp_path / "b.ogg", np.full(100, 0.1), 44100, format="OGG", subtype="VORBIS")
    (tmp_path / "c.ogg").write_bytes(ogg(tmp_path / "a.ogg", 16000) + (tmp_path / "b.ogg").read_bytes())
    seconds, fault = inspect(tmp_path / "c.ogg")
    assert seconds == pytest.approx(3 + 100 / 44100, abs=1e-3) and not fault


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_truncated_chain_is_refused(tmp_path, share):
    one = ogg(tmp_path / "a.ogg")
    (tmp_path / "c.ogg").write_bytes(one + one[: int(share * len(one))])
    with pytest.raises(UserError, match=r"c\.ogg: truncated"):
        read_audio(tmp_path / "c.ogg", 16000)


def test_a_stream_without_its_last_page_is_refused(tmp_path):
    one = ogg(tmp_path / "a.ogg")
    (tmp_path / "a.ogg").write_bytes(one[: one.rfind(b"OggS")])
    with pytest.raises(UserError, match=r"a\.ogg: truncated: no last Ogg page"):
        read_audio(tmp_path / "a.ogg", 16000)


def test_a_page_after_the_last_one_is_refused(tmp_path):
    """The stream would be read twice."""
    one = ogg(tmp_path / "a.ogg")
    (tmp_path / "a.ogg").write_bytes(one + one[one.rfind(b"OggS") :])
    with pytest.raises(UserError, match=r"a\.ogg: damaged: an Ogg page after"):
        read_audio(tmp_path / "a.ogg", 16000)


def test_a_tag_behind_the_last_page_is_accepted(tmp_path):
    (tmp_path / "a.ogg").write_bytes(ogg(tmp_path / "a.ogg") + b"TAG" + bytes(125))
    assert inspect(tmp_path / "a.ogg")[0] == pytest.approx(3.0, abs=0.001)


def test_a_loud_file_keeps_its_sign(tmp_path):
    """Decoded Vorbis exceeds 1 here; libsndfile's integers wrap around then (as int16, only 0.53 of the signs stay)."""
    square = (0.99 * np.sign(beep(16000, hertz=440.0))).astype(np.float32)
    soundfile.write(tmp_path / "a.ogg", square, 16000, format="OGG", subtype="VORBIS")
    loud = np.abs(square) > 0.9
    assert (np.sign(read_audio(tmp_path / "a.ogg", 16000))[loud] == np.sign(square)[loud]).mean() > 0.9
