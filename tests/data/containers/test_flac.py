import io
import time

import numpy as np
import pytest
import soundfile
from sounds import needs_ffmpeg, piped, write_beep

from sed.data.audio import duration, read_audio
from sed.data.containers.flac import open_flac
from sed.errors import UserError


def without_length(path, **how):
    """Write a FLAC of 3 s whose header states no length: the number of samples is the low 36 bits of bytes 18 to 25."""
    write_beep(path, **how)
    data = bytearray(path.read_bytes())
    number = int.from_bytes(data[18:26], "big")
    assert number & (1 << 36) - 1 == 3 * how.get("rate", 16000)
    data[18:26] = (number >> 36 << 36).to_bytes(8, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_unstated_length_is_found(tmp_path, rate, channels):
    path = without_length(tmp_path / "a.flac", rate=rate, channels=channels)
    assert duration(path) == 3.0
    write_beep(tmp_path / "b.flac", rate, channels)
    assert np.array_equal(read_audio(path, rate), read_audio(tmp_path / "b.flac", rate))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = without_length(tmp_path / "a.flac")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"a\.flac: "):
        read_audio(path, 16000)


@pytest.mark.parametrize("write", [write_beep, without_length])
def test_a_tag_after_the_last_frame_is_no_damage(tmp_path, write):
    write(path := tmp_path / "a.flac")
    whole = read_audio(path, 16000)
    path.write_bytes(path.read_bytes() + b"TAG" + bytes(125))
    assert duration(path) == 3.0 and np.array_equal(read_audio(path, 16000), whole)


def test_a_truncated_file_of_many_frames_is_refused_quickly(tmp_path):
    """Silence has a frame every 14 bytes: a checksum from each of them to the end of the file would take 11 s."""
    soundfile.write(tmp_path / "a.flac", np.zeros(16000 * 1200), 16000)
    data = bytearray((tmp_path / "a.flac").read_bytes()[:-100])
    data[18:26] = (int.from_bytes(data[18:26], "big") >> 36 << 36).to_bytes(8, "big")
    start = time.monotonic()
    with pytest.raises(UserError, match="truncated: no whole FLAC frame"):
        open_flac("a.flac", io.BytesIO(data), len(data))
    assert time.monotonic() - start < 3


@needs_ffmpeg
@pytest.mark.parametrize("level", ["0", "5", "12"])
def test_a_file_that_ffmpeg_wrote_to_a_pipe_is_read_completely(tmp_path, level):
    write_beep(tmp_path / "a.wav", 44100, subtype="PCM_16")
    piped(tmp_path / "a.wav", tmp_path / "a.flac", "-compression_level", level, "-f", "flac")
    assert np.array_equal(read_audio(tmp_path / "a.flac", 44100), read_audio(tmp_path / "a.wav", 44100))
