import io
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from sed.data import audio
from sed.errors import UserError
from sed.prediction import sources
from sed.prediction.session import Tally
from sed.prediction.sources import find_recordings, read_recording

RNG = np.random.default_rng(1)


def whole(path, rate=16000):
    return np.concatenate(list(read_recording(str(path), rate)))


@pytest.mark.parametrize("block", [1000, 1 << 16])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000])
def test_blocks_equal_the_whole_file_resampled_at_once(tmp_path, rate, block, monkeypatch):
    monkeypatch.setattr(audio, "BLOCK", block)
    samples = RNG.uniform(-1, 1, (rate // 2 + 17, 2)).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", samples, rate, subtype="FLOAT")
    expected = samples.mean(1)
    if rate != 16000:
        expected = soxr.resample(expected, rate, 16000)
    np.testing.assert_array_equal(whole(tmp_path / "x.wav"), expected)


@pytest.mark.parametrize(
    "name,subtype,error",
    [
        ("x.wav", "PCM_U8", 2e-2),
        ("x.wav", "PCM_16", 1e-4),
        ("x.wav", "PCM_24", 1e-6),
        ("x.wav", "PCM_32", 1e-6),
        ("x.wav", "FLOAT", 1e-7),
        ("x.flac", "PCM_16", 1e-4),
        ("x.ogg", "VORBIS", 0.03),
        ("x.mp3", "MPEG_LAYER_III", 0.02),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_formats_are_read_as_their_codecs_allow(tmp_path, name, subtype, error, channels):
    if name.endswith("mp3") and channels > 2:
        pytest.skip("MP3 has at most two channels")
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    soundfile.write(tmp_path / name, np.repeat(tone[:, None], channels, 1), 16000, subtype=subtype)
    read = whole(tmp_path / name)
    # MP3 pads to whole frames of 1152 samples, and its decoder's delay shifts samples
    assert abs(len(read) - 16000) <= (2500 if name.endswith("mp3") else 0)
    if name.endswith("mp3"):
        assert read.std() == pytest.approx(tone.std(), abs=error)
    else:
        assert np.abs(read - tone).max() <= error


def test_what_is_no_recording_is_one_line(tmp_path):
    (tmp_path / "text.wav").write_text("not audio\n" * 100)
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan]), 16000, subtype="FLOAT")
    for name in ("text.wav", "empty.wav", "none.wav", "nan.wav", "missing.wav"):
        with pytest.raises(UserError) as error:
            whole(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: ") and "\n" not in str(error.value)


def test_standard_input_is_read_like_the_file(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.flac", RNG.uniform(-1, 1, 5000), 16000)

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    monkeypatch.setattr(sys, "stdin", type("stdin", (), {"buffer": Pipe((tmp_path / "x.flac").read_bytes())}))
    np.testing.assert_array_equal(whole("-"), whole(tmp_path / "x.flac"))


def test_closed_standard_input_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)  # as Python sets it
    with pytest.raises(UserError, match=r"^standard input: closed"):
        list(read_recording("-", 16000))


def test_a_named_pipe_is_read_once_from_its_start(tmp_path):
    soundfile.write(tmp_path / "x.flac", RNG.uniform(-1, 1, 5000), 16000)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "x.flac").read_bytes()))
    writer.start()
    assert find_recordings([str(tmp_path / "pipe")]) == ([str(tmp_path / "pipe")], [])
    assert Tally([str(tmp_path / "pipe")]).recordings == 1  # its length is not asked for: that would take its start
    np.testing.assert_array_equal(whole(tmp_path / "pipe"), whole(tmp_path / "x.flac"))
    writer.join()


def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "x.wav", np.zeros(800), 8000)
    monkeypatch.chdir(tmp_path)
    assert find_recordings(["", "x.wav"]) == (["x.wav"], ["a recording without a name (is a variable empty?)"])


def test_a_pattern_that_python_refuses_is_a_problem_in_one_line(tmp_path, monkeypatch):
    """Python 3.13 takes ** within a name for *."""
    monkeypatch.chdir(tmp_path)
    assert find_recordings(["x**.wav"])[1][0].startswith("x**.wav: ")


def test_folders_globs_and_files_are_found_in_the_order_given(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("a/1.wav", "a/b/2.FLAC", "a/notes.txt", "a/3.bin"):
        (tmp_path / name).touch()
    inputs = [f"{tmp_path}/a/3.bin", f"{tmp_path}/a", f"{tmp_path}/a/*.wav", f"{tmp_path}/empty", f"{tmp_path}/no", "-"]
    found, problems = find_recordings(inputs)
    assert found == [f"{tmp_path}/a/3.bin", f"{tmp_path}/a/1.wav", f"{tmp_path}/a/b/2.FLAC", "-"]
    assert [p.split(":")[0] for p in problems] == [f"{tmp_path}/empty", f"{tmp_path}/no"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("x/*.wav", ["x/a.wav"]),
        ("x/../x/*.wav", ["x/a.wav"]),
        ("**/*.wav", ["x/a.wav"]),
        ("x/*/*.wav", []),
        ("x/.*.wav", ["x/._a.wav"]),
        ("x/.cache/*.wav", ["x/.cache/b.wav"]),
    ],
)
def test_a_pattern_matches_hidden_files_and_folders_only_by_a_dot(tmp_path, monkeypatch, pattern, names):
    """The rule of shells: macOS puts `._a.wav`, which is not audio, beside `a.wav` on disks of other systems."""
    for name in ("x/a.wav", "x/._a.wav", "x/.cache/b.wav", "x/.cache/.b.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    for text in (pattern, f"{tmp_path}/{pattern}"):
        assert [sources.place(name) for name in find_recordings([text])[0]] == [tmp_path / name for name in names]


def test_a_link_that_leads_nowhere_is_not_left_out_of_a_pattern(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("moved.wav")
    (tmp_path / "c.wav").mkdir()
    assert find_recordings([f"{tmp_path}/*.wav"]) == ([f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"], [])
    with pytest.raises(UserError, match=r"b\.wav: no such audio file"):
        whole(tmp_path / "b.wav")


def test_spellings_of_one_path_are_one_recording_but_a_link_has_a_path_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x/y").mkdir(parents=True)
    Path("link").symlink_to("x/y")
    for name in ("a.wav", "x/a.wav", "x/y/a.wav", "-"):
        Path(name).touch()
    # `..` of a link is the parent of the folder that it leads to, and ./- is a file
    assert find_recordings(["a.wav", "link/../a.wav", "-", "./-"])[0] == ["a.wav", "link/../a.wav", "-", "./-"]
    assert find_recordings(["x/a.wav", "link/../a.wav", "x/y/../a.wav", "./x/a.wav"])[0] == ["x/a.wav"]
    assert find_recordings(["link/a.wav", "x/y/a.wav"])[0] == ["link/a.wav", "x/y/a.wav"]


def test_a_pattern_that_only_folders_match_is_a_problem_that_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("day1").mkdir()
    soundfile.write("day1/b.wav", np.zeros(800), 8000)
    assert find_recordings(["day*"]) == (
        [],
        ["day*: no file matches this pattern (folders are searched only if they are named)"],
    )


@pytest.fixture
def shared():
    """A folder that anyone may enter. A test run by root becomes another user in it, since modes do not bind root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    for path in [*folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_what_may_not_be_read_is_one_line_each_and_the_rest_is_found(shared):
    (shared / "in" / "closed").mkdir(parents=True)
    (shared / "shut").mkdir()
    for name in ("in/1.wav", "in/closed/2.wav", "in/3.wav", "shut/4.wav"):
        soundfile.write(shared / name, np.zeros(100), 16000)
    for name in ("in/closed", "in/3.wav", "shut"):
        (shared / name).chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)  # nobody
    found, problems = find_recordings([f"{shared}/in", f"{shared}/shut", f"{shared}/shut/4.wav"])
    assert found == [f"{shared}/in/1.wav", f"{shared}/in/3.wav"]
    denied = "permission denied (check its owner and mode)"
    assert problems == [f"{shared}/{name}: {denied}" for name in ("in/closed", "shut", "shut/4.wav")]
    with pytest.raises(UserError, match=r"3\.wav: permission denied"):
        whole(shared / "in/3.wav")


def test_a_pipe_that_nothing_is_written_to_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: nothing was written to this pipe within 0.2 s \(start its writer"):
        list(sources.read_recording(str(tmp_path / "pipe"), 16000))
