"""sed.bin.average_scores."""

from pathlib import Path

import numpy as np
import pytest
from tiny_model import call

from sed.bin import average_scores
from sed.data.scores import Scores, read_scores, write_scores


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """Write the scores 0.1, 0.5 and 0.6 of three models; return their files."""
    paths = [tmp_path / name for name in ("a.h5", "b.h5", "c.h5")]
    for path, value in zip(paths, (0.1, 0.5, 0.6), strict=True):
        frame = np.full((1, 10, 1), value, np.float32)
        scores = Scores(clips=["x"], labels=["l"], frame=frame, clip=frame[:, 0], frame_seconds=0.1)
        write_scores(path, scores)
    return paths


@pytest.mark.parametrize("again", ["a.h5", "../{folder}/a.h5", "link.h5"])
def test_scores_given_twice_are_refused(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], again: str
) -> None:
    (tmp_path / "link.h5").symlink_to("a.h5")
    twice = tmp_path / again.format(folder=tmp_path.name)
    assert call(average_scores, three[0], three[1], twice, tmp_path / "mean.h5") == 2
    assert f"{twice}: given twice" in capsys.readouterr().err


def test_an_earlier_mean_is_replaced_but_no_scores_of_a_model(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever forgets the file to write names a model's scores last."""
    mean = tmp_path / "mean.h5"
    assert call(average_scores, *three[:2], mean) == 0
    assert call(average_scores, *three, mean) == 0
    assert read_scores(mean).clip[0, 0] == pytest.approx(0.4)
    before = three[2].read_bytes()
    assert call(average_scores, *three) == 2
    assert f"{three[2]}: exists and is not a mean" in capsys.readouterr().err
    assert three[2].read_bytes() == before
    assert call(average_scores, three[0], mean, mean) == 2
    assert f"{mean}: an input, which would be overwritten" in capsys.readouterr().err
