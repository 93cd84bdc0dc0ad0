"""A checkpoint by name, from a server on loopback with the hub's paths."""

import functools
import hashlib
import http.server
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from safetensors.torch import save_file

from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.pretrained import load_tagger
from sed.config import default_options
from sed.models.detector import build_tagger

NAME = "someone/small-ast"


class Hub(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/api/models/"):
            weights = self.server.root / NAME / "resolve/main/model.safetensors"
            data = weights.read_bytes()
            oid = self.server.oid or hashlib.sha256(data).hexdigest()
            listing = [{"path": weights.name, "size": len(data), "lfs": {"oid": oid, "size": len(data)}}]
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
        server.root, server.oid, server.asked = tmp_path / "hub", None, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield server
        server.shutdown()


@pytest.fixture
def config():
    def make(**values):
        return {**default_options("sed.features.logmel", "sed.models.detector"), **values}

    return make


def publish(hub, options):
    tagger = build_tagger(options, 2)
    folder = hub.root / NAME / "resolve/main"
    folder.mkdir(parents=True)
    save_file(export_published(tagger.encoder, tagger.head), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "Speech", "1": "Dog"}}))
    return tagger


@pytest.fixture
def options(config):
    return config(ast_dim=24, ast_heads=2, ast_depth=1, mel_bins=32, input_frames=64, pretrained=NAME)


def test_trainings_that_start_together_download_it_once(hub, options):
    publish(hub, options)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: load_tagger(options)[1], range(4)))
    assert names == 4 * [["Speech", "Dog"]]
    assert sum("model.safetensors" in path for path in hub.asked) == 1


def test_by_name_once_with_its_class_names(hub, options, tmp_path, monkeypatch):
    tagger = publish(hub, options)
    loaded, names = load_tagger(options)
    assert names == ["Speech", "Dog"]
    assert (loaded.encoder.pos_embed == tagger.encoder.pos_embed).all()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody there: it has to be in the cache
    for held in (tmp_path / "cache").rglob(".lock"):
        held.unlink()
    assert load_tagger(options)[1] == names
    assert not [*(tmp_path / "cache").rglob(".lock")]  # nor is one needed in a cache that is only read


def test_names_of_audiosets_classes_for_a_checkpoint_without(hub, tmp_path, monkeypatch):
    from sed.checkpoints.pretrained import AUDIOSET_CLASSES, PUBLISHED, class_names

    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert class_names(tmp_path / "ast.pth", AUDIOSET_CLASSES)[:2] == ["class 0", "class 1"]  # offline
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
    folder = hub.root / PUBLISHED / "resolve/main"
    folder.mkdir(parents=True)
    labels = {str(i): f"sound {i}" for i in range(AUDIOSET_CLASSES)}
    (folder / "config.json").write_text(json.dumps({"id2label": labels}))
    assert class_names(tmp_path / "ast.pth", AUDIOSET_CLASSES)[526] == "sound 526"
    assert class_names(tmp_path / "ast.pth", 3) == ["class 0", "class 1", "class 2"]
