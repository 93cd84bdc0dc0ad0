import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import beep, encode, needs_ffmpeg, piped, write_beep

from sed.data.audio import inspect, read_audio
from sed.errors import UserError

HONEST = 3 * 16000 * 2  # bytes of samples


def wav(path: Path, length: int, *, tail: bytes = b"", cut: int = 0) -> Path:
    """Write a WAV of 3 s whose header states `length` bytes of samples, less its last `cut` bytes, and then `tail`."""
    write_beep(path, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    at = data.find(b"data")
    data[at + 4 : at + 8] = struct.pack("<I", length)
    data[4:8] = struct.pack("<I", length)
    path.write_bytes(bytes(data[: len(data) - cut]) + tail)
    return path


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, HONEST + 2, HONEST + 44])
def test_a_wav_from_a_pipe_or_with_a_slightly_too_large_length_is_read_completely(tmp_path, length):
    assert np.array_equal(
        read_audio(wav(tmp_path / "a.wav", length), 16000), read_audio(wav(tmp_path / "b.wav", HONEST), 16000)
    )


def test_chunks_behind_the_samples_are_not_read_as_samples(tmp_path):
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert len(read_audio(wav(tmp_path / "a.wav", HONEST, tail=note), 16000)) == 48000


def test_a_truncated_wav_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"a\.wav: truncated: 66000 of 96000 bytes"):
        read_audio(wav(tmp_path / "a.wav", HONEST, cut=30000), 16000)


def test_files_without_samples_are_refused_as_such(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    with pytest.raises(UserError, match=r"a\.wav: no samples"):
        read_audio(tmp_path / "a.wav", 16000)
    data = (tmp_path / "a.wav").read_bytes()
    for name in (b"LIST", b"_PMX"):
        (tmp_path / "b.wav").write_bytes(data + name + struct.pack("<I", 4) + b"INFO")
        with pytest.raises(UserError, match=r"b\.wav: no samples"):
            read_audio(tmp_path / "b.wav", 16000)
    (tmp_path / "c.wav").write_bytes(data[:20])
    with pytest.raises(UserError, match=r"c\.wav: truncated"):
        read_audio(tmp_path / "c.wav", 16000)


@pytest.mark.parametrize("rate", [1, 99, 2_000_000_000])
def test_an_implausible_sample_rate_is_refused(tmp_path, rate):
    write_beep(tmp_path / "a.wav")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[24:28] = struct.pack("<I", rate)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.wav: a sample rate of {rate} Hz"):
        read_audio(tmp_path / "a.wav", 16000)


@pytest.mark.parametrize(("name", "kind"), [("a.aiff", "AIFF"), ("a.au", "AU"), ("a.w64", "W64"), ("a.caf", "CAF")])
def test_other_truncated_containers_are_refused(tmp_path, name, kind):
    write_beep(tmp_path / name, format=kind, subtype="PCM_16")
    assert inspect(tmp_path / name) == (3.0, "")
    data = (tmp_path / name).read_bytes()
    for share in (0.3, 0.9):
        (tmp_path / name).write_bytes(data[: int(share * len(data))])
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_audio(tmp_path / name, 16000)


@pytest.mark.parametrize(
    ("kind", "order"), [("WAV", "BIG"), ("AU", "BIG"), ("AU", "LITTLE"), ("AIFF", "LITTLE"), ("CAF", "FILE")]
)
def test_a_few_missing_samples_are_noticed_whatever_the_byte_order(tmp_path, kind, order):
    write_beep(tmp_path / "a", format=kind, subtype="PCM_16", endian=order)
    assert inspect(tmp_path / "a") == (3.0, "")
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[:-200])
    assert inspect(tmp_path / "a")[1] == f"truncated: {HONEST - 200} of {HONEST} bytes of samples"


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF000, HONEST + 44])
def test_a_big_endian_wav_from_a_pipe_is_read_completely(tmp_path, length):
    write_beep(tmp_path / "a.wav", subtype="PCM_16", endian="BIG")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    whole = read_audio(tmp_path / "a.wav", 16000)
    struct.pack_into(">I", data, data.find(b"data") + 4, length)
    (tmp_path / "a.wav").write_bytes(data)
    assert np.array_equal(read_audio(tmp_path / "a.wav", 16000), whole)


@needs_ffmpeg
@pytest.mark.parametrize("kind", ["wav", "aiff", "au", "caf", "w64"])
def test_a_file_that_ffmpeg_wrote_to_a_pipe_is_read_completely(tmp_path, kind):
    write_beep(tmp_path / "a.wav", subtype="PCM_16")
    piped(tmp_path / "a.wav", tmp_path / "x", "-f", kind)
    assert np.array_equal(read_audio(tmp_path / "x", 16000), read_audio(tmp_path / "a.wav", 16000))


@needs_ffmpeg
def test_rf64_is_read_and_a_truncated_one_refused(tmp_path):
    write_beep(tmp_path / "a.wav", subtype="PCM_16")
    encode(tmp_path / "a.wav", tmp_path / "b.wav", "-rf64", "always")
    data = (tmp_path / "b.wav").read_bytes()
    assert data[:4] == b"RF64" and inspect(tmp_path / "b.wav") == (3.0, "")
    (tmp_path / "b.wav").write_bytes(data[:50000])
    with pytest.raises(UserError, match="truncated"):
        read_audio(tmp_path / "b.wav", 16000)


def test_a_large_length_of_rf64_is_no_placeholder(tmp_path):
    write_beep(tmp_path / "a.rf64", format="RF64", subtype="PCM_16")
    data = bytearray((tmp_path / "a.rf64").read_bytes())
    at = data.find(b"ds64") + 16
    assert struct.unpack_from("<Q", data, at) == (HONEST,)
    for length, placeholder in ((5_000_000_000, False), (3_000_000_000, False), (0, True), (2**64 - 1, True)):
        struct.pack_into("<Q", data, at, length)
        (tmp_path / "a.rf64").write_bytes(data)
        assert placeholder == (inspect(tmp_path / "a.rf64") == (3.0, ""))
        assert placeholder or inspect(tmp_path / "a.rf64")[1] == f"truncated: {HONEST} of {length} bytes of samples"


def test_a_riff_file_of_more_than_4_gb_is_refused_whatever_its_header_states(tmp_path):
    for length in (0, 0xFFFFFFFF, HONEST, 1 << 30):  # the last: 5 GB modulo 4 GB
        with wav(tmp_path / "a.wav", length).open("r+b") as file:
            file.truncate(5 << 30)  # sparse: takes no space
        with pytest.raises(UserError, match=r"a\.wav: over 4 GB, a length"):
            read_audio(tmp_path / "a.wav", 16000)


def test_32_bit_float_keeps_its_level(tmp_path):
    write_beep(tmp_path / "a.wav", subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "a.wav", 16000) - beep(16000)).max() == 0


HEADS = {
    "RIFF": b"RIFF\0\0\0\0WAVE",
    "RF64": b"RF64\xff\xff\xff\xffWAVE",
    "RIFF of no samples": b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16) + b"data\0\0\0\0" + b"note\0\0\0\0" * 20_000,
    "AIFF": b"FORM\0\0\0\0AIFF",
    "Wave64": b"riff" + bytes(20) + b"wave" + bytes(12),
    "CAF": b"caff\0\1\0\0",
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_gigabyte_of_zeros_behind_a_head_is_refused_at_once(kind, tmp_path):
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(HEADS[kind])
        file.truncate(1 << 30)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"a\.wav: more than 10000 chunks"):
        read_audio(tmp_path / "a.wav", 16000)
    assert time.monotonic() - began < 5


def test_a_cut_aiff_states_its_samples(tmp_path):
    write_beep(tmp_path / "a.aiff", format="AIFF", subtype="PCM_16")
    data = (tmp_path / "a.aiff").read_bytes()
    (tmp_path / "a.aiff").write_bytes(data[: len(data) - HONEST // 2])
    assert inspect(tmp_path / "a.aiff")[1] == f"truncated: {HONEST // 2} of {HONEST} bytes of samples"


@pytest.mark.parametrize("length", [0x7F000000, 0x7F000000 - 16, 0xFFFFFFF0])
def test_an_aiff_from_a_pipe_is_read_completely(tmp_path, length):
    write_beep(tmp_path / "a.aiff", format="AIFF", subtype="PCM_16")
    data = bytearray((tmp_path / "a.aiff").read_bytes())
    at = data.find(b"SSND")
    data[at + 4 : at + 8] = struct.pack(">I", length + 8)
    data[4:8] = struct.pack(">I", length)
    (tmp_path / "b.aiff").write_bytes(data)
    assert np.array_equal(read_audio(tmp_path / "b.aiff", 16000), read_audio(tmp_path / "a.aiff", 16000))
