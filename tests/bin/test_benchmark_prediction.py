"""sed.bin.benchmark_prediction."""

import pytest
from tiny_model import call

from sed.bin import benchmark_prediction


def test_an_unknown_precision_is_refused_and_not_measured_as_float32(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(benchmark_prediction, "--no-peer", "--precisions", "float32,bf16") == 2
    assert "--precisions bf16: not one of float32, bfloat16, int8" in capsys.readouterr().err
