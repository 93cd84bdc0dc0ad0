import json
import shutil
import sys

import pytest
import torch
from tiny_model import LABELS, save_tiny, write_sounds

from sed.bin import pack, predict
from sed.errors import UserError
from sed.prediction.model import open_model


def call(monkeypatch, module, *args):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, args)])
    with pytest.raises(SystemExit) as done:
        module.main()
    return done.value.code


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    experiment = save_tiny(folder / "exp")
    (experiment / "validation").mkdir()
    result = {
        "post_processing": {"steps": ["weak_mask", "median"], "median_seconds": dict.fromkeys(LABELS, 0.11)},
        "threshold": dict.fromkeys(LABELS, 0.4),
        "event_f1_macro": 0.1234,
        "clips": 9,
        "clips_expected": 10,
    }
    (experiment / "validation" / "result.json").write_text(json.dumps(result))
    with pytest.MonkeyPatch.context() as patch:
        assert call(patch, pack, "--licence", "CC0", "--data", "bursts", experiment, folder / "model") == 0
    return folder


def test_a_packed_model_predicts_as_its_experiment(packed, tmp_path, monkeypatch, capsys):
    write_sounds(tmp_path / "x.wav", 13)
    outputs = []
    for model in ("exp", "model"):
        assert call(monkeypatch, predict, "--model", packed / model, "--threads", 1, tmp_path / "x.wav") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and outputs[0].count("\n") > 3


def test_the_card_and_the_parts(packed):
    assert {path.name for path in (packed / "model").iterdir()} == {
        "model.safetensors", "model.json", "results.json", "README.md", "config.yaml", "logmel.yaml",
    }  # fmt: skip
    text = (packed / "model" / "README.md").read_text()
    for part in ("CC0", "bursts", "0.1234", "9 of 10", "&#60;script&#62;"):
        assert part in text
    assert "<script>" not in text
    assert json.loads((packed / "model" / "model.json").read_text())["post_processing"]["threshold"]["Dog"] == 0.4


def test_packing_again_replaces_and_other_folders_are_left_alone(packed, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, pack, packed / "model", tmp_path / "again") == 0
    assert call(monkeypatch, pack, packed / "exp", tmp_path / "again") == 0
    one, two = (open_model(packed / name).model.detector.state_dict() for name in ("exp", "model"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    assert call(monkeypatch, pack, packed / "exp", tmp_path / "mine") == 2
    assert "no packed model" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "mine"]


def damaged(packed, tmp_path, how):
    folder = tmp_path / "model"
    shutil.copytree(packed / "model", folder)
    facts = json.loads((folder / "model.json").read_text())
    if how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "no facts":
        (folder / "model.json").unlink()
    elif how == "truncated weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif how == "another version":
        facts["format"] = 2
    elif how == "other labels":
        facts["labels"] = facts["labels"][:2]
    elif how == "a part missing":
        del facts["front_end"]
    if (folder / "model.json").exists():
        (folder / "model.json").write_text("not json" if how == "not json" else json.dumps(facts))
    return folder


@pytest.mark.parametrize(
    "how,message",
    [
        ("no weights", "without model.safetensors"),
        ("no facts", "without model.json"),
        ("truncated weights", "damaged weights"),
        ("another version", "packed as format 2"),
        ("other labels", "do not fit|broken post-processing"),
        ("a part missing", "lacks front_end"),
        ("not json", "not JSON"),
    ],
)
def test_broken_folders_are_one_line(packed, tmp_path, how, message):
    with pytest.raises(UserError, match=message) as error:
        open_model(damaged(packed, tmp_path, how))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("clip_pooling", ["linear_softmax", "attention"])
def test_training_starts_from_a_packed_model(packed, tmp_path, monkeypatch, clip_pooling):
    from sed.checkpoints.pretrained import load_pretrained
    from sed.models.detector import build_detector

    model = packed / "model"
    if clip_pooling == "attention":
        model = tmp_path / "attention"
        experiment = save_tiny(tmp_path / "exp", options=" --clip-pooling attention")
        assert call(monkeypatch, pack, "--licence", "CC0", "--data", "bursts", experiment, model) == 0
    opened = open_model(model).model
    config = {**opened.config, "pretrained": str(model)}
    labels = ["Whistle", LABELS[1], "Thunder", LABELS[0], "Rain"]  # two of the packed model's, and others
    fresh = build_detector(config, 5)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    load_pretrained(fresh, config, labels)
    theirs = opened.detector.state_dict()
    of_classes = [key for key in theirs if key.startswith(fresh.OF_CLASSES)]
    assert len(of_classes) == (4 if clip_pooling == "attention" else 2)
    for key, value in fresh.state_dict().items():
        if key in of_classes:
            for row, expected in ((1, theirs[key][1]), (3, theirs[key][0]), (0, before[key][0]), (4, before[key][4])):
                assert torch.equal(value[row], expected), key
        else:
            assert torch.equal(value, theirs[key]), key
    with pytest.raises(UserError, match="another encoder"):
        load_pretrained(build_detector({**config, "ast_dim": 32}, 4), config, "abcd")
    with pytest.raises(UserError, match=r"without model\.safetensors"):
        load_pretrained(fresh, {**config, "pretrained": str(damaged(packed, tmp_path, "no weights"))}, labels)
    with pytest.raises(UserError, match=r"of 4 labels, model\.json has 2"):
        load_pretrained(fresh, {**config, "pretrained": str(damaged(packed, tmp_path / "b", "other labels"))}, labels)
