"""Comparison of front ends by their parameters."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sed import compatibility
from sed.features.params import STATISTICS, completed, defaults, difference, resolved


def test_defaults_are_those_of_the_front_end() -> None:
    from sed.features.logmel import FrontEnd

    assert FrontEnd().params() == resolved(defaults()) and tuple(defaults()) == FrontEnd.KEYS


@pytest.mark.parametrize("value", [64, 64.0, np.int64(64), np.float32(64), "64", "6.4e1"])
def test_numbers_are_compared_as_numbers(value: object) -> None:
    assert difference({"mel_bins": value}, {"mel_bins": 64}) is None
    assert difference({"mel_bins": 64}, {"mel_bins": value}) is None


def test_an_integer_that_no_float_holds_is_a_difference() -> None:
    """JSON of a damaged file may have one; it was an OverflowError."""
    assert difference({"mel_bins": 10**400}, {}) == f"mel_bins is 1{36 * '0'}..., not 128"


@pytest.mark.parametrize("key", [key for key in defaults() if key != STATISTICS])
def test_every_parameter_counts_and_is_named_with_both_values(key: str) -> None:
    value = resolved(defaults())[key]
    other = "other" if isinstance(value, str) else value + 1
    assert difference({key: other}, {}) == f"{key} is {other}, not {value}"
    assert difference({}, {key: other}) == f"{key} is {value}, not {other}"
    assert difference({key: value}, {}) is difference({}, {key: value}) is None


def test_auto_is_replaced_by_the_preset() -> None:
    kaldi, stft = resolved(defaults()), resolved({**defaults(), "front_end": "stft", "frame_length": 0.128})
    assert not {*kaldi.values(), *stft.values()} & {"auto"}
    assert (kaldi["fft_size"], stft["fft_size"]) == (512, 2048)
    assert (kaldi["window"], stft["window"], kaldi["power"], stft["power"]) == ("hann", "hamming", 2, 1)
    for found in (kaldi, stft):
        assert resolved(found) == found
        asked = {**defaults(), "front_end": found["front_end"], "frame_length": found["frame_length"]}
        assert difference(asked, found) is difference(found, asked) is None
    assert difference({"window": "povey"}, {}) == "window is povey, not hann"


def test_an_impossible_length_is_left_to_the_front_end() -> None:
    for length in (float("inf"), float("nan"), "long"):
        assert resolved({**defaults(), "frame_length": length})["frame_length"] is length


def test_files_of_the_earliest_options_have_the_presets_of_the_others() -> None:
    early = ("front_end", "sample_rate", "frame_length", "frame_shift", "mel_bins", "f_min", "f_max", "clip_seconds",
             "normaliser", "norm_mean", "norm_std")  # fmt: skip
    for preset in ({}, {"front_end": "stft", "frame_length": 0.128, "frame_shift": 0.016}):
        now = resolved({**defaults(), **preset})
        assert completed({key: now[key] for key in early}) == now


def test_statistics_are_ignored_if_one_side_has_none() -> None:
    ones, twos = ",".join(["1"] * 256), ",".join(["2"] * 256)
    assert difference({STATISTICS: ones}, {}) is difference({}, {STATISTICS: ones}) is None
    assert difference({STATISTICS: ones}, {STATISTICS: twos}) == f"{STATISTICS} is {ones[:37]}..., not {twos[:37]}..."


def test_a_missing_parameter_has_the_implicit_value_of_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compatibility.ADDED, compatibility.FORMAT, {"norm_std": 4.0})
    monkeypatch.setitem(compatibility.ALIASES, "normalizer", "normaliser")
    early = {**defaults(), "normalizer": "minmax"}
    del early["norm_std"], early["normaliser"]
    now = resolved({**defaults(), "norm_std": 4.0, "normaliser": "minmax"})
    assert completed(early) == now and difference(early, now) is difference(now, early) is None
    assert difference(early, {**now, "norm_std": 5.0}) == "norm_std is 4.0, not 5.0"


def test_the_first_difference_in_the_order_of_the_options_is_named() -> None:
    found = {"norm_std": 1.0, "mel_bins": 8, "unheard_of": True}
    assert difference(found, {}) == "mel_bins is 8, not 128"
    assert difference({"unheard_of": True}, {}) == "unheard_of is True, not None"
    assert difference({"normaliser": "minmax"}, {"normaliser": 1.0}) == "normaliser is minmax, not 1.0"


def test_a_front_end_names_the_difference_to_another() -> None:
    from sed.features.logmel import FrontEnd

    front_end = FrontEnd(mel_bins=64)
    assert front_end.difference({**front_end.params(), "f_min": 0}) == "f_min is 0, not 20.0"
    assert front_end.difference({"mel_bins": 64.0}) is None


def test_no_torch_is_imported() -> None:
    script = (
        "import sys; from sed.features.params import difference; difference({}, {}); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
