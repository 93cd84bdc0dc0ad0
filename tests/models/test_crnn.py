import pytest
import torch
from torch import nn

from sed.models.crnn import CRNN
from sed.models.detector import build_detector


def baseline(config, **values):
    sizes = {
        "encoder": "crnn", "input_frames": 626, "frame_shift": 0.016, "pooling": "mean", "upsample": 1,
        "gru_units": 128, "gru_layers": 2, "clip_pooling": "attention", "head_dropout": 0.5,
    }  # fmt: skip
    return config(**{**sizes, **values})


def test_has_the_published_number_of_parameters(config):
    """1112420: what the DCASE 2022 task 4 baseline prints of itself."""
    assert sum(p.numel() for p in build_detector(baseline(config), 10).parameters()) == 1_112_420


def test_ten_seconds_are_156_frames_of_64_ms(config):
    detector = build_detector(baseline(config), 10).eval()
    with torch.inference_mode():
        output = detector(torch.rand(2, 626, 128))
    assert output.logits.shape == (2, 156, 10) and output.clip.shape == (2, 10)
    assert detector.frame_seconds == 0.064


def test_layers_are_the_baselines():
    """Layer by layer, as the baseline's description has it: convolution, norm, gate, dropout, pool."""
    encoder = CRNN(mel_bins=128, input_frames=626)
    convolutions = [layer for layer in encoder.layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [16, 32, 64, 128, 128, 128, 128]
    assert encoder.grid == (1, 156) and encoder.dim == 128


def test_fewer_mel_bins_and_too_few_frames():
    assert CRNN(mel_bins=64, input_frames=100)(torch.rand(1, 100, 64)).shape == (1, 1, 25, 128)
    with pytest.raises(ValueError, match="no frames"):
        CRNN(input_frames=3)
