"""Packed models: what is in them, what replaces them, and what is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_model import LABELS, call, pack_tiny, save_tiny

from sed.bin import pack
from sed.compatibility import FORMAT
from sed.errors import UserError
from sed.files import write_json
from sed.prediction.model import open_model


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_tiny(tmp_path_factory.mktemp("packed"))


def test_a_pack_has_all_files_and_its_card_the_licence_data_and_results(packed: Path) -> None:
    assert {path.name for path in (packed / "model").iterdir()} == {
        "model.safetensors", "model.json", "results.json", "README.md", "labels.txt", "config.yaml", "logmel.yaml",
    }  # fmt: skip
    text = (packed / "model" / "README.md").read_text()
    for part in ("CC0", "bursts", "12.34 %", "9 of 10", "&#60;script&#62;"):
        assert part in text
    assert "<script>" not in text
    assert json.loads((packed / "model" / "model.json").read_text())["post_processing"]["threshold"]["Dog"] == 0.4


def test_packing_again_replaces_and_other_folders_are_left_alone(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert call(pack, packed / "model", tmp_path / "again") == 0
    assert call(pack, "--name", "second", packed / "exp", tmp_path / "again") == 0
    assert "\n# second: " in (tmp_path / "again" / "README.md").read_text()
    one, two = (open_model(packed / name).model.detector.state_dict() for name in ("exp", tmp_path / "again"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    assert call(pack, packed / "exp", tmp_path / "mine") == 2
    assert "not a packed model" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".lock") == ["again", "mine"]


def test_a_pack_contains_nothing_about_its_author_s_machine(tmp_path: Path) -> None:
    home = tmp_path / "home" / "someone"
    home.mkdir(parents=True)
    experiment = save_tiny(home / "exp", options=f" --pretrained {home}/ast.pth")
    saved = torch.load(experiment / "final.pt", weights_only=True)
    command = f"python3 -m sed.bin.train --config {home}/conf/x.yaml '{home}/a b' --init={home}/y.pt"
    info = {"command": command, "pretrained": f"{home}/ast.pth"}
    # files of format 1 had no checksum, and torch.save writes none
    torch.save(saved | {"info": info, "format": 1}, experiment / "final.pt")
    (experiment / "validation").mkdir()
    result = {
        "post_processing": {"steps": []}, "threshold": dict.fromkeys(LABELS, 0.4), "command": command,
        "ground_truth": f"{home}/events.tsv", "input": {"path": f"{home}/scores.h5", "attrs": {"model": f"{home}/exp"}},
    }  # fmt: skip
    (experiment / "validation" / "result.json").write_text(json.dumps(result))
    assert call(pack, experiment, tmp_path / "given") == 0
    for path in (tmp_path / "given").iterdir():
        for word in ("someone", str(tmp_path)):
            assert word.encode() not in path.read_bytes(), (path.name, word)
    assert "pretrained" not in (tmp_path / "given" / "config.yaml").read_text()
    kept = json.loads((tmp_path / "given" / "results.json").read_text())["validation"]
    assert kept["ground_truth"] == "events.tsv" and "--config x.yaml 'a b' --init=y.pt" in kept["command"]


def test_a_pack_of_an_experiment_without_scores_has_no_results(tmp_path: Path) -> None:
    assert call(pack, save_tiny(tmp_path / "exp"), tmp_path / "model") == 0
    assert not (tmp_path / "model" / "results.json").exists() and open_model(tmp_path / "model").model.labels == LABELS


def damaged(packed: Path, tmp_path: Path, how: str) -> Path:
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
    elif how == "text format":
        facts["format"] = "b"
    elif how == "newer":
        facts = {"format": FORMAT + 1, "version": "9.1.0"}
    elif how == "other labels":
        facts["labels"] = facts["labels"][:2]
    elif how == "duplicate labels":
        facts["labels"] = [facts["labels"][0]] * len(facts["labels"])
    elif how == "no list of labels":
        facts["labels"] = 3
    elif how == "boolean format":
        facts["format"] = True
    elif how == "nan weights":
        import safetensors.torch

        weights = safetensors.torch.load_file(folder / "model.safetensors")
        weights["classifier.bias"][0] = float("nan")
        safetensors.torch.save_file(weights, folder / "model.safetensors")
        del facts["files"]  # else the checksum of the weights would be what is refused
    elif how == "edited":
        text = (folder / "model.json").read_text()
        (folder / "model.json").write_text(text.replace("0.4", "0.3", 1))
        return folder
    elif how == "a part missing":
        del facts["front_end"]
    if (folder / "model.json").exists():  # on one line, as another tool may write it: read without its checksum
        (folder / "model.json").write_text("not json" if how == "not json" else json.dumps(facts))
    return folder


def test_options_that_a_pack_lacks_get_their_defaults(packed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    facts["format"] = 1
    for group, name in (("config", "gru_dropout"), ("front_end", "norm_std")):
        del facts[group][name]
    del facts["version"]
    (folder / "model.json").write_text(json.dumps(facts))
    whole, lacking = (open_model(path).model for path in (packed / "model", folder))
    assert lacking.config == whole.config and lacking.front_end.params() == whole.front_end.params()


@pytest.mark.parametrize(
    "how,message",
    [
        ("no weights", "without model.safetensors"),
        ("no facts", "without model.json"),
        ("truncated weights", "damaged weights"),
        ("text format", "format b, this version reads 1 to"),
        ("newer", r"is newer .*version 9\.1\.0"),
        ("other labels", r"do not fit its model\.json: .* size mismatch for classifier\.weight"),
        ("a part missing", "lacks front_end"),
        ("not json", "not JSON"),
        ("duplicate labels", "comes twice"),
        ("no list of labels", "labels are of type int"),
        ("boolean format", "format True"),
        ("nan weights", "NaN or infinite"),
        ("edited", r"model\.json: changed or damaged"),
    ],
)
def test_broken_folders_are_refused_in_one_line(packed: Path, tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        open_model(damaged(packed, tmp_path, how))
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_facts_without_a_checksum_are_read_only_from_formats_that_had_none(packed: Path, tmp_path: Path) -> None:
    """A damaged last line may otherwise pass for one of an earlier version."""
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    del facts["checksum"]
    for number in range(1, FORMAT + 1):
        write_json(folder / "model.json", facts | {"format": number})
        if number < 3:  # the first format whose model.json has a checksum
            open_model(folder)
        else:
            with pytest.raises(UserError, match=r"model\.json: its checksum is damaged"):
                open_model(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"front_end": {}}, "front_end is not what pack writes"),
        ({"config": []}, "config is not what pack writes"),
        ({"info": None}, "info is not what pack writes"),
        ({"files": {}}, r"model\.safetensors: damaged weights: its checksum does not match"),
    ],
    ids=str,
)
def test_facts_of_another_form_are_refused(packed: Path, tmp_path: Path, change: dict, message: str) -> None:
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    facts = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(facts | change))
    with pytest.raises(UserError, match=message):
        open_model(folder)


def test_a_packed_model_is_that_of_its_experiment_and_frozen(packed: Path) -> None:
    one, other = (open_model(packed / name).model for name in ("exp", "model"))
    assert other.labels == one.labels and other.front_end.params() == one.front_end.params()
    assert json.loads((packed / "model" / "model.json").read_text())["info"].items() <= other.info.items()
    assert not other.detector.training and not any(value.requires_grad for value in other.detector.parameters())


@pytest.mark.parametrize(
    "how,message",
    [
        ("nan weights", "NaN or infinite"),
        ("edited", "changed or damaged"),
        ("no list of labels", "labels are of type int"),  # once a traceback
    ],
)
def test_a_training_does_not_start_from_a_damaged_pack(packed: Path, tmp_path: Path, how: str, message: str) -> None:
    from sed.checkpoints.pretrained import load_packed

    folder = damaged(packed, tmp_path, how)
    model = open_model(packed / "model").model
    with pytest.raises(UserError, match=message):
        load_packed(model.detector, folder, model.config, model.labels)
