"""The front end: its settings and batches."""

import pytest
import torch

from sed.errors import UserError
from sed.features.logmel import FrontEnd

RATE = 16000


def test_batch_does_not_matter():
    torch.manual_seed(0)
    batch = torch.randn(3, RATE)
    front_end = FrontEnd()
    alone = front_end(batch[1:2])
    torch.testing.assert_close(front_end(batch)[1:2], alone, rtol=0, atol=1e-5)
    at_once = front_end._logmel(front_end.prepare(batch))  # as on a GPU; on a CPU, clips are computed one by one
    torch.testing.assert_close(at_once[1:2], alone, rtol=0, atol=1e-3)


def test_params_make_the_same_front_end():
    front_end = FrontEnd(mel_bins=64, clip_seconds=4, norm_mean=-5)
    again = FrontEnd.from_params(front_end.params())
    assert again.params() == front_end.params() != FrontEnd().params()
    assert front_end.clip_frames == front_end(torch.zeros(1, front_end.clip_samples)).shape[1] == 398


def test_too_short_and_impossible_are_refused():
    with pytest.raises(ValueError, match="at least 400 are needed"):
        FrontEnd()(torch.zeros(1, 399))
    with pytest.raises(UserError, match=r"clip_seconds 0\.1 is too short for a frame, which needs 0\.128 s"):
        FrontEnd.from_config({"clip_seconds": 0.1, "frame_length": 0.128})
    with pytest.raises(UserError, match=r"f_min 5000\.0, f_max 4000\.0, .*: 0 <= f_min < f_max"):
        FrontEnd.from_config({"f_min": 5000, "f_max": 4000})
    values = {"f_max": 9000, "f_min": 8000, "frame_shift": 0, "front_end": "cqt", "fft_size": 300, "clamp": "3"}
    for bad in ({key: value} for key, value in values.items()):
        with pytest.raises(UserError, match="change the config"):
            FrontEnd.from_config(bad)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("log", "x"), ("power", 3), ("mel_bins", -1), ("mel_scale", "x"), ("frame_shift", float("inf"))),
        *(("top_db", -1.0), ("sample_rate", float("inf")), ("clip_seconds", 10**400), ("f_min", None)),
        *(("clip_seconds", 1e305), ("frame_length", 1e305), ("frame_shift", 1e305), ("sample_rate", 10**18)),
        *(("mel_bins", 64.9), ("power", 1.9)),
    ],
)
def test_stored_settings_outside_their_options_are_refused(key, value):
    with pytest.raises(UserError, match=f"^{key} "):
        FrontEnd.from_params({**FrontEnd().params(), key: value})


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({"fft_size": 1 << 40}, f"fft_size {1 << 40}, mel_bins 128"),
        ({"front_end": "stft", "mel_bins": 10**12}, f"fft_size 400, mel_bins {10**12}"),
        (
            {"frame_length": 60, "sample_rate": 10**6, "clip_seconds": 100},
            f"fft_size {1 << 26}, mel_bins 128",  # the window's length as the next power of two
        ),
    ],
)
def test_a_mel_bank_that_no_memory_holds_is_refused(settings: dict[str, object], sizes: str) -> None:
    with pytest.raises(UserError, match=f"^{sizes}: a mel bank of "):
        FrontEnd.from_config(settings)


def test_settings_are_the_options_and_no_others() -> None:
    declared = {name for name in FrontEnd.__annotations__ if name not in ("taper", "bank")}
    assert declared == {*FrontEnd.KEYS}
    with pytest.raises(TypeError, match="no setting hop"):
        FrontEnd(hop=3)
