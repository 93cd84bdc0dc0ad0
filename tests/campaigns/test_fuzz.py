"""Hostile files of every kind through the commands that read them: a refusal in one line, or success.

No traceback, no hang, no crash, no memory without end. A sample has one of each kind, the campaign 48.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import hostile
import pytest
import soundfile
from attacks import Ended, attacked, emptied
from sounds import beep
from workplace import PRETRAINING, make_workplace

TABLES = "--ground-truth dump/synth_valid/events.tsv --durations dump/synth_valid/durations.tsv"
SCORE = "score --bootstrap 0 --jobs 1 --no-report --out new/result.json"
PREDICT = "predict --device cpu --threads 1 --out new/e.tsv"
OWN = "own_data --seconds 1 --nj 1"
MAKE = "make_data_dir --nj 1"
CUT = "cut_recordings --seconds 2 --nj 1 split new/clips new/clips.tsv"
TAG = (
    "tag --config logmel.yaml --ast-dim 16 --ast-depth 1 --ast-heads 2 --ast-blocks 1 --patch-freq 8 --stride-freq 8 "
    "--input-frames 112 audio/0.wav --pretrained"
)
TRAIN = "train --config tiny.yaml --device cpu --threads 1"


@dataclass(frozen=True)
class Kind:
    """A file of the workplace, how it is made wrong, and command lines that read it."""

    file: str
    edit: hostile.Edit
    commands: tuple[str, ...]


def of(file: str, edit: hostile.Edit, *commands: str) -> Kind:
    return Kind(file, edit, commands)


SOUNDS = {
    "wav": {"subtype": "PCM_16"}, "float.wav": {"subtype": "FLOAT"}, "flac": {}, "ogg": {}, "mp3": {}, "aiff": {},
    "caf": {}, "au": {}, "w64": {}, "rf64": {"format": "RF64"}, "opus": {"format": "OGG", "subtype": "OPUS"},
}  # fmt: skip
KINDS = {
    "strong table": of(
        "events.tsv", hostile.table_edit, f"{OWN} --events events.tsv audio new/own",
        f"{MAKE} --labels labels.txt events.tsv audio new/made", f"{SCORE} --ground-truth events.tsv --durations"
        " durations.tsv --only-scored --allow-missing folder",
    ),
    "true events": of("dump/synth_valid/events.tsv", hostile.table_edit, f"{SCORE} {TABLES} exp/validation/scores.h5"),
    "detections": of(
        "dump/synth_valid/events.tsv", hostile.table_edit,
        f"{SCORE} --ground-truth dump/strong_real/events.tsv --durations dump/strong_real/durations.tsv"
        " --allow-missing --only-scored dump/synth_valid/events.tsv",
        f"{SCORE} {TABLES} dump/synth_valid/events.tsv",
    ),
    "weak table": of(
        "tags.tsv", hostile.table_edit, f"{OWN} --tags tags.tsv audio new/own",
        f"{MAKE} --labels labels.txt --kind weak tags.tsv audio new/made",
    ),
    "tags of a set": of(
        "dump/weak/tags.tsv", hostile.table_edit, f"pretrain {PRETRAINING} --force dump/weak new/ast.pth",
    ),
    "durations": of(
        "dump/synth_valid/durations.tsv", hostile.table_edit, f"{SCORE} {TABLES} exp/validation/scores.h5",
        "check_data_dir --no-wav dump/synth_valid",
    ),
    "labels": of(
        "labels.txt", hostile.table_edit, f"{SCORE} {TABLES} --labels labels.txt exp/validation/scores.h5",
        "check_data_dir --labels labels.txt data", f"{MAKE} --labels labels.txt events.tsv audio new/made",
    ),
    "class names": of(
        "ast.labels.txt", hostile.table_edit, f"{TAG} ast.pth", "evaluate_tagger --device cpu ast.pth dump/synth_valid",
    ),
    "list of recordings": of(
        "data/wav.scp", hostile.table_edit, "check_data_dir --labels labels.txt data",
        "dump_features --config logmel.yaml data/wav.scp new/feats.1.h5",
    ),
    "list of features": of(
        "dump/synth_valid/feats.scp", hostile.table_edit, "infer --model exp --device cpu dump/synth_valid new/s.h5",
        "check_dump dump/synth_valid",
    ),
    "score folder": of(
        "folder/synth_valid_000.tsv", hostile.table_edit, f"{SCORE} {TABLES} folder",
        f"tune {TABLES} --out new/tuned.json folder",
    ),
    "soft labels": of(
        "soft.tsv", hostile.table_edit, f"{MAKE} --labels labels.txt --soft soft.tsv events.tsv audio new/made",
    ),
    "windows": of(
        "recordings/windows.tsv", hostile.table_edit, "stitch_scores exp/validation/scores.h5 recordings new/scores.h5",
    ),
    "table of cuts": of("split/annotations.csv", hostile.table_edit, CUT),
    "list of cuts": of("split/metadata.csv", hostile.table_edit, CUT),
    "records": of(
        "records.tsv", hostile.table_edit, "download --mirror http://127.0.0.1:1 --retries 0 records.tsv new",
    ),
    "recordings of a corpus": of(
        "downloads/metadata/weak.tsv", hostile.table_edit, "index_audio recordings.tsv downloads",
    ),
    "config": of(
        "tiny.yaml", hostile.yaml_edit, "show_config tiny.yaml", f"{TRAIN} --show-config dump new",
        f"{TRAIN} --pretrained none dump new",
    ),
    "front end": of("logmel.yaml", hostile.yaml_edit, "dump_features --config logmel.yaml data/wav.scp new/feats.1.h5"),
    "stored config": of(
        "exp/config.yaml", hostile.yaml_edit, "figure3 --model exp --list", f"{TRAIN} --pretrained none dump exp",
    ),
    "tuned": of(
        "tuned.json", hostile.json_edit, f"{PREDICT} --model exp --tuned tuned.json audio/0.wav",
        f"{SCORE} {TABLES} --tuned tuned.json exp/validation/scores.h5",
    ),
    "result": of(
        "results/one/validation/result.json", hostile.json_edit, "results results new/RESULTS.md",
        "compare --html new/c.html results/one results/two", "ablations tiny.yaml=results/one/validation/result.json",
    ),
    "result of a model": of(
        "exp/validation/result.json", hostile.json_edit, "pack exp new", f"{PREDICT} --model exp audio/0.wav",
    ),
    "result of a band": of(
        "figure3/swapped/band_00/validation/result.json", hostile.json_edit, "figure3 --model exp figure3",
    ),
    "runs": of("runs/runs.jsonl", hostile.json_edit, "choose_rates runs new/rates.json"),
    "samples": of("results/one/validation/bootstrap.npz", hostile.bytes_edit, "compare results/one results/two"),
    "scores": of(
        "exp/validation/scores.h5", hostile.hdf5_edit, f"{SCORE} {TABLES} exp/validation/scores.h5",
        "merge_scores exp/validation/scores.h5 dump/synth_valid new/scores.h5",
    ),
    "shard": of(
        "dump/synth_valid/feats.1.h5", hostile.hdf5_edit, "infer --model exp --device cpu dump/synth_valid new/s.h5",
        "check_dump dump/synth_valid",
    ),
    "checkpoint": of(
        "exp/final.pt", hostile.checkpoint_edit, f"{PREDICT} --model exp audio/0.wav", "pack exp new",
        "infer --model exp --device cpu dump/synth_valid new/s.h5", f"{TRAIN} --pretrained exp dump new",
    ),
    "published checkpoint": of(
        "ast.pth", hostile.checkpoint_edit, f"{TAG} ast.pth", f"{TRAIN} --pretrained ast.pth dump new",
    ),
    "facts of a pack": of("pack/model.json", hostile.json_edit, f"{PREDICT} --model pack audio/0.wav", "pack pack new"),
    "weights of a pack": of("pack/model.safetensors", hostile.safetensors_edit, f"{PREDICT} --model pack audio/0.wav"),
    "ONNX": of("m.onnx", hostile.onnx_edit, f"{PREDICT} --onnx m.onnx audio/0.wav"),
    **{
        f"sound.{name}": of(
            f"sounds/sound.{name}", hostile.bytes_edit, f"{PREDICT} --model exp sounds/sound.{name}",
            f"{OWN} --tags tags.tsv sounds new/own",
        )
        for name in SOUNDS
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_workplace(tmp_path_factory.mktemp("workplace"))
    add_sounds(folder / "sounds")
    return folder


def add_sounds(folder: Path) -> None:
    """Write one sound in every format of SOUNDS."""
    folder.mkdir()
    for name, how in SOUNDS.items():
        soundfile.write(folder / f"sound.{name}", beep(16000, 1.2), 16000, **how)


def fuzzed(name: str, number: int, scratch: Path, workplace: Path) -> tuple[Ended, str]:
    """Run a command on the `number`-th file of a kind; return how it ended, and the command line."""
    kind = KINDS[name]
    rng = random.Random(f"{name} {number}")
    place = emptied(scratch / "place", lambda folder: shutil.copytree(workplace, folder, dirs_exist_ok=True))
    kind.edit(rng, place / kind.file)
    line = kind.commands[number % len(kind.commands)]
    command, *arguments = line.split()
    return attacked(command, arguments, place=place, scratch=scratch), line


@pytest.mark.parametrize("count", [1, pytest.param(48, marks=[pytest.mark.campaign, pytest.mark.slow])])
@pytest.mark.parametrize("name", KINDS)
def test_hostile_files_end_in_a_line(workplace: Path, tmp_path: Path, name: str, count: int) -> None:
    if name == "ONNX":
        pytest.importorskip("onnx")
    faults = []
    for number in range(count):
        ended, line = fuzzed(name, number, tmp_path, workplace)
        if fault := ended.fault():
            faults.append(f"{number}: {line}: {fault}: {ended.line}")
    assert not faults, "\n".join(faults)
