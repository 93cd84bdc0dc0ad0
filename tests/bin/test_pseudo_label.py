"""Labelling by scores and by published tables: the set that comes out, its origin in every result, and bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_training import LABELS, SECONDS, make_config, write_set

from sed.bin import pseudo_label
from sed.checkpoints import hub
from sed.checkpoints.checkpoint import LoadedModel
from sed.checkpoints.packed import save_pack
from sed.data.batches import load_set
from sed.data.directory import read_scp
from sed.data.scores import Scores, write_scores
from sed.data.tables import Event, read_events_tsv
from sed.evaluation.reports.results_table import Row, weights
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector


@pytest.fixture
def dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = Path("dump")
    root.mkdir()
    (root / "labels.txt").write_text("\n".join(LABELS) + "\n")
    write_set(root / "weak", clips=4, supervision="weak", seed=1)
    write_set(root / "unlabelled", clips=5, supervision="none", seed=2)
    return root


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["pseudo_label", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        pseudo_label.main()
    return int(stopped.value.code or 0)


def scores_of(path: Path, clips: list[str], labels: list[str] = LABELS) -> Path:
    """Write posteriors with an event of the second label from 0.2 to 0.6 s in every clip."""
    frame = np.zeros((len(clips), 50, len(LABELS)), np.float32)
    frame[:, 10:30, 1] = 0.9
    clip = frame.max(1)
    attrs = {"ensemble": ["exp/x_seed1", "exp/x_seed2"]}
    write_scores(path, Scores(clips=clips, labels=labels, frame=frame, clip=clip, frame_seconds=0.02, attrs=attrs))
    return path


def test_a_packed_model_labels_as_an_experiment_does(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config()
    model = LoadedModel(build_detector(config, len(LABELS)).eval(), FrontEnd.from_config(config), LABELS, config, {})
    save_pack(Path("model"), model, post_processing={}, windows={}, results={}, card="", source="a test")
    assert call(monkeypatch, "--model", "model", "--threshold", "0", dump / "weak", dump / "pseudo") == 0
    assert [*read_scp(dump / "pseudo" / "feats.scp")] == [f"weak_00{number}" for number in range(4)]
    assert json.loads((dump / "pseudo" / "pseudo_labels.json").read_text())["models"] == ["model"]


def test_a_model_on_a_hub_is_fetched_and_named_as_given(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config()
    model = LoadedModel(build_detector(config, len(LABELS)).eval(), FrontEnd.from_config(config), LABELS, config, {})
    save_pack(Path("model"), model, post_processing={}, windows={}, results={}, card="", source="a test")
    place = "hf://our-lab/kitchen"
    monkeypatch.setattr(hub, "local_model", {place: Path("model")}.__getitem__)
    assert call(monkeypatch, "--model", place, "--threshold", "0", dump / "weak", dump / "pseudo") == 0
    assert json.loads((dump / "pseudo" / "pseudo_labels.json").read_text())["models"] == [place]


def test_a_published_table_becomes_a_set_whose_origin_results_name(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Path("train_weak_pseudo_labeled.tsv")
    rows = ["weak_000.wav\t0.1\t1.03\tDog", "weak_001.wav\t\t\t", "weak_002.wav\t0.5\t0.7\tCat"]
    table.write_text("\n".join(["filename\tonset\toffset\tevent_label", *rows]) + "\n")
    out = dump / "pseudo"
    assert call(monkeypatch, "--events", table, "--", dump / "weak", dump / "unlabelled", out) == 0
    assert [*read_scp(out / "feats.scp")] == ["weak_000", "weak_001", "weak_002"]
    assert read_events_tsv(out / "events.tsv") == {
        "weak_000": [Event(0.1, SECONDS, "Dog")],  # cut at the end of the clip
        "weak_002": [Event(0.5, 0.7, "Cat")],
    }
    made = load_set(out, LABELS, frames=50, frame_seconds=0.02)
    assert made.supervision == "strong" and len(made) == 3
    origin = json.loads((out / "pseudo_labels.json").read_text())
    assert [*origin["tables"]] == [str(table)] and origin["tables"][str(table)].startswith("sha256:")
    result = {"set": "validation", "model": {"pseudo_labels": {"pseudo": origin}, "weights": "random"}}
    assert "pseudo-labels of tables train_weak_pseudo_labeled.tsv" in weights(
        Row(name="x", set="validation", results=[result])
    )


def test_an_ensemble_s_scores_are_corrected_by_the_tuned_bias(dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        scores_of(Path(f"{name}.h5"), [f"{name}_{i:03d}" for i in range(count)])
        for name, count in (("weak", 4), ("unlabelled", 5))
    ]
    tuned = {
        "format": 2,
        "steps": [],
        "threshold": dict.fromkeys(LABELS, 0.5),
        "tuned": ["threshold"],
        "tuned_on": "synth_valid",
        "bias": {"onset": 0.04, "offset": -0.02},
        "clips": ["elsewhere"],
    }
    Path("tuned.json").write_text(json.dumps(tuned))
    sets = dump / "weak", dump / "unlabelled", dump / "pseudo"
    assert call(monkeypatch, "--tuned", "tuned.json", "--scores", *files, "--", *sets) == 0
    events = read_events_tsv(dump / "pseudo" / "events.tsv")
    assert events["unlabelled_003"] == [Event(0.16, 0.62, "Dog")]  # 0.2 and 0.6 s, less the bias
    origin = json.loads((dump / "pseudo" / "pseudo_labels.json").read_text())
    assert origin["models"] == ["exp/x_seed1", "exp/x_seed2"] and origin["tuned_on"] == "synth_valid"


@pytest.mark.parametrize("kind", ["table", "scores", "labels", "count", "steps", "two", "none"])
def test_wrong_inputs_end_with_a_line_and_exit_2(
    dump: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    Path("other.tsv").write_text("filename\tonset\toffset\tevent_label\nelsewhere.wav\t0.1\t0.4\tDog\n")
    scores = scores_of(Path("other.h5"), ["elsewhere"])
    foreign = scores_of(Path("foreign.h5"), [*read_scp(dump / "weak" / "feats.scp")], ["Cat", "Hund", "Speech"])
    options, message = {
        "table": (["--events", "other.tsv"], "other.tsv:2: clip 'elsewhere' is in none of the sets"),
        "scores": (["--scores", scores], "other.h5: its clips are not those of dump/weak"),
        "labels": (["--scores", foreign], "foreign.h5: label 'Hund' is not among those of dump/weak"),
        "count": (["--scores", scores, scores], "2 --scores for 1 sets"),
        "steps": (["--threshold", "0.3", "--events", "other.tsv"], "--events: its tables are not post-processed"),
        "two": (["--scores", scores, "--events", "other.tsv"], "--model, --scores or --events"),
        "none": ([], "--model, --scores or --events"),
    }[kind]
    assert call(monkeypatch, *options, "--", dump / "weak", dump / "pseudo") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert message in said[-1] and not (dump / "pseudo").exists()


def test_a_forgotten_output_does_not_overwrite_the_last_set(
    dump: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (dump / "unlabelled" / "feats.scp").read_text()
    scores = scores_of(Path("weak.h5"), [f"weak_00{k}" for k in range(4)])
    assert call(monkeypatch, "--scores", scores, "--", dump / "weak", dump / "unlabelled") == 2
    assert "dump/unlabelled: a set that is not of pseudo-labels" in capsys.readouterr().err
    assert (dump / "unlabelled" / "feats.scp").read_text() == before
