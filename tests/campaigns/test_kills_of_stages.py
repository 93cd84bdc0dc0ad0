"""Commands that make a corpus or train: killed at any file-system call, the same command ends with the same files."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from faulty_server import tarred, zipped
from kills import forked, kill_at_every_call
from tiny_model import call, write_sounds
from tiny_training import make_config, write_dump

from sed.bin import download, own_data, pretrain, synthesize, train
from sed.config import default_options

CAMPAIGN = [pytest.mark.campaign, pytest.mark.slow]
SAMPLED = [12, pytest.param(None, marks=CAMPAIGN)]
RUN = {"device": "cpu", "threads": 1, "loggers": "none"}


def files(place: Path) -> dict[str, bytes]:
    """Return what is in the files, hidden ones too, less locks and times of day."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_dir() or path.name.endswith(".lock") or path.suffix == ".log":
            continue
        found[name] = re.sub(rb'"(mtime_ns|seconds|clips_per_second|memory_gb)": [0-9.]+', rb"", path.read_bytes())
    return found


def kill(tmp_path: Path, module: Any, options: Callable[[Path], list[Any]], most: int | None, least: int) -> None:
    """Kill a command that writes into a folder at every call (None) or a sample of them."""
    place, said = tmp_path / "place", tmp_path / "said"

    def work() -> int:
        os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        return call(module, *options(place))

    assert forked(work) == 0, said.read_text()
    undisturbed = files(place)

    def check(number: int) -> None:
        assert files(place) == undisturbed, number
        assert "Traceback" not in said.read_text()

    def prepare() -> None:
        shutil.rmtree(place, ignore_errors=True)

    kills = kill_at_every_call(work, prepare, check, place, most=most)
    print(f"{module.__name__}: killed {kills} times")
    assert kills >= (most or least) - 2


@pytest.mark.parametrize("most", SAMPLED)
def test_own_data(tmp_path: Path, most: int | None) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(5):
        write_sounds(sounds / f"{number}.wav", 3, seed=number)
    rows = [f"{number}.wav\t0.5\t1.5\t{'xy'[number % 2]}" for number in range(4)]
    (tmp_path / "events.tsv").write_text("\n".join(["filename\tonset\toffset\tevent_label", *rows, ""]))
    events = tmp_path / "events.tsv"
    kill(
        tmp_path, own_data, lambda place: ["--events", events, "--seconds", 2, "--nj", 1, sounds, place], most, least=20
    )


@pytest.mark.parametrize("most", SAMPLED)
@pytest.mark.parametrize("keep", ["--keep-archives", "--no-keep-archives"])
def test_download(tmp_path: Path, serve: Any, most: int | None, keep: str) -> None:
    served = {
        "a.zip": zipped({"top/audio/1.wav": b"1" * 3000, "top/audio/2.wav": b"2" * 3000}),
        "b.tar.gz": tarred({"audio/3.wav": b"3" * 3000, "metadata/t.tsv": b"filename\n"}),
        "c.tsv": b"filename\tonset\n",
    }
    server = serve(zenodo={"1": served})
    table = tmp_path / "records.tsv"
    rows = ["part\tsource\tfile\tinto\tholds", "one\tzenodo:1\ta.zip\t.\taudio"]
    rows += ["two\tzenodo:1\tb.tar.gz\t.\taudio,metadata", "three\tzenodo:1\tc.tsv\tmetadata/c.tsv\t-", ""]
    table.write_text("\n".join(rows))
    kill(tmp_path, download, lambda place: ["--mirror", server.url, "--nj", 1, keep, table, place], most, least=40)


@pytest.mark.parametrize("most", [pytest.param(None, marks=CAMPAIGN)])
def test_synthesize(tmp_path: Path, most: int | None) -> None:
    sets = [part for name in synthesize.SIZES for part in (f"--{name.replace('_', '-')}", 0)]
    sizes = [*sets, "--validation", 21, "--pretrain", 3, "--clip-seconds", 1, "--pretrain-seconds", 1, "--nj", 1]
    kill(tmp_path, synthesize, lambda place: [*sizes, place], most, least=10)


def configured(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


@pytest.mark.parametrize("most", [pytest.param(6, marks=pytest.mark.slow), pytest.param(None, marks=CAMPAIGN)])
def test_pretrain(tmp_path: Path, most: int | None) -> None:
    defaults = default_options("sed.features.logmel", "sed.models.detector", "sed.training.pretraining.pretraining")
    tiny = {key: value for key, value in make_config().items() if key in defaults}
    run = {"epochs": 2, "steps_per_epoch": 2, "warmup_steps": 1, "constant_epochs": 1, "batch_size": 2}
    config = configured(tmp_path, {**defaults, **tiny, **run, **RUN, "checkpoint_seconds": 0})
    source = write_dump(tmp_path / "dump") / "weak"
    kill(tmp_path, pretrain, lambda place: ["--config", config, source, place / "ast.pth"], most, least=20)


@pytest.mark.parametrize("most", [pytest.param(6, marks=pytest.mark.slow), pytest.param(None, marks=CAMPAIGN)])
def test_train(tmp_path: Path, most: int | None) -> None:
    config = configured(tmp_path, make_config(epochs=2, steps_per_epoch=2, checkpoint_seconds=0.0, **RUN))
    dump = write_dump(tmp_path / "dump")
    kill(tmp_path, train, lambda place: ["--config", config, dump, place], most, least=20)
