"""Checkpoint files: read safely, refused in one line."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.checkpoint import FORMAT, save_checkpoint
from sed.checkpoints.pretrained import class_names, load_pretrained, load_tagger
from sed.config import default_options
from sed.errors import UserError
from sed.models.detector import build_detector, build_tagger


def make(**values):
    sizes = {"mel_bins": 64, "ast_dim": 48, "ast_heads": 3, "ast_depth": 3, "ast_blocks": 2, "stride_freq": 16}
    return {**default_options("sed.features.logmel", "sed.models.detector"), **sizes, "gru_units": 8, **values}


@pytest.fixture
def state():
    torch.manual_seed(0)
    tagger = build_tagger(make(), 4)
    return export_published(tagger.encoder, tagger.head)


def write(path, state):
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["ast.pth", "ast.safetensors", "folder/model.safetensors", "folder/pytorch_model.bin"])
def test_every_form_loads(tmp_path, state, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write(path, state)
    config = make(pretrained=str(path.parent if "folder" in name else path))
    model = build_detector(config, 3)
    load_pretrained(model, config, "abc")
    assert torch.equal(model.encoder.blocks[1].attn.qkv.weight, state["module.v.blocks.1.attn.qkv.weight"])
    tagger, names = load_tagger(config)
    assert torch.equal(tagger.head.mlp_head[1].weight, state["module.mlp_head.1.weight"])
    assert names == ["class 0", "class 1", "class 2", "class 3"]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def damaged(tmp_path, kind, state):
    path = tmp_path / f"{kind}.pth"
    if kind == "pickle with code":
        path.write_bytes(pickle.dumps({"v.cls_token": Evil()}))
    elif kind == "zip with code":
        torch.save({"v.cls_token": Evil()}, path)
    elif kind == "truncated":
        write(path, state)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "truncated safetensors":
        path = write(tmp_path / "cut.safetensors", state)
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "text":
        path.write_text("<html>not found</html>")
    elif kind == "empty":
        path.touch()
    elif kind == "nested":
        torch.save({"student": state}, path)
    elif kind == "missing key":
        write(path, {name: value for name, value in state.items() if "cls_token" not in name})
    elif kind == "folder":
        path.mkdir()
    elif kind == "encoder alone":
        write(path, {name: value for name, value in state.items() if "mlp_head" not in name})
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("pickle with code", "not tensors alone"),
        ("zip with code", "not tensors alone"),
        ("truncated", "damaged"),
        ("truncated safetensors", "damaged safetensors"),
        ("text", "not tensors alone"),
        ("empty", "damaged or not a checkpoint"),
        ("nested", "not a state dict"),
        ("missing key", "missing: v.cls_token"),
        ("folder", "a folder without model.safetensors"),
        ("absent", "no such checkpoint"),
        ("encoder alone", "without a tagging head"),
    ],
)
def test_refused(tmp_path, monkeypatch, recwarn, state, kind, message):
    monkeypatch.chdir(tmp_path)
    config = make(pretrained=str(damaged(tmp_path, kind, state)))
    with pytest.raises(UserError, match=message) as refused:
        load_tagger(config)
    assert "\n" not in str(refused.value) and not (tmp_path / "ran").exists() and not recwarn.list


def test_another_encoder_is_left_as_it_is():
    config = make(encoder="crnn", pretrained="/nowhere/ast.pth")
    model = build_detector(config, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_pretrained(model, config, "abc")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_class_names(tmp_path):
    checkpoint = tmp_path / "model.safetensors"
    (tmp_path / "own.csv").write_text('index,mid,display_name\n1,/m/b,"Bark, yap"\n0,/m/a,Speech\n')
    assert class_names(checkpoint, 2, str(tmp_path / "own.csv")) == ["Speech", "Bark, yap"]
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "Speech", "1": "Dog"}}))
    assert class_names(checkpoint, 2) == ["Speech", "Dog"]
    with pytest.raises(UserError, match="2 class names for a checkpoint of 3"):
        class_names(checkpoint, 3)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no class names"):
        class_names(checkpoint, 2)


def test_a_whole_experiment_starts_another_with_its_teacher(tmp_path):
    torch.manual_seed(1)
    config = make()
    model = build_detector(config, 3)
    student = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    content = {"format": FORMAT, "student": student, "teacher": model.state_dict(), "optimizer": {}, "step": 7}
    save_checkpoint(
        tmp_path / "final.pt", {**content, "config": config, "labels": [*"abc"], "front_end": {}, "info": {}}
    )
    started = build_detector(config, 3)
    load_pretrained(started, {**config, "pretrained": str(tmp_path)}, "abc")
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in started.state_dict().items())
    for other, labels, said in (
        (make(gru_units=16), "abc", "another model than the config's"),
        (config, "abcd", "trained for other labels: a, b, c"),
        (config, "bac", "trained for other labels"),
    ):
        with pytest.raises(UserError, match=said):
            load_pretrained(build_detector(other, len(labels)), {**other, "pretrained": str(tmp_path)}, labels)
