"""Importing a published detector: its predictions, export and scores, and the inputs that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from published_detectors import config_of, made_up
from tiny_model import call, sounds, write_sounds

import sed
from sed.bin import export_onnx, import_model, pack
from sed.checkpoints.pretrained import load_pretrained
from sed.config import save_config
from sed.models.detector import build_detector

SIZE = {"dim": 32, "depth": 1, "heads": 2}
MAP = "class\tlabel\nDog\tdog\nBark\tdog\nSpeech\ttalk\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up checkpoint and its config, a class map, and both of its packed models."""
    folder = tmp_path_factory.mktemp("published")
    config = config_of("atst_frame", **SIZE)
    torch.save(made_up(config), folder / "ATST-F_strong_1.pt")
    save_config(folder / "tiny.yaml", config, skip=["pretrained"])
    (folder / "map.tsv").write_text(MAP)
    assert run(folder, "whole") == 0
    assert run(folder, "mapped", "--class-map", folder / "map.tsv", "--merge", "noisy_or") == 0
    return folder


def run(files: Path, name: str, *options: object) -> int:
    config = ("--config", files / "tiny.yaml")
    return call(import_model, *config, *options, files / "ATST-F_strong_1.pt", files / name)


def test_the_head_s_classes_are_the_labels_or_those_of_the_map(files: Path) -> None:
    whole, mapped = (sed.load(files / name) for name in ("whole", "mapped"))
    assert len(whole.labels) == 447 and mapped.labels == ["dog", "talk"]
    of_all, ours = (model.posteriors(sounds(10), 16000) for model in (whole, mapped))
    dog, bark, speech = (of_all[:, whole.labels.index(name)] for name in ("Dog", "Bark", "Speech"))
    assert ours.shape == (250, 2)
    np.testing.assert_allclose(ours, np.stack([1 - (1 - dog) * (1 - bark), speech], 1), atol=1e-5)


def test_model_card_and_facts_say_what_it_is(files: Path) -> None:
    text = (files / "mapped" / "README.md").read_text()
    for part in (
        "imported with its head of 447 classes",
        "not trained here",
        "MIT, as PretrainedSED",
        "AudioSet-strong",
    ):
        assert part in text
    facts = json.loads((files / "mapped" / "model.json").read_text())
    assert facts["post_processing"]["steps"] == ["csebbs"]
    imported = facts["info"]["imported"]
    assert imported["file"] == "ATST-F_strong_1.pt" and len(imported["sha256"]) == 64


@pytest.mark.thorough
def test_it_is_packed_and_exported_as_any_model(files: Path, tmp_path: Path) -> None:
    assert call(pack, "--threshold", "0.3", files / "mapped", tmp_path / "again") == 0
    facts = json.loads((tmp_path / "again" / "model.json").read_text())
    assert facts["labels"] == ["dog", "talk"] and facts["post_processing"]["threshold"] == {"dog": 0.3, "talk": 0.3}
    assert "not trained here" in (tmp_path / "again" / "README.md").read_text()
    assert call(export_onnx, "--tolerance", "1e-4", files / "mapped", tmp_path / "mapped.onnx") == 0
    write_sounds(tmp_path / "a.wav", 12)
    onnx, torch_ = (sed.load(path).detect(tmp_path / "a.wav") for path in (tmp_path / "mapped.onnx", files / "mapped"))
    assert [(e.label, round(e.onset, 3)) for e in onnx] == [(e.label, round(e.onset, 3)) for e in torch_] != []


def test_training_starts_from_its_encoder_alone(files: Path) -> None:
    config = {**config_of("atst_frame", **SIZE), "decoder": "gru", "gru_units": 4, "gru_layers": 1}
    detector = build_detector(config, 2)
    said = load_pretrained(detector, {**config, "pretrained": str(files / "mapped")}, ["dog", "talk"])
    assert said == f"{files / 'mapped'}, fresh: classifier, decoder"


@pytest.mark.parametrize(
    "table, message",
    [
        ("class\tlabel\nDoge\tdog\n", "map.tsv:2: class 'Doge' is none of the head's 447 (did you mean 'Dog'?)"),
        ("class\tlabel\nDog\tdog\nDog\tdog\n", "map.tsv:3: 'Dog' and 'dog' are on line 2 already"),
        ("class\tlabel\nDog\n", "map.tsv:2: not a class and its label"),
        ("class\tlabel\nDog\tdog\n", "labels.txt:2: label 'talk' has no class in "),
    ],
    ids=["unknown", "duplicate", "bad line", "unmapped"],
)
def test_a_wrong_class_map_is_named_and_nothing_is_written(
    table: str, message: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.tsv").write_text(table)
    (tmp_path / "labels.txt").write_text("dog\ntalk\n")
    options = ("--class-map", tmp_path / "map.tsv", "--labels", tmp_path / "labels.txt")
    assert run(files, "refused", *options) == 2
    assert message in capsys.readouterr().err and not (files / "refused").exists()


@pytest.mark.parametrize("option", [("--merge", "noisy_or"), ("--labels", "labels.txt")])
def test_options_of_a_class_map_need_one(
    option: tuple[str, str], files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files, "refused", *option) == 2
    assert "of a class map, which is missing" in capsys.readouterr().err and not (files / "refused").exists()
