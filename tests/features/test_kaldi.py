"""The Kaldi front end against torchaudio's, which computes one clip at a time."""

from __future__ import annotations

import pytest
import torch
import torchaudio
from analysed_signals import RATE, signals
from paths import KIT

from sed.features.logmel import FrontEnd

SILENCE = -15.9423847  # log of float32's epsilon, the floor of the features


def kaldi(waveform: torch.Tensor) -> torch.Tensor:
    """Call torchaudio as the AST release does."""
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


@pytest.mark.skipif(not (KIT / "soundbank").is_dir(), reason=f"no real recordings at {KIT}/soundbank (set SED_KIT)")
def test_equals_torchaudio_on_recordings():
    from sed.data.audio import read_audio

    files = sorted((KIT / "soundbank" / "validation").rglob("*.ogg"))[::40]
    assert files
    for file in files:
        waveform = torch.from_numpy(read_audio(file, RATE))
        if len(waveform) >= 400:  # at least one frame
            ours, theirs = FrontEnd()(waveform.unsqueeze(0))[0], kaldi(waveform)
            assert (ours - theirs).abs().max() < 1e-3, file


def test_silence_is_the_floor():
    assert torch.allclose(FrontEnd()(torch.zeros(1, RATE)), torch.tensor(SILENCE), atol=1e-4)


def test_frames_of_a_stream_are_those_of_the_whole():
    """Frame i depends on samples 160 i to 160 i + 399 only: the waveform's mean is removed from each frame anyway."""
    torch.manual_seed(0)
    waveform, front_end = 0.1 * torch.randn(1, 2 * RATE), FrontEnd()
    start = 57
    part = front_end(waveform[:, start * 160 : start * 160 + RATE])
    torch.testing.assert_close(part, front_end(waveform)[:, start : start + part.shape[1]], rtol=0, atol=1e-3)


def test_ten_seconds_are_998_frames():
    assert FrontEnd().clip_frames == 998
    assert [FrontEnd().num_frames(n) for n in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_equals_cpu():
    torch.manual_seed(0)
    batch = 0.1 * torch.randn(4, 10 * RATE)
    theirs = torch.stack([kaldi(clip) for clip in batch])
    assert (FrontEnd().cuda()(batch.cuda()).cpu() - theirs).abs().max() < 1e-3
