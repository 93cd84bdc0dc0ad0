"""The front end against torchaudio's, which computes one clip at a time."""

import pytest
import torch
import torchaudio
from paths import KIT

from sed.errors import UserError
from sed.features.logmel import FrontEnd

RATE = 16000
SILENCE = -15.9423847  # log of float32's epsilon, where the features end


def kaldi(waveform: torch.Tensor) -> torch.Tensor:
    """The AST release's call."""
    return torchaudio.compliance.kaldi.fbank(
        (waveform - waveform.mean()).unsqueeze(0),
        htk_compat=True,
        sample_frequency=RATE,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )


def signals() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    t = torch.arange(2 * RATE) / RATE
    tones = {f"tone {f}": 0.99 * torch.sin(2 * torch.pi * f * t) for f in (30, 440, 1000, 3999, 7900)}
    noise = torch.randn(2 * RATE)
    return {
        **tones,
        "noise": 0.1 * noise,
        "quiet noise": 1e-5 * noise,
        "clipped": (4 * noise).clamp(-1, 1),
        "square": tones["tone 440"].sign(),
        "offset": 0.5 + 0.1 * noise,
        "silence": torch.zeros(2 * RATE),
        "half silence": torch.cat([torch.zeros(RATE), 0.3 * noise[:RATE]]),
        "click": torch.nn.functional.one_hot(torch.tensor(RATE), 2 * RATE).float(),
    }


@pytest.mark.parametrize("name", signals())
def test_equals_torchaudio(name):
    signal = signals()[name]
    assert (FrontEnd()(signal.unsqueeze(0))[0] - kaldi(signal)).abs().max() < 1e-3


@pytest.mark.parametrize("seconds", [0.025, 0.1, 0.33333, 1.0, 10.0, 30.0])
def test_equals_torchaudio_at_any_length(seconds):
    torch.manual_seed(1)
    batch = 0.1 * torch.randn(2, int(seconds * RATE))
    front_end = FrontEnd()
    ours = front_end(batch)
    assert ours.shape == (2, front_end.num_frames(batch.shape[1]), 128)
    for row, clip in zip(ours, batch, strict=True):
        assert (row - kaldi(clip)).abs().max() < 1e-3


@pytest.mark.skipif(not KIT.is_dir(), reason="no recordings: SED_KIT names no folder")
def test_equals_torchaudio_on_recordings():
    from sed.data.audio import read_audio

    files = sorted((KIT / "soundbank" / "validation").rglob("*.ogg"))[::40]
    assert files
    for file in files:
        waveform = torch.from_numpy(read_audio(file, RATE))
        if len(waveform) >= 400:
            ours, theirs = FrontEnd()(waveform.unsqueeze(0))[0], kaldi(waveform)
            assert (ours - theirs).abs().max() < 1e-3, file


@pytest.mark.parametrize("bins, low, high", [(64, 20, 8000), (40, 0, 7600), (128, 300, 3400)])
def test_mel_bank_equals_torchaudio(bins, low, high):
    bank = FrontEnd(mel_bins=bins, f_min=low, f_max=high).bank
    theirs = torchaudio.compliance.kaldi.get_mel_banks(bins, 512, RATE, low, high, 100.0, -500.0, 1.0)[0]
    torch.testing.assert_close(bank[:-1].T, theirs, rtol=0, atol=0)


def test_stft_equals_the_baselines_transforms():
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016, f_min=0, normaliser="minmax")
    spectrogram = torchaudio.transforms.MelSpectrogram(
        sample_rate=RATE, n_fft=2048, hop_length=256, f_min=0, f_max=8000, n_mels=128, power=1,
        window_fn=torch.hamming_window, wkwargs={"periodic": False},
    )  # fmt: skip
    decibel = torchaudio.transforms.AmplitudeToDB(stype="amplitude")
    decibel.amin = 1e-5
    for signal in signals().values():
        theirs = decibel(spectrogram(signal)).clamp(-50, 80).T
        torch.testing.assert_close(front_end(signal.unsqueeze(0))[0], theirs, rtol=0, atol=2e-3)


def test_silence_is_the_floor():
    assert torch.allclose(FrontEnd()(torch.zeros(1, RATE)), torch.tensor(SILENCE), atol=1e-4)


def test_batch_does_not_matter():
    torch.manual_seed(0)
    batch = torch.randn(3, RATE)
    front_end = FrontEnd()
    torch.testing.assert_close(front_end(batch)[1:2], front_end(batch[1:2]), rtol=0, atol=1e-5)


def test_frames_of_a_stream_are_those_of_the_whole():
    """Frame i needs samples from 160 i to 160 i + 399 only, but for the waveform's mean, which no frame keeps."""
    torch.manual_seed(0)
    waveform, front_end = 0.1 * torch.randn(1, 2 * RATE), FrontEnd()
    start = 57
    part = front_end(waveform[:, start * 160 : start * 160 + RATE])
    torch.testing.assert_close(part, front_end(waveform)[:, start : start + part.shape[1]], rtol=0, atol=1e-3)


def test_normalise_pads_with_zeros_after_normalising():
    front_end = FrontEnd()
    logmel = torch.randn(2, 998, 128).half()
    x = front_end.normalise(logmel, torch.tensor([998, 500]), 1024)
    assert x.shape == (2, 1024, 128) and x.dtype == torch.float32
    torch.testing.assert_close(x[0, :998], (logmel[0].float() + 4.2677393) / (2 * 4.5689974))
    assert not x[0, 998:].any() and not x[1, 500:].any() and x[1, :500].all()
    assert front_end.normalise(logmel, None, 300).shape == (2, 300, 128)


def test_minmax_sees_the_clip_alone():
    front_end = FrontEnd(front_end="stft", frame_length=0.128, frame_shift=0.016, f_min=0, normaliser="minmax")
    logmel = torch.rand(1, 20, 128) * 50
    padded = torch.cat([logmel, torch.zeros(1, 6, 128) - 99], 1)
    x = front_end.normalise(padded, torch.tensor([20]), 30)
    torch.testing.assert_close(x, front_end.normalise(logmel, None, 30))
    assert x[0, :20].min() == 0 and x[0, :20].max() == pytest.approx(1)


def test_params_make_the_same_front_end():
    front_end = FrontEnd(mel_bins=64, clip_seconds=4, norm_mean=-5)
    again = FrontEnd.from_params(front_end.params())
    assert again.params() == front_end.params() != FrontEnd().params()
    assert front_end.clip_frames == front_end(torch.zeros(1, front_end.clip_samples)).shape[1] == 398


def test_ten_seconds_are_998_frames():
    assert FrontEnd().clip_frames == 998
    assert [FrontEnd().num_frames(n) for n in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]


def test_too_short_and_impossible_are_refused():
    with pytest.raises(ValueError, match="shorter than a window"):
        FrontEnd()(torch.zeros(1, 399))
    for bad in ({"f_max": 9000}, {"f_min": 8000}, {"frame_shift": 0}, {"front_end": "cqt"}):
        with pytest.raises(UserError, match="change the config"):
            FrontEnd.from_config(bad)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_equals_cpu():
    torch.manual_seed(0)
    batch = 0.1 * torch.randn(4, 10 * RATE)
    theirs = torch.stack([kaldi(clip) for clip in batch])
    assert (FrontEnd().cuda()(batch.cuda()).cpu() - theirs).abs().max() < 1e-3
