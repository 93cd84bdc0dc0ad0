"""sed.bin.stitch_scores."""

from pathlib import Path

import numpy as np
import pytest
from tiny_model import call

from sed.bin import stitch_scores
from sed.data.scores import Scores, read_scores, write_scores


def test_the_scores_of_the_windows_are_not_replaced_by_those_of_the_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    windows = tmp_path / "windows.h5"
    frame = np.full((2, 10, 1), 0.5, np.float32)
    write_scores(windows, Scores(clips=["x_0", "x_1"], labels=["l"], frame=frame, clip=frame[:, 0], frame_seconds=0.2))
    (tmp_path / "windows.tsv").write_text("filename\trecording\tonset\nx_0\tx\t0\nx_1\tx\t1\n")
    (tmp_path / "durations.tsv").write_text("filename\tduration\nx.wav\t3\n")
    before = windows.read_bytes()
    (tmp_path / "link.h5").symlink_to(windows)
    for output in (windows, tmp_path / "link.h5"):
        assert call(stitch_scores, windows, tmp_path, output) == 2
        assert f"{output}: an input, which would be overwritten" in capsys.readouterr().err
    assert windows.read_bytes() == before
    assert call(stitch_scores, windows, tmp_path, tmp_path / "scores.h5") == 0
    assert read_scores(tmp_path / "scores.h5").clips == ["x"]
