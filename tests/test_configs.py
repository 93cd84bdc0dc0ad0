"""Configs of conf/: each resolves to its recorded values; front ends and systems build; systems train and infer."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from resolved_configs import CONF, kind, load_stored, make_parser, moved, parse, resolve

from sed.config import default_options, load_config
from sed.config.yaml_file import canonical
from sed.data.directory import write_scp
from sed.data.store import FeatureWriter
from sed.data.tables import Event, write_durations_tsv, write_events_tsv, write_tags_tsv
from sed.features.logmel import FrontEnd
from sed.models import detector

LABELS = [f"label{i}" for i in range(10)]
CONFIGS = sorted(CONF.rglob("*.yaml"))
FRONT_ENDS = [path for path in CONFIGS if kind(path) == "front end"]
PRETRAINING = [path for path in CONFIGS if kind(path) == "pretraining"]
SYSTEMS = [path for path in CONFIGS if kind(path) == "training"]
ABLATIONS = sorted((CONF / "ablation").glob("*.yaml"))

QUICK = [
    CONF / "mini" / f"{system}.yaml"
    for system in ("ast_gru", "ast_sed", "beats_sed", "conformer", "dasheng_sed", "eat_sed")
]
"""configs that train a step with --thorough, as those of BEST do; those of other systems do with --slow only"""

BEST = sorted((CONF / "best").glob("*.yaml"))
"""configs of the published encoders, which train at a tiny size here"""
NARROW = {
    "atst_frame": {"atst_dim": 16, "atst_depth": 3, "atst_heads": 2, "atst_blocks": 2},
    "beats": {"beats_dim": 16, "beats_patch_dim": 8, "beats_depth": 3, "beats_heads": 2, "beats_blocks": 2},
}


def name(path: Path) -> str:
    return str(path.relative_to(CONF))


@pytest.mark.thorough
def test_resolved_configs_have_not_changed() -> None:
    changes = moved(load_stored(), resolve())
    assert not changes, "\n".join(
        [
            "what configs resolve to has moved:",
            *changes,
            "if that is meant: PYTHONPATH=. python3 tests/helpers/resolved_configs.py",
        ]
    )


@pytest.mark.thorough
def test_changes_are_listed_key_by_key_with_the_configs_that_they_affect() -> None:
    old = resolve()
    new = {name: dict(config) for name, config in old.items()}
    assert moved(old, new) == []
    new["ast_sed.yaml"]["lr"] = new["ast_gru.yaml"]["lr"] = 1e-3
    new["new.yaml"] = new.pop("crnn.yaml")
    assert moved(old, new) == [
        "lr: 0.0001 -> 0.001  in ast_gru.yaml, ast_sed.yaml",
        "not in conf/ any more  in crnn.yaml",
        "new config  in new.yaml",
    ]
    del new["logmel.yaml"]["f_min"], old["logmel.yaml"]["norm_std"]  # a removed option, and one that is new
    assert "f_min: 20.0 -> no option any more  in logmel.yaml" in moved(old, new)
    assert not any("norm_std" in change for change in moved(old, new))


@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_configs_contain_only_what_differs_from_their_base(path: Path) -> None:
    own = yaml.safe_load(path.read_text())
    if "base" in own:
        base = canonical(load_config(path.parent / own.pop("base")))
        own = canonical({key: value for key, value in load_config(path).items() if key in own})
        assert {key for key, value in own.items() if base.get(key) == value} == set()


@pytest.mark.thorough
@pytest.mark.parametrize("path", CONFIGS, ids=name)
def test_configs_are_shown_as_configs_that_resolve_equal(path: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        make_parser(kind(path)).parse_args(["--config", str(path), "--show-config"])
    shown = tmp_path / path.name
    shown.write_text(capsys.readouterr().out)
    assert parse(shown) == parse(path)


@pytest.mark.parametrize("path", FRONT_ENDS, ids=name)
def test_front_ends_build(path):
    front_end = FrontEnd.from_config(parse(path))
    features = front_end(0.1 * torch.randn(1, front_end.clip_samples))
    assert features.shape == (1, front_end.clip_frames, front_end.mel_bins)
    assert features.isfinite().all()


@pytest.mark.thorough
@pytest.mark.parametrize("path", SYSTEMS, ids=name)
def test_systems_build(path):
    config = parse(path)
    front_end = FrontEnd.from_config(config)
    with torch.device("meta"):
        model = detector.build_detector(config, 10)
    # The input holds the clip, and the output covers it to within a frame (halving an odd number drops one).
    assert front_end.clip_frames <= model.input_frames
    assert model.num_frames * model.frame_seconds > config["clip_seconds"] - model.frame_seconds


PARAMETERS = {
    "crnn.yaml": 1_112_420,
    "crnn_wide.yaml": 4_427_956,
    "fdy_crnn.yaml": 11_061_468,
    "sk_crnn.yaml": 6_803_828,
    "fb_crnn.yaml": 3_490_116,
    "bi_crnn.yaml": 3_879_994,
    "bi_crnn_pseudo.yaml": 3_879_994,
    "real_sounds/crnn.yaml": 1_112_420,
    "real_sounds/crnn_wide.yaml": 4_427_956,
    "real_sounds/fdy_crnn.yaml": 11_061_468,
    "real_sounds/sk_crnn.yaml": 6_803_828,
    "real_sounds/conformer.yaml": 2_069_834,
    "conformer.yaml": 2_069_834,
    "real_sounds/fb_crnn.yaml": 3_490_116,
    "real_sounds/bi_crnn.yaml": 3_879_994,
    "real_sounds/bi_crnn_pseudo.yaml": 3_879_994,
}
"""published parameters of the systems with ten classes (sources: egs/desed/README.md). FB-CRNN's and Bi-CRNN's were
counted in pb_sed's code, without conditioning on tags; SK-CRNN's are of the sizes chosen in conf/sk_crnn.yaml"""


@pytest.mark.parametrize("system, parameters", PARAMETERS.items())
def test_systems_have_their_published_sizes(system: str, parameters: int) -> None:
    with torch.device("meta"):
        model = detector.build_detector(parse(CONF / system), 10)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.thorough
@pytest.mark.parametrize("path", SYSTEMS, ids=name)
def test_systems_have_the_front_end_of_their_features(path):
    """Training refuses features of another front end than its config's."""
    config = parse(path)
    features = FrontEnd.from_config(parse(Path(config["features"])))
    assert FrontEnd.from_config(config).params() == features.params()


@pytest.mark.thorough
@pytest.mark.parametrize("path", PRETRAINING, ids=name)
def test_pretraining_has_the_encoder_and_front_end_of_the_systems_that_start_from_it(path):
    """The systems are those that name the config in `pretrained_by`, else those of its folder with an AST."""
    config = parse(path)
    own = {other: parse(other) for other in SYSTEMS if other.parent == path.parent}
    named = {other: theirs for other, theirs in own.items() if theirs["pretrained_by"] == path.stem}
    systems = named or {other: theirs for other, theirs in own.items() if theirs["encoder"] == "ast"}
    assert systems
    for system, theirs in systems.items():
        kinds = {"ast": ("ast_", "patch_", "stride_"), "atst_frame": ("atst_",), "beats": ("beats_",)}
        own_kinds = (*kinds.get(config["encoder"], ("cnn_", "fdy_", "sk_", "panns_", "fbcrnn_")), "encoder")
        same = [key for key in theirs if key.startswith(own_kinds) and not key.endswith(("_blocks", "encoder_lr"))]
        assert {key: config[key] for key in same} == {key: theirs[key] for key in same}, system
        if named:
            assert FrontEnd.from_config(config).params() == FrontEnd.from_config(theirs).params()


def test_encoders_are_pre_trained_alike() -> None:
    """The same soundscapes, steps, batches and augmentation for each encoder.

    Only options that follow from an encoder's patches and its time step differ.
    """
    first, *others = (parse(path) for path in PRETRAINING if path.parent.name == "real_sounds")
    model = default_options("sed.features.logmel", "sed.models.detector")
    assert len(others) >= 5
    for other in others:
        differing = {key for key, value in other.items() if key not in model and first[key] != value}
        assert differing <= {"patchout", "frame_detail"}


@pytest.mark.thorough
def test_second_stages_have_the_model_that_they_start_from() -> None:
    names = {path: parse(path)["init_from"] for path in SYSTEMS}
    starts = {path: path.parent / f"{name}.yaml" for path, name in names.items() if name not in ("", "none")}
    assert {path.stem for path in starts} >= {"fte_second", "fte_best"}
    model = default_options("sed.models.detector").keys() - {"pretrained"}
    for path, start in starts.items():
        own, first = parse(path), parse(start)
        assert {key: own[key] for key in model} == {key: first[key] for key in model}, path


def test_there_is_a_config_without_each_part_and_with_other_sizes():
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
    for folder in (root / subset for subset in ("strong_real", "strong_synth", "weak", "unlabelled")):
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


@pytest.mark.thorough
@pytest.mark.parametrize(
    "path",
    [
        path if path in QUICK + BEST else pytest.param(path, marks=pytest.mark.slow)
        for path in SYSTEMS
        if not path.name.startswith("zero_shot")  # imported, not trained
    ],
    ids=name,
)
def test_systems_train_a_step_and_infer(path, tmp_path, monkeypatch):
    from sed.bin import infer, train
    from sed.data.scores import Scores, read_scores, write_scores

    config = parse(path)
    dump = write_dump(tmp_path / "dump", FrontEnd.from_config(config))
    exp, scores = tmp_path / "exp", tmp_path / "scores.h5"
    clips = ["--train-sets", "strong_real,weak", "--batch-sizes", "1,1"]
    narrow = {**NARROW[config["encoder"]], "gru_units": 8, "fte_heads": 2} if path in BEST else {}
    if path not in QUICK + BEST:  # of the paper's size, where a clip takes half a minute on two cores
        clips = ["--train-sets", "strong_real", "--batch-sizes", "1"]
    if config["freeze_batchnorm"]:  # random weights have no statistics to keep
        clips += ["--no-freeze-batchnorm"]
    if config["pseudo_weight"]:
        frame = np.full((1, 250, len(LABELS)), 0.5, np.float32)
        of_weak = Scores(clips=["weak"], labels=LABELS, frame=frame, clip=frame[:, 0], frame_seconds=0.04)
        (tmp_path / "weak").mkdir()
        write_scores(tmp_path / "weak" / "scores.h5", of_weak)
        clips += ["--pseudo-labels", tmp_path]
    for key, value in narrow.items():
        clips += [f"--{key.replace('_', '-')}", value]
    step = [
        *clips,
        "--pretrained",
        "none",
        "--epochs",
        1,
        "--steps-per-epoch",
        1,
        "--threads",
        1 if narrow else 2,
        "--device",
        "cpu",
    ]
    call(monkeypatch, train.main, "--config", path, *step, dump, exp)
    assert (exp / ".done").exists()
    stored = load_config(exp / "config.yaml")
    assert not {"base", "features", "init_from", "config", "force"} & set(stored)
    assert {key for key, value in config.items() if stored.get(key, value) != value} <= {
        *("train_sets", "batch_sizes", "epochs", "steps_per_epoch"),
        *("threads", "device", "pretrained", "freeze_batchnorm", "pseudo_labels"),
        *narrow,
    }
    call(monkeypatch, infer.main, "--model", exp, "--device", "cpu", dump / "weak", scores)
    written = read_scores(scores)
    seconds = written.frame.shape[1] * written.frame_seconds
    assert np.isfinite(written.frame).all() and written.frame.max() > 0
    assert written.labels == LABELS and abs(seconds - config["clip_seconds"]) <= written.frame_seconds
