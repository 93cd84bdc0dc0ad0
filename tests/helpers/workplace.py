"""A folder with a small valid file of every kind that commands read, made by the commands that write it, if any."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from published_detectors import config_of, made_up
from tiny_model import call, save_tiny, write_sounds
from tiny_training import LABELS, TINY, write_dump

from sed.bin import dump_features, export_onnx, infer, pack, pretrain, score, tune
from sed.config import save_config
from sed.data.directory import write_scp
from sed.data.soft_events import SoftEvent, write_soft_tsv
from sed.data.tables import Event, write_durations_tsv, write_events_tsv, write_tags_tsv, write_tsv
from sed.data.windows import COLUMNS
from sed.evaluation.reports.seeds import store
from sed.files import write_text

SIZES = "clip_seconds input_frames ast_dim ast_depth ast_heads ast_blocks fte_blocks fte_heads gru_units gru_layers"
MODEL = {key: TINY[key] for key in [*SIZES.split(), "mel_bins", "patch_freq", "stride_freq", "upsample"]}
PRETRAINING = (
    "--mel-bins 16 --clip-seconds 1 --input-frames 112 --ast-dim 16 --ast-depth 1 --ast-heads 2 --ast-blocks 1 "
    "--patch-freq 8 --stride-freq 8 --batch-size 4 --epochs 1 --constant-epochs 1 --steps-per-epoch 1 "
    "--procedural 0 --filter-augment none --device cpu"
)


def make_workplace(root: Path) -> Path:
    """Make the folder; the commands of tests/campaigns run in it, with relative paths."""
    root.mkdir(parents=True, exist_ok=True)
    _recordings(root)
    write_dump(root / "dump")
    _data_directory(root)
    (root / "tiny.yaml").write_text(yaml.safe_dump({**TINY, "epochs": 1, "steps_per_epoch": 1, "loggers": "jsonl"}))
    (root / "model.yaml").write_text(yaml.safe_dump(MODEL))
    (root / "logmel.yaml").write_text("clip_seconds: 1.0\nmel_bins: 16\n")
    options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in MODEL.items())
    save_tiny(root / "exp", labels=LABELS, options=options)
    (root / "exp" / "config.yaml").write_text((root / "tiny.yaml").read_text())
    valid = root / "dump" / "synth_valid"
    scores = root / "exp" / "validation" / "scores.h5"
    tables = ["--ground-truth", valid / "events.tsv", "--durations", valid / "durations.tsv"]
    other = root / "dump" / "strong_real"
    others = ["--ground-truth", other / "events.tsv", "--durations", other / "durations.tsv"]
    quick = ["--bootstrap", 20, "--jobs", 1, "--no-report"]
    torch.set_num_threads(1)
    done = [
        call(infer, "--model", root / "exp", "--device", "cpu", "--export-tsv", root / "folder", valid, scores),
        call(score, scores, *tables, *quick, "--out", root / "exp" / "validation" / "result.json"),
        call(infer, "--model", root / "exp", "--device", "cpu", other, root / "other.h5"),
        call(tune, root / "other.h5", *others, "--out", root / "tuned.json"),
        call(pack, root / "exp", root / "pack"),
        call(pretrain, *PRETRAINING.split(), root / "dump" / "weak", root / "ast.pth"),
        call(
            dump_features, "--config", root / "logmel.yaml", root / "data" / "wav.scp", root / "shards" / "feats.1.h5"
        ),
    ]
    _published(root)
    _windows(root / "recordings")
    if find_spec("onnx") and find_spec("onnxruntime"):
        done.append(call(export_onnx, root / "exp", root / "m.onnx"))
    assert done == [0] * len(done), done
    _results(root)
    return root


def _published(root: Path) -> None:
    """Write a made-up published detector, its config, and a map of its classes."""
    config = config_of("atst_frame", dim=32, depth=1, heads=2)
    torch.save(made_up(config), root / "published.pt")
    save_config(root / "published.yaml", config, skip=["pretrained"])
    write_text(root / "map.tsv", "class\tlabel\nDog\tDog\nCat\tCat\nSpeech\tSpeech\n")


def _recordings(root: Path) -> None:
    (root / "audio").mkdir()
    for number in range(4):
        write_sounds(root / "audio" / f"{number}.wav", 1.5, seed=number)
    for split in ("train", "validation"):
        for label in ("Cat", "Dog"):
            folder = root / "bank" / split / "foreground" / label
            folder.mkdir(parents=True)
            for number in range(2):
                soundfile.write(folder / f"{number}.wav", np.sin(np.arange(16000) / (5 + number)), 16000)
    write_events_tsv(root / "events.tsv", {str(number): [Event(0.2, 0.9, "Cat")] for number in range(4)})
    write_tags_tsv(root / "tags.tsv", {str(number): ["Dog"] for number in range(4)})
    write_durations_tsv(root / "durations.tsv", {str(number): 1.5 for number in range(4)})
    write_text(root / "labels.txt", "".join(f"{label}\n" for label in LABELS))
    write_soft_tsv(root / "soft.tsv", {str(number): [SoftEvent(0.2, 0.9, "Cat", 0.5)] for number in range(4)})
    for number in range(4):
        write_text(root / "label_files" / f"{number}.txt", "0.2\t0.9\tCat\n")
    split = root / "split"
    (split / "audio").mkdir(parents=True)
    write_sounds(split / "audio" / "long.wav", 4)
    write_text(split / "metadata.csv", "filename\nlong.wav\n")
    write_text(split / "annotations.csv", "filename,onset,offset,class\nlong.wav,0.5,1.5,Dog\n")
    write_text(root / "records.tsv", "part\tsource\tfile\tinto\tholds\nast\thuggingface:a/b\tmodel.safetensors\t.\t-\n")
    write_text(root / "recordings.tsv", "metadata\taudio\nmetadata/weak.tsv\taudio/weak\n")
    write_text(
        root / "downloads" / "metadata" / "weak.tsv", "filename\tevent_labels\nY0123456789a_1.000_2.000.wav\tDog\n"
    )


def _data_directory(root: Path) -> None:
    data = root / "data"
    data.mkdir()
    write_scp(data / "wav.scp", {str(number): str(root / "audio" / f"{number}.wav") for number in range(4)})
    for name in ("events.tsv", "durations.tsv", "labels.txt"):
        (data / name).write_text((root / name).read_text())


def _windows(folder: Path) -> None:
    """Write the clips of synth_valid as overlapping windows of one recording."""
    write_durations_tsv(folder / "durations.tsv", {"long": 4.0})
    rows = [(f"synth_valid_{number:03d}", "long", 0.5 * number) for number in range(7)]
    write_tsv(folder / "windows.tsv", COLUMNS, rows)


def _results(root: Path) -> None:
    """Write what reports collect: two more experiments, bands of figure 3, and the results of one pair of rates."""
    scored = root / "exp" / "validation"
    result = (scored / "result.json").read_text()
    for name in ("one", "two"):
        shutil.copytree(scored, root / "results" / name / "validation")
    bands = 1 + (TINY["mel_bins"] - TINY["patch_freq"]) // TINY["stride_freq"]
    for band in range(bands):
        write_text(root / "figure3" / "swapped" / f"band_{band:02d}" / "validation" / "result.json", result)
    rates = {
        "psds1": 0.3,
        "psds2": 0.5,
        "event_f1_macro": 0.2,
        "steps": 10,
        "settings": {"lr": 1e-3, "encoder_lr": 1e-4},
    }
    store.add_runs(root / "runs", [{"config": "ast_sed_lr1e-3_1e-4", "seed": 1, **rates}])
