"""FB-CRNN's separate GRUs: dependence on past or future only, detection windows, published sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from sed.models.apart_decoder import ApartDecoder, DirectionClassifier
from sed.models.decoders import Directed
from sed.models.detector import Detector, build_detector

Config = Callable[..., dict[str, Any]]
SYSTEM = {
    "encoder": "fbcrnn",
    "pooling": "mean",
    "upsample": 1,
    "frame_shift": 0.02,
    "input_frames": 500,
}
APART = {"gru_directions": "apart", "clip_pooling": "ends"}


def sized(cnn: str, width: int) -> dict[str, Any]:
    units = 256 * width
    return {**SYSTEM, "fbcrnn_cnn": cnn, "fbcrnn_width": width, "gru_units": units, "head_hidden": units}


@pytest.mark.parametrize(
    "sizes, apart, both",
    [(sized("shallow", 1), 3_490_116, 3_879_994), (sized("deep", 2), 15_197_556, 16_763_754)],
    ids=["shallow", "deep"],
)
def test_has_the_published_numbers_of_parameters(config: Config, sizes: dict[str, Any], apart: int, both: int) -> None:
    """Compare with FB-CRNN and Bi-CRNN of pb_sed."""
    with torch.device("meta"):
        for values, expected in ((APART, apart), ({"clip_pooling": "max"}, both)):
            assert sum(p.numel() for p in build_detector(config(**sizes, **values), 10).parameters()) == expected


def tiny(config: Config, frames: int = 40, **values: Any) -> Detector:
    """Return a detector of three classes whose encoder has 13 channels, 0.05 of the published 256."""
    torch.manual_seed(0)
    sizes = {**SYSTEM, **APART, "input_frames": frames, "clip_seconds": frames * 0.02, "mel_bins": 16}
    detector = build_detector(config(**{**sizes, "fbcrnn_width": 0.05, "gru_units": 6, "head_hidden": 5, **values}), 3)
    return detector.eval()


def test_each_direction_depends_on_its_side_only(config: Config) -> None:
    """Later frames do not affect the forward output, nor earlier ones the backward output."""
    decoder = tiny(config).decoder
    assert isinstance(decoder, ApartDecoder) and isinstance(decoder, Directed)
    x = torch.randn(1, 40, 13)
    later, earlier = x.clone(), x.clone()
    later[:, 25:] += 1
    earlier[:, :15] += 1
    with torch.inference_mode():
        plain, after, before = (decoder(value).hidden.chunk(2, 2) for value in (x, later, earlier))
    torch.testing.assert_close(after[0][:, :25], plain[0][:, :25])
    torch.testing.assert_close(before[1][:, 15:], plain[1][:, 15:])
    assert not torch.allclose(after[1][:, :25], plain[1][:, :25]) and not torch.allclose(
        before[0][:, 15:], plain[0][:, 15:]
    )


def test_without_a_window_frame_logits_are_those_of_the_lesser_direction(config: Config) -> None:
    detector, x = tiny(config, detection_frames=0), torch.randn(2, 40, 16)
    with torch.inference_mode():
        output = detector(x)
    assert output.directions is not None and output.directions.shape == (2, 2, 40, 3)
    assert torch.equal(output.logits, output.directions.amin(0))
    y = output.directions.sigmoid()
    torch.testing.assert_close(output.clip, (y[0, :, -1] + y[1, :, 0]) / 2)


def test_posteriors_stay_within_the_limits_of_pb_sed() -> None:
    classifier = DirectionClassifier(dim=4, classes=2)
    for linear in (classifier.ahead, classifier.back):
        linear.bias.data = torch.tensor([-50.0, 50.0])
    with torch.inference_mode():
        posteriors = classifier(torch.zeros(1, 3, 4)).sigmoid()
    torch.testing.assert_close(posteriors, torch.tensor([1e-5, 1 - 1e-5]).expand(2, 1, 3, 2), rtol=0, atol=2e-7)


def test_a_window_is_a_run_over_its_frames_alone(config: Config) -> None:
    """Frame by frame against whole runs over cut-out windows, with zeros beyond the clip; training has none."""
    detector = tiny(config, detection_frames=7)
    frames = torch.randn(1, 40, 13)
    with torch.inference_mode():
        found = detector.decode(frames).logits.sigmoid()[0]
        padded = nn.functional.pad(frames, (0, 0, 3, 3))
        for t in range(40):
            window = padded[:, t : t + 7]
            ahead, back = detector.classifier(detector.decoder._hidden(
                detector.decoder.ahead(window)[0], detector.decoder.back(window.flip(1))[0].flip(1)
            )).sigmoid()  # fmt: skip
            torch.testing.assert_close(found[t], (ahead[0, -1] + back[0, 0]) / 2, rtol=0, atol=1e-6)
        assert torch.equal(detector.decode(frames).clip, tiny(config, detection_frames=0).decode(frames).clip)
    detector.train()
    output = detector(torch.randn(2, 40, 16))
    assert output.directions is not None and torch.equal(output.logits, output.directions.amin(0))


def test_frames_are_repeated_in_their_place(config: Config) -> None:
    repeating, plain = tiny(config, upsample=3, detection_frames=0), tiny(config, frames=120, detection_frames=0)
    plain.load_state_dict(repeating.state_dict())
    assert repeating(torch.randn(1, 40, 16)).logits.shape == (1, 120, 3)
    x = torch.randn(1, 40, 13)
    with torch.inference_mode():
        torch.testing.assert_close(repeating.decoder(x).hidden, plain.decoder(x.repeat_interleave(3, 1)).hidden)
