"""Commands that write one file: killed at every file-system call, the same command gives the same; two at once, one."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import at_once, forked, kill_at_every_call
from tiny_model import LABELS, call, save_tiny, write_sounds
from tiny_training import make_config, write_dump

from sed.bin import export_onnx, infer, predict, score
from sed.data.scores import Scores, read_scores, write_scores


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, two recordings, and scores with their ground truth."""
    folder = tmp_path_factory.mktemp("made")
    save_tiny(folder / "exp")
    for number, name in enumerate("ab"):
        write_sounds(folder / f"{name}.wav", 3 + number, seed=number)
    rng = np.random.default_rng(0)
    frame, clip = rng.random((3, 40, 2), dtype=np.float32), np.ones((3, 2), np.float32)
    for number, name in enumerate("xy"):
        scores = Scores(clips=list("abc"), labels=["x", "y"], frame=frame**number, clip=clip, frame_seconds=0.1)
        write_scores(folder / f"{name}.h5", scores)
    (folder / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0.0\t1.0\tx\nb.wav\t0.5\t2.0\ty\n")
    (folder / "durations.tsv").write_text("filename\tduration\na.wav\t4.0\nb.wav\t4.0\nc.wav\t4.0\n")
    return folder


def command(made: Path, name: str, place: Path, which: int) -> Callable[[], int]:
    """Return a command that writes below `place`; `which` of two different ones."""

    def work() -> int:
        error = os.open(place.parent / f"error.{which}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(error, 2)
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        if name == "predict":
            recording = made / f"{'ab'[which]}.wav"
            return call(predict, "--model", made / "exp", "--threads", 1, "--out", place / "e.tsv", recording)
        if name == "export_onnx":
            return call(export_onnx, "--threshold", 0.4 + which / 10, made / "exp", place / "m.onnx")
        return call(
            score, made / f"{'xy'[which]}.h5", "--ground-truth", made / "truth.tsv", "--durations",
            made / "durations.tsv", "--bootstrap", 20, "--no-report", "--jobs", 1, "--out", place / "result.json",
        )  # fmt: skip

    return work


def contents(place: Path) -> dict[str, Any]:
    """Return what is in the files, without times of day and locks."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        if path.suffix == ".lock" or path.is_dir():
            continue
        found[path.name] = path.read_bytes()
        if path.name == "result.json":
            found[path.name] = {key: value for key, value in json.loads(found[path.name]).items() if key != "seconds"}
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[path.name] = {key: arrays[key].tobytes() for key in arrays.files}
    return found


LONG = [pytest.mark.campaign, pytest.mark.slow]


@pytest.mark.parametrize(
    "name", ["predict", pytest.param("export_onnx", marks=LONG), pytest.param("score", marks=LONG)]
)
def test_killed_at_every_call(made: Path, tmp_path: Path, name: str) -> None:
    if name == "export_onnx":
        pytest.importorskip("onnx")
    place = tmp_path / "place"
    work = command(made, name, place, 0)
    assert forked(work) == 0, (tmp_path / "error.0").read_text()
    undisturbed = contents(place)

    def check(number: int) -> None:
        assert contents(place) == undisturbed, number
        assert "Traceback" not in (tmp_path / "error.0").read_text()

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)

    assert kill_at_every_call(work, prepare, check, place) >= 3


@pytest.mark.parametrize(
    "name,pairs", [("predict", 3), pytest.param("predict", 20, marks=LONG), pytest.param("score", 20, marks=LONG)]
)
def test_two_at_once_give_one_whole_result(made: Path, tmp_path: Path, name: str, pairs: int) -> None:
    place = tmp_path / "place"
    works = [command(made, name, place, which) for which in range(2)]
    alone = []
    for work in works:
        assert forked(work) == 0
        alone.append(contents(place))
        shutil.rmtree(place)
    assert alone[0] != alone[1]
    for _ in range(pairs):
        codes = at_once(works)
        assert 0 in codes and set(codes) <= {0, 2}
        assert contents(place) in alone
        for which in range(2):
            assert "Traceback" not in (tmp_path / f"error.{which}").read_text()


@pytest.mark.slow
@pytest.mark.campaign
def test_infer_killed_at_every_call(tmp_path: Path) -> None:
    dump = write_dump(tmp_path / "dump")
    folder = next(path.parent for path in sorted(dump.rglob("durations.tsv")))
    config = make_config()
    options = "".join(
        f" --{key.replace('_', '-')} {value}"
        for key, value in config.items()
        if key in {"clip_seconds", "input_frames", "mel_bins", "ast_dim", "ast_depth", "ast_heads", "ast_blocks",
                   "patch_freq", "stride_freq", "fte_blocks", "fte_heads", "gru_units", "gru_layers", "upsample"}
    )  # fmt: skip
    experiment = save_tiny(tmp_path / "exp", labels=LABELS, options=options)
    place = tmp_path / "place"

    def work() -> int:
        os.dup2(os.open(tmp_path / "error", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        return call(infer, "--model", experiment, "--device", "cpu", folder, place / "scores.h5")

    assert forked(work) == 0, (tmp_path / "error").read_text()
    undisturbed = read_scores(place / "scores.h5")

    def check(number: int) -> None:
        assert [path.name for path in place.iterdir()] == ["scores.h5"], number
        np.testing.assert_array_equal(read_scores(place / "scores.h5").frame, undisturbed.frame)

    assert kill_at_every_call(work, lambda: shutil.rmtree(place), check, place) >= 3
