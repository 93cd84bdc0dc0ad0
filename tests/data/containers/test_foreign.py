import importlib.util
import shutil
import sys

import numpy as np
import pytest
from sounds import encode, needs_ffmpeg, write_beep

from sed.data.audio import counted_duration, duration, inspect, read_audio
from sed.data.containers import foreign
from sed.errors import UserError

FORMATS = {
    "m4a": ["-c:a", "aac"],
    "mp4": ["-c:a", "aac"],
    "3gp": ["-c:a", "aac"],
    "webm": ["-c:a", "libopus"],
    "mkv": ["-c:a", "flac"],
    "mov": ["-c:a", "pcm_s16le"],
}


@pytest.mark.thorough
@needs_ffmpeg
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_formats_that_libsndfile_does_not_read_are_read(tmp_path, suffix, rate):
    write_beep(tmp_path / "a.wav", rate, channels=2)
    encode(tmp_path / "a.wav", tmp_path / f"a.{suffix}", *FORMATS[suffix])
    sound = read_audio(tmp_path / f"a.{suffix}", 16000)
    assert len(sound) / 16000 == pytest.approx(3.0, abs=0.07)  # a codec fills its last frame
    tone = np.flatnonzero(np.abs(sound) > 0.25) / 16000
    assert tone[0] == pytest.approx(1, abs=0.01) and tone[-1] == pytest.approx(2, abs=0.01)
    assert inspect(tmp_path / f"a.{suffix}")[1] == ""


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "webm"])
def test_a_truncated_file_is_refused(tmp_path, suffix):
    write_beep(tmp_path / "a.wav", 48000)
    encode(tmp_path / "a.wav", tmp_path / f"a.{suffix}", *FORMATS[suffix])
    data = (tmp_path / f"a.{suffix}").read_bytes()
    (tmp_path / f"a.{suffix}").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=rf"a\.{suffix}: not audio that ffmpeg reads"):
        read_audio(tmp_path / f"a.{suffix}", 16000)


@needs_ffmpeg
def test_an_unstated_length_is_counted_and_a_damaged_file_has_none(tmp_path):
    write_beep(tmp_path / "a.wav", 48000)
    encode(tmp_path / "a.wav", tmp_path / "a.webm", *FORMATS["webm"])
    assert duration(tmp_path / "a.webm") is None
    assert counted_duration(tmp_path / "a.webm") == inspect(tmp_path / "a.webm")[0]
    assert counted_duration(tmp_path / "a.wav") == duration(tmp_path / "a.wav") == 3.0
    data = (tmp_path / "a.webm").read_bytes()
    (tmp_path / "a.webm").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a\.webm: not audio that ffmpeg reads"):
        counted_duration(tmp_path / "a.webm")


@needs_ffmpeg
def test_an_open_file_without_a_name_is_read(tmp_path):
    import io

    from sed.data.audio import read_blocks

    write_beep(tmp_path / "a.wav", 16000)
    encode(tmp_path / "a.wav", tmp_path / "a.m4a", "-c:a", "aac")
    stream = io.BytesIO((tmp_path / "a.m4a").read_bytes())
    sound = np.concatenate(list(read_blocks("standard input", 16000, stream)))
    assert np.array_equal(sound, read_audio(tmp_path / "a.m4a", 16000))


def test_without_a_decoder_a_line_says_how_to_convert(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"a\.m4a: not audio that libsndfile reads \(install ffmpeg, or convert it"):
        read_audio(tmp_path / "a.m4a", 16000)


@needs_ffmpeg
@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="no PyAV (pip install av)")
def test_pyav_reads_as_ffmpeg_does(tmp_path, monkeypatch):
    write_beep(tmp_path / "a.wav", 44100, channels=2)
    encode(tmp_path / "a.wav", tmp_path / "a.m4a", "-c:a", "aac")
    by_ffmpeg = read_audio(tmp_path / "a.m4a", 16000)
    monkeypatch.setattr(foreign.shutil, "which", lambda _: None)
    by_pyav = read_audio(tmp_path / "a.m4a", 16000)
    assert "av" in sys.modules
    count = min(len(by_ffmpeg), len(by_pyav))
    frame = 1024 * 16000 / 44100  # of AAC: the last one may be cut or not
    assert abs(len(by_ffmpeg) - len(by_pyav)) <= frame and np.abs(by_ffmpeg[:count] - by_pyav[:count]).max() < 0.01
