import sys

import pytest

from sed.bin import benchmark_features


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--clips", "1", "--seconds", "1", "--rounds", "1"], 0, "ratio"),
        (["--front-end", "stft"], 2, "--front-end kaldi"),
        (["--seconds", "0.1", "--frame-length", "0.2"], 2, "shorter than a window"),
    ],
)
def test_both_rates_and_the_difference_are_printed_or_the_options_are_refused(
    arguments, code, said, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["benchmark_features", *arguments])
    with pytest.raises(SystemExit) as stopped:
        benchmark_features.main()
    out, err = capsys.readouterr()
    assert stopped.value.code == code and said in out + err
    if code == 0:
        assert [line.split()[0] for line in out.splitlines()[:4]] == ["ours", "torchaudio", "ratio", "difference"]
        assert float(out.splitlines()[3].split()[1]) < 1e-3  # of log-mel, natural logarithm
