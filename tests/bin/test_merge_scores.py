"""Parts of scores that are named wrongly on the command line."""

from pathlib import Path

import pytest

from sed.bin.merge_scores import main


def test_a_part_that_is_given_twice_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["merge_scores", "a.h5", "b.h5", "./a.h5", "dump", str(tmp_path / "scores.h5")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and "a.h5: given twice" in capsys.readouterr().err
    assert not (tmp_path / "scores.h5").exists()


def test_no_part_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / "a.h5"
    part.write_bytes(b"scores")
    monkeypatch.setattr("sys.argv", ["merge_scores", str(part), "dump", str(part)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2 and f"{part}: an input, which would be overwritten" in capsys.readouterr().err
