"""Units of features: a decibel, and silence as the floor, for every kind of logarithm."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from typing import Any

import pytest
import torch

from sed.features.logmel import FRONT_ENDS, FrontEnd
from sed.features.units import clamps

KINDS = [
    {"front_end": kind, "power": power, "log": log, "clamp": "none"}
    for kind, power, log in itertools.product(FRONT_ENDS, (1, 2), ("ln", "db"))
] + [{"front_end": kind} for kind in FRONT_ENDS]


@pytest.mark.parametrize("settings", KINDS, ids=str)
def test_6_db_raise_features_by_6_times_decibel_and_silence_has_the_stated_value(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    for floor in ({}, {"log_floor": 1e-9, "log_floor_by": "add"}):
        front_end, noise = FrontEnd(mel_bins=32, **settings, **floor), torch.randn(1, 8000)
        louder = front_end(noise * 10 ** (6 / 20)) - front_end(noise)
        assert torch.allclose(louder, torch.tensor(6 * front_end.decibel), atol=1e-3)
        silence = front_end(torch.zeros(1, 8000))
        assert torch.allclose(silence, torch.tensor(front_end.silence), atol=1e-4)


def test_decibel_and_silence_are_those_of_the_presets() -> None:
    kaldi, crnn = FrontEnd(), FrontEnd(front_end="stft")
    assert kaldi.decibel == math.log(10) / 10 and kaldi.silence == math.log(torch.finfo(torch.float32).eps)
    assert crnn.decibel == 1 and crnn.silence == -50


def test_limits_are_two_numbers_or_none() -> None:
    assert clamps({"clamp": "none"}) == (-math.inf, math.inf) and clamps({"clamp": "-50, 80"}) == (-50, 80)
    for bad in ("80,-50", "1", "low,high", "1,2,3", ""):
        with pytest.raises(ValueError, match="not two numbers"):
            clamps({"clamp": bad})


def test_units_and_framing_import_no_torch() -> None:
    script = "import sys, sed.features.units, sed.features.framing; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
