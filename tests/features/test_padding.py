"""Padding of short clips, against the published recipes."""

from __future__ import annotations

import pytest
import torch
import torchaudio

from sed.compatibility import complete
from sed.config import default_options
from sed.config.literals import literals
from sed.features.logmel import FrontEnd
from sed.features.padding import PADDINGS

STFT = {"front_end": "stft", "frame_length": 0.128, "frame_shift": 0.016, "f_min": 0, "normaliser": "minmax"}


@pytest.mark.parametrize("seconds", [10.0, 3.21])
def test_raw_is_what_the_ast_release_does(seconds: float) -> None:
    """Compare with the steps of its loader: fbank, zero padding, then (x - mean) / (2 std)."""
    waveform = 0.1 * torch.randn(1, int(seconds * 16000), generator=torch.Generator().manual_seed(0))
    centred = waveform - waveform.mean()
    fbank = torchaudio.compliance.kaldi.fbank(
        centred, htk_compat=True, sample_frequency=16000, use_energy=False, window_type="hanning", num_mel_bins=128,
        dither=0.0, frame_shift=10,
    )  # fmt: skip
    theirs = (torch.nn.ZeroPad2d((0, 0, 0, 1024 - len(fbank)))(fbank) + 4.2677393) / (4.5689974 * 2)
    front_end = FrontEnd()
    ours = front_end.normalise(front_end(waveform), None, 1024, "raw")[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)
    assert ours[-26:].eq(ours[-1, -1]).all() and float(ours[-1, -1]) == pytest.approx(0.467, abs=1e-3)
    # The same in a batch with a longer clip: zeros from its own end on, whatever is stored there.
    rows = torch.zeros(2, 998, 128)
    rows[0, : len(fbank)] = front_end(waveform)[0]
    rows[1] = 1.0
    rows[0, len(fbank) :] = -7.0
    batch = front_end.normalise(rows.half(), torch.tensor([len(fbank), 998]), 1024, "raw")
    torch.testing.assert_close(batch[0], theirs, rtol=0, atol=2e-3)


def test_silence_equals_padding_the_waveform_with_zeros() -> None:
    """Pad like the DCASE baseline: minimum and maximum of the clip include the silence."""
    front_end = FrontEnd(**STFT)
    samples = 8 * 2048
    waveform = 0.1 * torch.randn(1, samples, generator=torch.Generator().manual_seed(0))
    waveform[:, -2048:] = 0  # no window has both sound and the end, at which the shorter waveform is mirrored
    whole = torch.cat([waveform, torch.zeros(1, samples)], 1)
    raw = front_end(whole)[0]
    theirs = (raw - raw.min()) / (raw.max() - raw.min() + 1e-8)
    ours = front_end.normalise(front_end(waveform), None, len(raw), "silence")[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert ours[-1].eq(0).all() and ours.max() == pytest.approx(1)


def test_normalised_is_zero_after_the_clip_s_end() -> None:
    front_end, logmel = FrontEnd(), torch.randn(2, 998, 128).half()
    x = front_end.normalise(logmel, torch.tensor([998, 500]), 1024, "normalised")
    assert x.shape == (2, 1024, 128) and x.dtype == torch.float32
    torch.testing.assert_close(x[0, :998], (logmel[0].float() + 4.2677393) / (2 * 4.5689974))
    assert not x[0, 998:].any() and not x[1, 500:].any() and x[1, :500].all()


@pytest.mark.parametrize("padding", PADDINGS)
def test_clips_that_are_too_long_are_cut(padding: str) -> None:
    front_end, logmel = FrontEnd(), torch.randn(2, 998, 128)
    expected = (logmel[:, :300] + 4.2677393) / (2 * 4.5689974)
    torch.testing.assert_close(front_end.normalise(logmel, None, 300, padding), expected)
    torch.testing.assert_close(front_end.normalise(logmel, torch.tensor([998, 400]), 300, padding), expected)


def test_the_model_s_option_has_the_same_names_and_earlier_models_keep_theirs() -> None:
    assert literals("sed.models.detector")["OPTIONS"]["input_padding"]["choices"] == [*PADDINGS]
    assert default_options("sed.models.detector")["input_padding"] == "raw"
    assert complete({}, {"input_padding": "raw"}) == {"input_padding": "normalised"}
