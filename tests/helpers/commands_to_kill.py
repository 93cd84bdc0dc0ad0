"""The commands that the campaigns kill or run twice at once: how each is called, and what it wrote."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import yaml
from faulty_server import tarred, zipped
from tiny_model import LABELS, call, pack_tiny, save_tiny, write_sounds
from tiny_training import make_config, write_dump

from sed.bin import download, export_onnx, infer, make_data_dir, own_data, pack, predict, pretrain, score, synthesize
from sed.bin import train as train_command
from sed.config import default_options
from sed.data.scores import Scores, read_scores, write_scores

# options of trainings; a checkpoint is written after each step
RUN = {"device": "cpu", "threads": 1, "loggers": "none", "checkpoint_seconds": 0.0}
# options by which synthesize makes no set; a later option makes one
SETS = [part for name in synthesize.SIZES for part in (f"--{name.replace('_', '-')}", 0)]


@dataclass(frozen=True)
class Command:
    """A command that writes into a folder.

    Attributes:
        module: its module in sed.bin.
        options: returns its arguments for an output folder and 0 or 1: two runs that write different things (`download`
            and `make_data_dir`: the same).
    """

    module: ModuleType
    options: Callable[[Path, int], list[Any]]

    def work(self, place: Path, which: int = 0) -> Callable[[], int]:
        """Return a function that runs the command in a process of its own, with standard error in `said.<which>`."""

        def run() -> int:
            os.dup2(os.open(said(place, which), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
            return call(self.module, *self.options(place, which))

        return run


def said(place: Path, which: int = 0) -> Path:
    """Return the file with standard error of a command that writes to `place`."""
    return place.parent / f"said.{which}"


def contents(place: Path) -> dict[str, Any]:
    """Return {file: its content}, hidden ones too, without locks, logs, and what differs between equal runs."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        if path.is_dir() or path.name.endswith(".lock") or path.suffix == ".log":
            continue
        name = str(path.relative_to(place))
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[name] = {key: arrays[key].tobytes() for key in arrays.files}
        elif path.suffix == ".h5":  # HDF5 notes the time
            scores = read_scores(path)
            found[name] = (scores.clips, scores.labels, scores.frame.tobytes(), scores.clip.tobytes())
        elif path.name == "result.json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
        else:
            changing = rb'"(mtime_ns|seconds|clips_per_second|git)": ([0-9.]+|"[^"]*"|null)'
            found[name] = re.sub(changing, b"", path.read_bytes())
    return found


def of_one_file(made: Path, name: str) -> Command:
    """Return a command that writes one file or folder of a model or its scores; its input is made in `made`."""
    if name == "predict":
        words = ["--model", save_tiny(made / "exp"), "--threads", 1]
        for number, letter in enumerate("ab"):
            write_sounds(made / f"{letter}.wav", 3 + number, seed=number)
        return Command(predict, lambda place, which: [*words, "--out", place / "e.tsv", made / f"{'ab'[which]}.wav"])
    if name == "export_onnx":
        exp = save_tiny(made / "exp")
        return Command(export_onnx, lambda place, which: ["--threshold", 0.4 + which / 10, exp, place / "m.onnx"])
    if name == "pack":
        pack_tiny(made)
        return Command(pack, lambda place, which: ["--name", f"model {which}", made / "exp", place / "model"])
    if name == "infer":
        dump, keys = write_dump(made / "dump"), ["clip_seconds", "input_frames", "mel_bins", "ast_dim", "ast_depth"]
        keys += ["ast_heads", "ast_blocks", "patch_freq", "stride_freq", "fte_blocks", "fte_heads", "gru_units"]
        words = [f" --{key.replace('_', '-')} {make_config()[key]}" for key in [*keys, "gru_layers", "upsample"]]
        exp = save_tiny(made / "exp", labels=LABELS, options="".join(words))
        words = ["--model", exp, "--device", "cpu"]
        return Command(infer, lambda place, which: [*words, dump / ("weak", "synth_valid")[which], place / "scores.h5"])
    rng = np.random.default_rng(0)
    frame, clip = rng.random((3, 40, 2), dtype=np.float32), np.ones((3, 2), np.float32)
    for number, letter in enumerate("xy"):
        posteriors = frame if number else np.ones_like(frame)
        scores = Scores(clips=list("abc"), labels=["x", "y"], frame=posteriors, clip=clip, frame_seconds=0.1)
        write_scores(made / f"{letter}.h5", scores)
    (made / "truth.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0.0\t1.0\tx\nb.wav\t0.5\t2.0\ty\n")
    (made / "durations.tsv").write_text("filename\tduration\na.wav\t4.0\nb.wav\t4.0\nc.wav\t4.0\n")
    words = ["--ground-truth", made / "truth.tsv", "--durations", made / "durations.tsv", "--bootstrap", 20]
    words += ["--no-report", "--jobs", 1, "--out"]
    return Command(score, lambda place, which: [made / f"{'xy'[which]}.h5", *words, place / "result.json"])


def of_corpora(made: Path, name: str, serve: Any) -> Command:
    """Return a command that makes a corpus; its input is made in `made`, and `serve` starts a FaultyServer."""
    if name == "synthesize":
        words = [*SETS, "--validation", 21, "--pretrain", 3, "--clip-seconds", 1, "--pretrain-seconds", 1, "--nj", 1]
        return Command(synthesize, lambda place, which: [*words, "--seed", which, place])
    if name.startswith("download"):
        served = {
            "a.zip": zipped({"top/audio/1.wav": b"1" * 3000, "top/audio/2.wav": b"2" * 3000}),
            "b.tar.gz": tarred({"audio/3.wav": b"3" * 3000, "metadata/t.tsv": b"filename\n"}),
            "c.tsv": b"filename\tonset\n",
        }
        rows = ["part\tsource\tfile\tinto\tholds", "one\tzenodo:1\ta.zip\t.\taudio"]
        rows += ["two\tzenodo:1\tb.tar.gz\t.\taudio,metadata", "three\tzenodo:1\tc.tsv\tmetadata/c.tsv\t-", ""]
        (made / "records.tsv").write_text("\n".join(rows))
        words = ["--mirror", serve(zenodo={"1": served}).url, "--nj", 1]
        words += ["--no-keep-archives" if "less" in name else "--keep-archives", made / "records.tsv"]
        return Command(download, lambda place, _which: [*words, place])
    sounds = made / "sounds"
    sounds.mkdir()
    for number in range(5):
        write_sounds(sounds / f"{number}.wav", 3, seed=number)
    events, header = made / "events.tsv", "filename\tonset\toffset\tevent_label"
    events.write_text("\n".join([header, *(f"{n}.wav\t0.5\t1.5\t{'xy'[n % 2]}" for n in range(4)), ""]))
    if name == "make_data_dir":
        (made / "labels.txt").write_text("x\ny\n")
        words = ["--labels", made / "labels.txt", "--kind", "strong", "--nj", 1, events, sounds]
        return Command(make_data_dir, lambda place, _which: [*words, place])
    words = ["--events", events, "--nj", 1, "--seconds"]
    return Command(own_data, lambda place, which: [*words, 2 + which, sounds, place])


def of_training(made: Path, name: str) -> Command:
    """Return a command that trains; its input is made in `made`."""
    config, changes = make_config(epochs=2, steps_per_epoch=2, **RUN), {}
    if name == "pretrain":
        changes = {"warmup_steps": 1, "batch_size": 2}
        tables = ("sed.features.logmel", "sed.models.detector", "sed.training.pretraining.pretraining")
        defaults = default_options(*tables)
        config = {**defaults, **{key: value for key, value in config.items() if key in defaults}}
    dump, path = write_dump(made / "dump"), made / "config.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in {**config, **changes}.items() if value is not None}))
    if name == "pretrain":
        words = ["--config", path, dump / "weak"]
        return Command(pretrain, lambda place, which: ["--seed", which, *words, place / "ast.pth"])
    return Command(train_command, lambda place, which: ["--config", path, "--seed", which, dump, place])


ONE_FILE = ("predict", "score", "infer", "export_onnx", "pack")
CORPORA = ("own_data", "download", "download, less archives", "synthesize", "make_data_dir")
TRAINING = ("train", "pretrain")


def make_command(name: str, made: Path, serve: Any) -> Command:
    """Return a command by name, after making its input in the new folder `made`."""
    made.mkdir()
    if name in ONE_FILE:
        return of_one_file(made, name)
    return of_training(made, name) if name in TRAINING else of_corpora(made, name, serve)
