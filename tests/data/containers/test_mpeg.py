import io

import numpy as np
import pytest
from scipy.signal import fftconvolve
from sounds import encode, needs_ffmpeg, write_beep

from sed.data.audio import duration, inspect, read_audio
from sed.data.containers.mpeg import frame_of, scan, xing_frame
from sed.errors import UserError


def mp3(path, rate=44100, channels=1):
    write_beep(path, rate, channels, format="MP3", subtype="MPEG_LAYER_III")
    return path.read_bytes()


def test_sizes_of_frames_follow_from_their_headers():
    """128 kbit/s at 44.1 kHz: 417 bytes, 418 with padding; 1152 samples, 576 of MPEG 2."""
    assert frame_of(bytes.fromhex("fffb9064"))[:2] == (417, 1152)
    assert frame_of(bytes.fromhex("fffb9264"))[:2] == (418, 1152)
    assert frame_of(bytes.fromhex("fff38064"))[1] == 576
    # forbidden bit rate, free format, reserved sample rate, reserved version, AAC's header, no header
    for nothing in ("fffbf064", "fffb0064", "fffb9c64", "ffeb9064", "fff1507f", "00000000"):
        assert frame_of(bytes.fromhex(nothing)) is None


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_files_with_a_correct_header_are_read(tmp_path, rate, channels):
    mp3(tmp_path / "a.mp3", rate, channels)
    assert duration(tmp_path / "a.mp3") == pytest.approx(3.0, abs=0.2)
    sound = read_audio(tmp_path / "a.mp3", rate)
    onset = np.flatnonzero(np.abs(sound) > 0.25)[0] / rate
    assert onset == pytest.approx(1, abs=0.16)  # at 8 kHz, 1105 samples of delay that no header states are 0.14 s


@pytest.mark.thorough
@needs_ffmpeg
@pytest.mark.parametrize("rate", ["8000", "16000", "24000", "44100", "48000"])
@pytest.mark.parametrize("channels", ["1", "2"])
def test_a_variable_bit_rate_without_a_header_is_read_completely(tmp_path, rate, channels):
    write_beep(tmp_path / "a.wav", int(rate))
    options = ["-ar", rate, "-ac", channels, "-c:a", "libmp3lame", "-q:a", "5"]
    encode(tmp_path / "a.wav", tmp_path / "a.mp3", *options)
    encode(tmp_path / "a.wav", tmp_path / "b.mp3", *options, "-write_xing", "0")
    stated, bare = read_audio(tmp_path / "a.mp3", int(rate)), read_audio(tmp_path / "b.mp3", int(rate))
    assert len(stated) / int(rate) == pytest.approx(3.0, abs=0.01)
    lag = len(bare) - len(stated)  # the encoder's delay and padding, which only the header of a.mp3 states
    assert 0 < lag <= 4 * 1152
    start = int(np.argmax(fftconvolve(bare, stated[::-1], "valid")))
    # measured: equal; the margin is for other versions of the decoder
    assert np.abs(bare[start : start + len(stated)] - stated).max() < 2e-3


def test_concatenated_files_are_read_completely(tmp_path):
    one = mp3(tmp_path / "a.mp3")
    (tmp_path / "b.mp3").write_bytes(one + one)
    single = inspect(tmp_path / "a.mp3")[0]
    assert inspect(tmp_path / "b.mp3")[0] == pytest.approx(2 * single, abs=0.15)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused_if_its_header_states_the_frames(tmp_path, share):
    data = mp3(tmp_path / "a.mp3")
    if scan(io.BytesIO(data), len(data)).stated is None:
        pytest.skip("this libsndfile writes no header")
    (tmp_path / "a.mp3").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=r"a\.mp3: truncated: \d+ of \d+ frames"):
        read_audio(tmp_path / "a.mp3", 16000)


def test_bytes_that_are_not_frames_are_skipped_and_counted(tmp_path, caplog):
    data = mp3(tmp_path / "a.mp3")
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    found = scan(io.BytesIO(data), len(data))
    middle = found.spans[0][0]
    for _ in range(found.frames // 2):
        middle += frame_of(data[middle : middle + 4]).size
    (tmp_path / "b.mp3").write_bytes(tag + data[:middle] + bytes(100) + data[middle:] + b"TAG" + bytes(125))
    with caplog.at_level("WARNING", logger="sed.audio"):
        assert inspect(tmp_path / "b.mp3")[0] == pytest.approx(inspect(tmp_path / "a.mp3")[0], abs=0.1)
    assert "100 bytes between or after MPEG frames" in caplog.text


def test_what_follows_the_last_frame_is_counted_unless_it_is_a_tag_or_a_cut_frame(tmp_path):
    data = mp3(tmp_path / "a.mp3")
    other = mp3(tmp_path / "b.mp3", rate=48000)
    for tail, skipped in ((bytes(5000), 5000), (other, len(other)), (b"TAG" + bytes(5000), 0), (other[:300], 0)):
        assert scan(io.BytesIO(data + tail), len(data + tail)).skipped == skipped


def test_a_written_xing_header_states_the_given_number_of_frames():
    # byte 2: fb is MPEG 1, f3 MPEG 2, e3 MPEG 2.5; byte 4: 64 is joint stereo, c4 mono
    for head in ("fffb9064", "fffb90c4", "fff38064", "fff380c4", "ffe380c4"):
        frame = xing_frame(bytes.fromhex(head), 12345)
        made = frame_of(frame)
        assert made.size == len(frame) and made.kind == frame_of(bytes.fromhex(head)).kind
        at = 4 + made.side
        assert frame[at : at + 4] == b"Xing" and int.from_bytes(frame[at + 8 : at + 12], "big") == 12345
