"""Checkpoint files to start from: read safely, refused in one line; by name from a server with the hub's paths."""

import functools
import hashlib
import http.server
import json
import os
import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from safetensors.torch import save_file
from tiny_model import LABELS, call, pack_tiny, save_tiny

from sed.bin import pack
from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.checkpoint import save_checkpoint
from sed.checkpoints.pretrained import AUDIOSET_CLASSES, PUBLISHED, class_names, load_pretrained, load_tagger, locate
from sed.config import default_options
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.models.tagger import build_tagger
from sed.prediction.model import open_model


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
def test_every_form_of_file_loads(tmp_path, state, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    write(path, state)
    config = make(pretrained=str(path.parent if "folder" in name else path))
    model = build_detector(config, 3)
    load_pretrained(model, config, "abc")
    assert torch.equal(model.encoder.blocks[1].attn.qkv.weight, state["module.v.blocks.1.attn.qkv.weight"])
    tagger, names = load_tagger(config)
    assert not tagger.training
    assert torch.equal(tagger.head.mlp_head[1].weight, state["module.mlp_head.1.weight"])
    assert names == ["class 0", "class 1", "class 2", "class 3"]


def test_of_two_files_in_a_folder_safetensors_are_loaded(tmp_path, state):
    write(tmp_path / "model.safetensors", state)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert locate(str(tmp_path)) == tmp_path / "model.safetensors"


@pytest.mark.parametrize("name", ["", "none"])
def test_without_initial_weights_a_detector_keeps_its_own(name):
    model = build_detector(make(), 3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert load_pretrained(model, make(pretrained=name), "abc") == ""
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


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
        torch.save({"student": state, "teacher": state}, path)
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
        ("nested", "holds 2 models, under 'student.', 'teacher.'"),
        ("missing key", "missing: v.cls_token"),
        ("folder", "a folder without model.safetensors"),
        ("absent", "no such checkpoint"),
        ("encoder alone", "without a tagging head"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_a_line_and_not_run(tmp_path, monkeypatch, recwarn, state, kind, message):
    monkeypatch.chdir(tmp_path)
    config = make(pretrained=str(damaged(tmp_path, kind, state)))
    with pytest.raises(UserError, match=message) as refused:
        load_tagger(config)
    assert "\n" not in str(refused.value) and not (tmp_path / "ran").exists() and not recwarn.list


def test_a_checkpoint_of_another_encoder_is_refused(tmp_path, state):
    torch.save(state, tmp_path / "ast.pth")
    config = make(encoder="cnn", pretrained=str(tmp_path / "ast.pth"))
    model = build_detector(config, 3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match="for encoder 'ast', the config's is 'cnn'") as refused:
        load_pretrained(model, config, "abc")
    assert "\n" not in str(refused.value)
    torch.save({"w": torch.zeros(2)}, tmp_path / "ast.pth")
    with pytest.raises(UserError, match="of no layout that is known, the config's is 'cnn'"):
        load_pretrained(model, config, "abc")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_experiment_whose_training_has_not_ended_is_named_as_such(tmp_path):
    (tmp_path / "config.yaml").write_text("encoder: cnn\n")
    config = make(encoder="cnn", pretrained=str(tmp_path))
    with pytest.raises(UserError, match=r"an experiment without final\.pt"):
        load_pretrained(build_detector(config, 3), config, "abc")


def test_class_names_are_read_from_csv_json_or_text_and_must_fit_the_checkpoint(tmp_path):
    checkpoint = tmp_path / "model.safetensors"
    (tmp_path / "own.csv").write_text('index,mid,display_name\n1,/m/b,"Bark, yap"\n0,/m/a,Speech\n')
    assert class_names(checkpoint, 2, str(tmp_path / "own.csv")) == ["Speech", "Bark, yap"]
    rows = [f"{number},/m/x,name {number}" for number in (10, 9, 2, 1, 0, 3, 8, 7, 6, 5, 4)]
    (tmp_path / "own.csv").write_text("\n".join(["index,mid,display_name", *rows]))
    assert class_names(checkpoint, 11, str(tmp_path / "own.csv")) == [f"name {number}" for number in range(11)]
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"1": "Dog", "0": "Speech"}}))
    assert class_names(checkpoint, 2) == ["Speech", "Dog"]
    for name, text in (
        ("own.csv", "index,mid,display_name\n0,/m/a,Speech\n1,/m/b,Dog\n"),
        ("own.txt", "Speech\nDog\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")  # with a byte order mark, like Excel's
        assert class_names(checkpoint, 2, str(tmp_path / name)) == ["Speech", "Dog"]
    with pytest.raises(UserError, match="2 class names for a checkpoint of 3"):
        class_names(checkpoint, 3)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no class names"):
        class_names(checkpoint, 2)
    for name, text in (
        ("own.csv", "index,mid,display_name\n0,/m/a,Speech\n1,/m/b\n"),
        ("own.json", '{"id2label": {"0": 7}}'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match="no class names"):  # once, None and 7 were the names of classes
            class_names(checkpoint, 2 if name == "own.csv" else 1, str(tmp_path / name))
    with pytest.raises(UserError, match=r"nowhere\.csv: no such file"):
        class_names(checkpoint, 2, str(tmp_path / "nowhere.csv"))


def test_a_whole_experiment_starts_another_with_its_teacher(tmp_path):
    torch.manual_seed(1)
    config = make()
    model = build_detector(config, 3)
    student = {key: torch.zeros_like(value) for key, value in model.state_dict().items()}
    content = {"student": student, "teacher": model.state_dict(), "optimizer": {}, "step": 7}
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


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return pack_tiny(tmp_path_factory.mktemp("packed"))


@pytest.mark.parametrize("kind", ["model", "exp"])
def test_initial_weights_of_another_front_end_are_warned_of(packed, log_lines, kind):
    config = {**open_model(packed / "model").model.config, "pretrained": str(packed / kind)}
    for changes, warned in (
        ({}, []),
        ({"clip_seconds": 9.99}, []),
        ({"f_min": 50.0}, ["was trained on other features than the config's: its f_min is 20.0, not 50.0"]),
    ):
        log_lines.clear()
        load_pretrained(build_detector(config, 4), {**config, **changes}, LABELS)
        assert [line for line in log_lines if "features" in line] == [
            f"{packed / kind}: {text} (results may be worse)" for text in warned
        ]


@pytest.mark.parametrize("clip_pooling", ["linear_softmax", "attention"])
def test_training_starts_from_a_packed_model(packed, tmp_path, clip_pooling):
    model = packed / "model"
    if clip_pooling == "attention":
        model = tmp_path / "attention"
        experiment = save_tiny(tmp_path / "exp", options=" --clip-pooling attention")
        assert call(pack, "--licence", "CC0", "--data", "bursts", experiment, model) == 0
    opened = open_model(model).model
    config = {**opened.config, "pretrained": str(model)}
    labels = ["Whistle", LABELS[1], "Thunder", LABELS[0], "Rain"]  # two of the packed model's, and others
    fresh = build_detector(config, 5)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    load_pretrained(fresh, config, labels)
    theirs = opened.detector.state_dict()
    of_classes = [key for key in theirs if key.startswith(fresh.OF_CLASSES)]
    # weight and bias of the classifier, and of the attention
    assert len(of_classes) == (4 if clip_pooling == "attention" else 2)
    for key, value in fresh.state_dict().items():
        if key in of_classes:
            for row, expected in ((1, theirs[key][1]), (3, theirs[key][0]), (0, before[key][0]), (4, before[key][4])):
                assert torch.equal(value[row], expected), key
        else:
            assert torch.equal(value, theirs[key]), key
    with pytest.raises(UserError, match="another encoder"):
        load_pretrained(build_detector({**config, "ast_dim": 32}, 4), config, "abcd")


@pytest.mark.parametrize(
    "part, message", [("weights", r"without model\.safetensors"), ("labels", r"of 4 labels, model\.json has 2")]
)
def test_training_does_not_start_from_a_damaged_pack(packed, tmp_path, part, message):
    folder = shutil.copytree(packed / "model", tmp_path / "model")
    if part == "weights":
        (folder / "model.safetensors").unlink()
    else:
        facts = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**facts, "labels": facts["labels"][:2]}))
    config = {**open_model(packed / "model").model.config, "pretrained": str(folder)}
    with pytest.raises(UserError, match=message):
        load_pretrained(build_detector(config, 5), config, "abcde")


NAME = "someone/small-ast"


class Hub(http.server.SimpleHTTPRequestHandler):
    """Stand-in for Hugging Face's hub: states the SHA-256 of a model's weights, and serves the files of a folder."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/api/models/"):
            weights = self.server.root / NAME / "resolve/main/model.safetensors"
            data = weights.read_bytes()
            oid = hashlib.sha256(data).hexdigest()
            listing = [
                {"type": "file", "path": weights.name, "size": len(data), "lfs": {"oid": oid, "size": len(data)}}
            ]
            body = json.dumps(listing).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    handler = functools.partial(Hub, directory=str(tmp_path / "hub"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.root, server.asked = tmp_path / "hub", []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield server
        server.shutdown()


def publish(hub, options):
    tagger = build_tagger(options, 2)
    folder = hub.root / NAME / "resolve/main"
    folder.mkdir(parents=True)
    save_file(export_published(tagger.encoder, tagger.head), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "Speech", "1": "Dog"}}))
    return tagger


@pytest.fixture
def options():
    return make(ast_dim=24, ast_heads=2, ast_depth=1, mel_bins=32, input_frames=64, stride_freq=10, pretrained=NAME)


@pytest.mark.parametrize("name", ["./none", "../none", "downloads/atst.ckpt", "aufnahmen/größe"])
def test_a_missing_file_is_not_asked_of_the_hub(hub, name):
    with pytest.raises(UserError, match="no such checkpoint"):
        locate(name)
    assert not hub.asked


def test_what_is_neither_a_folder_nor_on_the_hub_is_said_to_be_neither(hub):
    hub.root.mkdir()
    with pytest.raises(UserError, match=r"^exp/none: no such file or folder; as a model on Hugging Face: .* 404"):
        locate("exp/none")


def test_trainings_that_start_together_download_a_model_once(hub, options):
    publish(hub, options)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: load_tagger(options)[1], range(4)))
    assert names == 4 * [["Speech", "Dog"]]
    assert sum("model.safetensors" in path for path in hub.asked) == 1


def test_a_model_given_by_name_is_downloaded_once_with_its_class_names(hub, options, tmp_path, monkeypatch):
    tagger = publish(hub, options)
    loaded, names = load_tagger(options)
    assert names == ["Speech", "Dog"]
    assert (loaded.encoder.pos_embed == tagger.encoder.pos_embed).all()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody there: it has to be in the cache
    for held in (tmp_path / "cache").rglob(".lock"):
        held.unlink()
    assert load_tagger(options)[1] == names
    assert not [*(tmp_path / "cache").rglob(".lock")]  # reading the cache takes no lock


def test_names_of_audiosets_classes_are_fetched_for_a_checkpoint_without_names(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert class_names(tmp_path / "ast.pth", AUDIOSET_CLASSES)[:2] == ["class 0", "class 1"]  # offline
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    folder = hub.root / PUBLISHED / "resolve/main"
    folder.mkdir(parents=True)
    labels = {str(i): f"sound {i}" for i in range(AUDIOSET_CLASSES)}
    (folder / "config.json").write_text(json.dumps({"id2label": labels}))
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: class_names(tmp_path / "ast.pth", AUDIOSET_CLASSES), range(4)))
    assert [one[526] for one in names] == 4 * ["sound 526"]
    assert sum("config.json" in path for path in hub.asked) == 1  # two downloads would write to one file
    assert class_names(tmp_path / "ast.pth", 3) == ["class 0", "class 1", "class 2"]
