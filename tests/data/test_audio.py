import numpy as np
import pytest
import soundfile
from sounds import write_beep

from sed.data.audio import named_seconds, opened, read_audio, resample
from sed.errors import UserError


def tone(rate, hertz=440.0, seconds=1.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.flac", "PCM_16"), ("a.ogg", None), ("a.wav", "FLOAT")]
)
def test_stereo_is_read_as_the_mean_of_its_channels(tmp_path, name, subtype):
    soundfile.write(tmp_path / name, np.stack([tone(16000), 0 * tone(16000)], axis=1), 16000, subtype=subtype)
    mono = read_audio(tmp_path / name, 16000)
    assert mono.dtype == np.float32 and mono.shape == (16000,)
    assert np.abs(mono - tone(16000) / 2)[100:-100].max() < 0.02


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_keeps_what_is_in_band_and_only_that(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(rate) + (tone(rate, 9000) if rate > 18000 else 0), rate, subtype="FLOAT")
    mono = read_audio(tmp_path / "a.wav", 16000)
    assert len(mono) == 16000
    assert np.abs(mono - tone(16000))[800:-800].max() < 1e-3  # 9 kHz is beyond 16 kHz audio: gone, not folded


def test_resample_at_the_same_rate_is_the_same():
    assert (resample(tone(16000), 16000, 16000) == tone(16000)).all()


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "x.wav"
    with pytest.raises(UserError, match="no such audio file"):
        read_audio(path, 16000)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.wav: empty file"):
        read_audio(path, 16000)
    path.write_bytes(b"<html>gone</html>" * 99)
    with pytest.raises(UserError, match="not audio"):
        read_audio(path, 16000)
    soundfile.write(path, np.zeros(0, np.float32), 16000)
    with pytest.raises(UserError, match="no samples"):
        read_audio(path, 16000)
    soundfile.write(path, np.array([0, np.nan], np.float32), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match="not finite"):
        read_audio(path, 16000)
    with pytest.raises(UserError, match="a folder, not an audio file"):
        read_audio(tmp_path, 16000)


@pytest.mark.filterwarnings("error")  # numpy's would be printed beside the message
@pytest.mark.parametrize("frame", [[np.inf, -np.inf], [3e38, 3e38]])
def test_channels_without_a_finite_mean_are_refused(tmp_path, frame):
    soundfile.write(tmp_path / "x.wav", np.array([[0, 0], frame], np.float32), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"x\.wav: holds values that are not finite"):
        read_audio(tmp_path / "x.wav", 16000)


def test_values_whose_power_is_not_finite_are_refused_not_those_of_integers_without_their_scale(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.array([0, -(2.0**31)], np.float32), 16000, subtype="FLOAT")
    assert read_audio(path, 16000).tolist() == [0, -(2**31)]
    soundfile.write(path, np.array([0, -1e18], np.float32), 16000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"x\.wav: holds values of up to 1e\+18, where full scale is 1 \(replace the"):
        read_audio(path, 16000)


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_truncated_files_are_refused(tmp_path, name, kept):
    path = tmp_path / name
    soundfile.write(path, np.random.default_rng(0).normal(size=48000) * 0.1, 16000)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        read_audio(path, 16000)


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), OSError(28, "No space left on device")])
def test_errors_of_the_caller_are_not_those_of_the_recording(tmp_path, error):
    write_beep(tmp_path / "a.wav")
    with pytest.raises(type(error)) as found, opened(tmp_path / "a.wav") as sound:
        next(sound.blocks)
        raise error
    assert found.value is error and getattr(error, "filename", None) is None


def test_a_streamed_wav_is_read_completely(tmp_path):
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(16000), 16000)
    data = bytearray(path.read_bytes())
    data[40:44] = b"\xff" * 4  # the length of a file that ffmpeg writes to a pipe
    path.write_bytes(data)
    assert len(read_audio(path, 16000)) == 16000


def test_a_clip_id_gives_the_seconds_between_its_times_or_none():
    assert named_seconds("Y-Zjgm_sZd10_0.000_4.000") == 4.0
    assert named_seconds("soundscape_1") is None
    assert named_seconds("take_1_100") is None  # more than 60 s
