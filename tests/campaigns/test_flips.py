"""One flipped bit anywhere in a file: refused in a line that names the file. A sample; 200 of each are a campaign."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import pack_tiny

from sed.errors import UserError

SAMPLES = [20, pytest.param(200, marks=[pytest.mark.campaign, pytest.mark.slow])]


def refuse_flips(paths: list[Path], read: Callable[[], object], count: int) -> None:
    """Flip one random bit of one of the files, `count` times; every time `read` has to name that file."""
    read()
    rng = random.Random(0)
    for _ in range(count):
        path = rng.choices(paths, [path.stat().st_size for path in paths])[0]
        whole = path.read_bytes()
        bit = rng.randrange(len(whole) * 8)
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError) as error:
            read()
            pytest.fail(f"{path.name}: bit {bit} of {len(whole) * 8} is not seen")
        assert path.name in str(error.value) and "\n" not in str(error.value)
        path.write_bytes(whole)
    read()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_tiny(tmp_path_factory.mktemp("packed"))


@pytest.mark.parametrize("count", SAMPLES)
def test_flips_in_a_checkpoint_are_refused(packed: Path, tmp_path: Path, count: int) -> None:
    from sed.checkpoints.checkpoint import load_detector

    path = Path(shutil.copy(packed / "exp" / "final.pt", tmp_path))
    refuse_flips([path], lambda: load_detector(path), count)


@pytest.mark.parametrize("count", SAMPLES)
def test_flips_in_a_packed_model_are_refused(packed: Path, tmp_path: Path, count: int) -> None:
    from sed.prediction.model import open_model

    folder = shutil.copytree(packed / "model", tmp_path / "model")
    for name in ("model.json", "model.safetensors"):
        refuse_flips([folder / name], lambda: open_model(folder), count)


@pytest.mark.parametrize("count", SAMPLES)
def test_flips_in_scores_are_refused(tmp_path: Path, count: int) -> None:
    from sed.data.scores import Scores, read_scores, write_scores

    rng = np.random.default_rng(0)
    frame, clip = rng.random((4, 50, 2), dtype=np.float32), rng.random((4, 2), dtype=np.float32)
    path = tmp_path / "scores.h5"
    write_scores(path, Scores(clips=list("abcd"), labels=["x", "y"], frame=frame, clip=clip, frame_seconds=0.01))
    refuse_flips([path], lambda: read_scores(path), count)


@pytest.mark.parametrize("count", SAMPLES)
def test_flips_in_a_shard_are_refused(tmp_path: Path, count: int) -> None:
    from sed.data.store import FeatureStore, FeatureWriter

    rng = np.random.default_rng(0)
    path, clips = tmp_path / "feats.1.h5", list("abcde")
    with FeatureWriter(path, clips=clips, frames=20, bins=8, front_end={"mel_bins": 8, "front_end": "kaldi"}) as writer:
        for _ in clips:
            writer.write(rng.normal(size=(15, 8)).astype(np.float16))
    (tmp_path / "feats.scp").write_text("".join(f"{clip} feats.1.h5:{row}\n" for row, clip in enumerate(clips)))
    refuse_flips([path], lambda: FeatureStore(tmp_path).read(range(5)), count)
