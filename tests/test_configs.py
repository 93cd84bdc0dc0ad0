"""Every config of conf/: parses strictly, builds, trains a step and infers; ablations differ where they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sed.config import Parser, load_config
from sed.data.directory import write_scp
from sed.data.store import FeatureWriter
from sed.data.tables import Event, write_durations_tsv, write_events_tsv, write_tags_tsv
from sed.features.logmel import FrontEnd
from sed.models import detector

CONF = Path(__file__).resolve().parents[1] / "conf"
LABELS = [f"label{i}" for i in range(10)]
FRONT_ENDS = sorted(CONF.rglob("logmel*.yaml"))
PRETRAINING = sorted(CONF.rglob("pretrain*.yaml"))
ABLATIONS = sorted((CONF / "ablation").glob("*.yaml"))
REAL_SOUNDS = [p for p in sorted((CONF / "real_sounds").glob("*.yaml")) if "differs from" in p.read_text()]
SYSTEMS = [path for path in sorted(CONF.rglob("*.yaml")) if path not in [*FRONT_ENDS, *PRETRAINING]]

QUICK = [CONF / "mini" / "ast_gru.yaml", CONF / "mini" / "ast_sed.yaml"]


def name(path: Path) -> str:
    return str(path.relative_to(CONF))


def parse(path: Path) -> dict:
    """As the entry point that reads this kind of config does."""
    parser = Parser("test", config=True)
    parser.options_of("sed.features.logmel")
    if path not in FRONT_ENDS:
        parser.options_of("sed.models.detector")
        parser.options_of("sed.training.pretraining.pretraining" if path in PRETRAINING else "sed.training.build")
    return vars(parser.parse_args(["--config", str(path)]))


@pytest.mark.parametrize("path", FRONT_ENDS, ids=name)
def test_front_ends_build(path):
    front_end = FrontEnd.from_config(parse(path))
    features = front_end(0.1 * torch.randn(1, front_end.clip_samples))
    assert features.shape == (1, front_end.clip_frames, front_end.mel_bins)
    assert features.isfinite().all()


@pytest.mark.parametrize("path", SYSTEMS, ids=name)
def test_systems_build(path):
    config = parse(path)
    front_end = FrontEnd.from_config(config)
    with torch.device("meta"):
        model = detector.build_detector(config, 10)
    # The input holds the clip, and the output covers it to within a frame (the CNN halves an odd number twice).
    assert front_end.clip_frames <= model.input_frames
    assert model.num_frames * model.frame_seconds > config["clip_seconds"] - model.frame_seconds


@pytest.mark.parametrize("path", SYSTEMS, ids=name)
def test_systems_have_the_front_end_of_their_features(path):
    """Training refuses features of another: conf/crnn.yaml goes with conf/logmel_crnn.yaml, mini/* with mini/logmel."""
    features = "logmel_crnn.yaml" if path in (CONF / "crnn.yaml", CONF / "real_sounds" / "crnn.yaml") else "logmel.yaml"
    folder = CONF / "mini" if path.parent.name == "mini" else CONF
    assert FrontEnd.from_config(parse(path)).params() == FrontEnd.from_config(parse(folder / features)).params()


@pytest.mark.parametrize("path", PRETRAINING, ids=name)
def test_pretraining_makes_what_its_systems_import(path):
    config = parse(path)
    for system in path.parent.glob("ast_*.yaml"):
        theirs = parse(system)
        same = [key for key in theirs if key.startswith(("ast_", "patch_", "stride_")) and key != "ast_blocks"]
        assert {key: config[key] for key in same} == {key: theirs[key] for key in same}, system


@pytest.mark.parametrize("path", ABLATIONS + REAL_SOUNDS, ids=name)
def test_ablations_differ_in_the_keys_that_their_first_line_names(path):
    folder = CONF if path in ABLATIONS else path.parent
    reference, own = load_config(folder / "ast_sed.yaml"), load_config(path)
    assert own.keys() == reference.keys()
    named = path.read_text().splitlines()[0].removeprefix("# differs from ast_sed.yaml in: ").split(", ")
    assert [key for key in own if own[key] != reference[key]] == [key for key in own if key in named]
    assert named == ["nothing"] or set(named) <= own.keys()


def test_the_papers_ablations_are_all_there():
    have = {path.stem for path in ABLATIONS}
    wanted = {"fte_only", "lgd_only", "no_mean_teacher", "clip_attention", "clip_mean", "clip_max"}
    wanted |= {f"upsample_{n}" for n in (1, 2, 5, 10)} | {f"fte_blocks_{n}" for n in (1, 2, 3)}
    wanted |= {f"ast_blocks_{n}" for n in (8, 10, 12)}
    wanted |= {f"no_{part}" for part in ("mixup", "time_shift", "time_mask", "filter_augment")}
    assert have >= wanted


def write_dump(root: Path, front_end: FrontEnd) -> Path:
    """A clip of noise in each training set."""
    root.mkdir()
    (root / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    rng = np.random.default_rng(0)
    frames, bins = front_end.clip_frames, front_end.mel_bins
    for folder in (root / kind for kind in ("strong_real", "strong_synth", "weak", "unlabelled")):
        folder.mkdir()
        clip = folder.name
        write_scp(folder / "wav.scp", {clip: f"/nowhere/{clip}.wav"})
        write_durations_tsv(folder / "durations.tsv", {clip: front_end.clip_seconds})
        if folder.name.startswith("strong"):
            write_events_tsv(folder / "events.tsv", {clip: [Event(1.0, 2.5, LABELS[3])]})
        elif folder.name == "weak":
            write_tags_tsv(folder / "tags.tsv", {clip: [LABELS[5]]})
        with FeatureWriter(
            folder / "feats.1.h5", clips=[clip], frames=frames, bins=bins, front_end=front_end.params()
        ) as writer:
            writer.write(rng.normal(-8, 3, (frames, bins)))
        (folder / "feats.scp").write_text(f"{clip} feats.1.h5:0\n")
    return root


def call(monkeypatch, main, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0


@pytest.mark.parametrize(
    "path",
    [path if path in QUICK else pytest.param(path, marks=pytest.mark.slow) for path in SYSTEMS],
    ids=name,
)
def test_systems_train_a_step_and_infer(path, tmp_path, monkeypatch):
    from sed.bin import infer, train
    from sed.data.scores import read_scores

    config = parse(path)
    dump = write_dump(tmp_path / "dump", FrontEnd.from_config(config))
    exp, scores = tmp_path / "exp", tmp_path / "scores.h5"
    # at the paper's size on two cores a clip is half a minute: the strong one alone
    clips = ["--train-sets", "strong_real,weak", "--batch-sizes", "1,1"]
    if path not in QUICK:
        clips = ["--train-sets", "strong_real", "--batch-sizes", "1"]
    step = [*clips, "--epochs", 1, "--steps-per-epoch", 1, "--threads", 2, "--device", "cpu"]
    call(monkeypatch, train.main, "--config", path, *step, dump, exp)
    assert (exp / ".done").exists()
    call(monkeypatch, infer.main, "--model", exp, "--device", "cpu", dump / "weak", scores)
    written = read_scores(scores)
    seconds = written.frame.shape[1] * written.frame_seconds
    assert np.isfinite(written.frame).all() and written.frame.max() > 0
    assert written.labels == LABELS and abs(seconds - config["clip_seconds"]) <= written.frame_seconds
