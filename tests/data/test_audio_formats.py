"""Formats that ffmpeg writes are decoded to the original sound at several sample rates, and completely by commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve
from sounds import encode, needs_ffmpeg
from tiny_model import call

from sed.bin import dump_features, make_data_dir, own_data
from sed.data.audio import duration, inspect, read_audio, resample
from sed.data.recordings import SUFFIXES
from sed.data.store import FeatureStore

# name: (ffmpeg's options, largest norm of the error relative to that of the sound, whether the file states the codec's
# delay and padding, which reading then drops: onset within 1 ms, length within 10 ms of the original's)
BY_FFMPEG: dict[str, tuple[list[str], float, bool]] = {
    "u8.wav": (["-c:a", "pcm_u8"], 0.05, True),
    "s16.wav": (["-c:a", "pcm_s16le"], 1e-3, True),
    "s24.wav": (["-c:a", "pcm_s24le"], 1e-3, True),
    "f32.wav": (["-c:a", "pcm_f32le"], 1e-3, True),
    "f64.wav": (["-c:a", "pcm_f64le"], 1e-3, True),
    "alaw.wav": (["-c:a", "pcm_alaw"], 0.05, True),
    "ulaw.wav": (["-c:a", "pcm_mulaw"], 0.05, True),
    "adpcm.wav": (["-c:a", "adpcm_ima_wav"], 0.2, False),
    "rf64.wav": (["-rf64", "always"], 1e-3, True),
    "a.w64": ([], 1e-3, True),
    "a.aiff": ([], 1e-3, True),
    "a.aifc": (["-c:a", "pcm_s16le", "-f", "aiff"], 1e-3, True),
    "a.au": ([], 1e-3, True),
    "a.caf": (["-c:a", "pcm_s24be"], 1e-3, True),
    "a.flac": ([], 1e-3, True),
    "a.ogg": (["-c:a", "libvorbis", "-q:a", "5"], 0.3, True),
    "a.opus": (["-c:a", "libopus", "-b:a", "96k"], 0.3, True),
    "a.mp3": (["-c:a", "libmp3lame", "-q:a", "3"], 0.3, True),
    "bare.mp3": (["-c:a", "libmp3lame", "-q:a", "3", "-write_xing", "0"], 0.3, False),
    "cbr.mp3": (["-c:a", "libmp3lame", "-b:a", "96k"], 0.3, True),
    "a.mp2": (["-c:a", "mp2", "-b:a", "96k"], 0.4, False),
    "a.m4a": (["-c:a", "aac", "-b:a", "96k"], 0.4, True),
    "alac.m4a": (["-c:a", "alac"], 1e-3, True),
    "a.mp4": (["-c:a", "aac", "-b:a", "96k"], 0.4, True),
    "a.3gp": (["-c:a", "aac", "-b:a", "96k"], 0.4, True),
    "a.aac": (["-c:a", "aac", "-b:a", "96k"], 0.4, False),
    "a.ac3": (["-c:a", "ac3", "-b:a", "128k"], 0.4, False),
    "a.webm": (["-c:a", "libopus", "-b:a", "96k"], 0.3, True),
    "a.mkv": (["-c:a", "flac"], 1e-3, True),
    "a.mka": (["-c:a", "libvorbis", "-q:a", "5"], 0.3, False),
    "a.mov": (["-c:a", "pcm_s16le"], 1e-3, True),
    "a.wma": (["-c:a", "wmav2", "-b:a", "96k"], 0.4, False),
    "a.wv": ([], 1e-3, True),
    "a.tta": ([], 1e-3, True),
    "a.avi": (["-c:a", "pcm_s16le"], 1e-3, True),
}
AAC = {"a.m4a", "a.mp4", "a.3gp"}  # the delay is dropped, but the last frame of the codec is decoded whole
RATES = (8000, 16000, 22050, 44100, 48000)
SECONDS = 2.3
FRAME = 2048  # samples of the longest frame of these codecs, at the file's rate


def chirp(rate: int, channels: int) -> np.ndarray:
    """Return a sweep below 3 kHz (samples, channels), which is different at every time."""
    t = np.arange(round(SECONDS * rate)) / rate
    sweep = 0.4 * np.sin(2 * np.pi * (300 * t + 500 * t**2)) * np.minimum(1, 20 * t) * np.minimum(1, 20 * (SECONDS - t))
    return np.stack([sweep, 0.5 * sweep][:channels], axis=1).astype(np.float32)


def made(folder: Path, name: str, rate: int, channels: int) -> tuple[Path, np.ndarray]:
    """Return the path of an encoded chirp, and the expected samples: mono at 16 kHz."""
    sound = chirp(rate, channels)
    soundfile.write(folder / "source.wav", sound, rate, subtype="FLOAT")
    path = folder / name
    encode(folder / "source.wav", path, *BY_FFMPEG[name][0])
    return path, resample(sound.mean(1), rate, 16000)


def check(path: Path, wanted: np.ndarray, rate: int, name: str) -> None:
    _, error, stated = BY_FFMPEG[name]
    found = read_audio(path, 16000)
    # In samples at 16 kHz. If the file does not state the delay, it is up to three frames, and the sound is up to one
    # frame longer (padded) or shorter (the last frame is lost).
    frame = FRAME * 16000 // rate + 160
    assert -(160 if stated else frame) <= len(found) - len(wanted) <= (160 if stated and name not in AAC else frame)
    most_lag = 16 if stated else 3 * frame
    reach = most_lag + 160  # lags that are tried, to either side
    padded = np.concatenate([np.zeros(reach, np.float32), found, np.zeros(reach + len(wanted), np.float32)])
    correlation = fftconvolve(padded[: 2 * reach + len(wanted)], wanted[::-1], "valid")
    start = int(np.argmax(correlation))
    aligned = padded[start : start + len(wanted)]
    assert abs(start - reach) <= most_lag
    assert np.linalg.norm(aligned - wanted) <= error * np.linalg.norm(wanted) + 1e-6
    seconds, fault = inspect(path)
    assert fault == "" and abs(seconds - len(found) / 16000) < 1e-3
    assert duration(path) is None or abs(duration(path) - seconds) < 0.06  # a header may count the delay


def test_folders_are_searched_for_every_format():
    assert {Path(name).suffix for name in BY_FFMPEG} <= set(SUFFIXES)


@pytest.mark.thorough
@needs_ffmpeg
@pytest.mark.parametrize("name", BY_FFMPEG)
def test_every_format_is_read_as_the_same_sound(tmp_path, name):
    number = list(BY_FFMPEG).index(name)
    rate, channels = RATES[number % len(RATES)], 1 + number % 2
    check(*made(tmp_path, name, rate, channels), rate, name)


@needs_ffmpeg
@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", BY_FFMPEG)
def test_every_format_is_read_as_the_same_sound_at_every_rate(tmp_path, name, rate, channels):
    try:
        path, wanted = made(tmp_path, name, rate, channels)
    except subprocess.CalledProcessError:
        pytest.skip(f"ffmpeg writes no {name} at {rate} Hz")
    check(path, wanted, rate, name)


@pytest.mark.thorough
@needs_ffmpeg
@pytest.mark.parametrize("name", ["f32.wav", "bare.mp3", "a.m4a", "a.webm", "chain.ogg", "pipe.flac"])
def test_own_data_make_data_dir_and_dump_features_read_recordings_completely(tmp_path, name, monkeypatch):
    """Prediction is not tested here: it reads by `sed.data.audio.read_blocks`, like `read_audio`."""
    recordings = tmp_path / "rec"
    recordings.mkdir()
    soundfile.write(tmp_path / "source.wav", chirp(48000, 2), 48000, subtype="FLOAT")
    path, seconds = recordings / name, SECONDS
    if name == "chain.ogg":
        encode(tmp_path / "source.wav", tmp_path / "one.ogg", "-c:a", "libvorbis")
        path.write_bytes(2 * (tmp_path / "one.ogg").read_bytes())
        seconds = 2 * SECONDS
    elif name == "pipe.flac":
        piped = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "source.wav"), "-f", "flac", "-"]
        path.write_bytes(subprocess.run(piped, check=True, stdout=subprocess.PIPE).stdout)
    else:
        encode(tmp_path / "source.wav", path, *BY_FFMPEG[name][0])
    (tmp_path / "t.tsv").write_text(f"filename\tonset\toffset\tevent_label\n{name}\t0.5\t1.5\tchirp\n")
    (tmp_path / "labels.txt").write_text("chirp\n")
    monkeypatch.chdir(tmp_path)
    assert call(own_data, "--events", "t.tsv", "--nj", "1", "rec", "own") == 0
    clips = list((tmp_path / "own" / "audio").rglob("*.flac"))
    assert sum(len(read_audio(clip, 16000)) for clip in clips) / 16000 == pytest.approx(seconds, abs=0.06)
    options = ["--kind", "strong", "--labels", "labels.txt", "--nj", "1"]
    assert call(make_data_dir, "t.tsv", "rec", "dir", *options) == 0
    row = (tmp_path / "dir" / "durations.tsv").read_text().splitlines()[1]
    assert float(row.split("\t")[1]) == pytest.approx(seconds, abs=0.06)
    assert call(dump_features, "dir/wav.scp", "feats.1.h5") == 0
    (tmp_path / "feats.scp").write_text(f"{path.stem} feats.1.h5:0\n")
    assert FeatureStore(tmp_path).valid[0] == pytest.approx(100 * seconds - 2, abs=7)  # frames of 25 ms, every 10 ms
