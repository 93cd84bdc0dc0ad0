"""Importers recognise their own checkpoints, and a checkpoint of another encoder is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sed.checkpoints import importers
from sed.checkpoints.ast_layouts import AstImporter, export_published
from sed.checkpoints.importers import IMPORTERS, Mismatch, importer_of, kind_of, starts_at_random
from sed.checkpoints.pretrained import load_pretrained
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.models.encoders import ENCODERS
from sed.models.tagger import build_tagger

Config = Callable[..., dict[str, Any]]


class CnnImporter:
    """Importer of a CNN's own state dict, whose keys begin with `layers.`."""

    def recognises(self, state: Mapping[str, Tensor]) -> bool:
        return all(key.startswith("layers.") for key in state)

    def load(self, encoder: nn.Module, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        assert config["encoder"] == "cnn"
        encoder.load_state_dict(state)


@pytest.fixture
def with_cnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registry with `CnnImporter` as a second importer."""
    monkeypatch.setitem(IMPORTERS, "cnn", "sed.checkpoints.importers:CnnImporter")
    monkeypatch.setattr(importers, "CnnImporter", CnnImporter, raising=False)


@pytest.fixture
def published(small: Config, tmp_path: Path) -> Path:
    """A small AST in the published layout."""
    torch.manual_seed(0)
    tagger = build_tagger(small(), 4)
    torch.save(export_published(tagger.encoder, tagger.head), tmp_path / "ast.pth")
    return tmp_path / "ast.pth"


def test_every_importer_is_of_an_encoder() -> None:
    assert IMPORTERS.keys() <= ENCODERS.keys()
    assert isinstance(importer_of("ast"), AstImporter) and importer_of("cnn") is None


def test_an_ast_is_recognised_and_loaded(small: Config, published: Path) -> None:
    state = torch.load(published, weights_only=True)
    assert kind_of(state) == "ast" and kind_of({"w": torch.zeros(1)}) is None
    model = build_detector(small(ast_blocks=2), 3)
    AstImporter().load(model.get_submodule("encoder"), state, small())
    ours = model.state_dict()["encoder.blocks.1.attn.qkv.weight"]
    assert torch.equal(ours, state["module.v.blocks.1.attn.qkv.weight"])
    with pytest.raises(Mismatch, match="misshapen"):
        AstImporter().load(model.get_submodule("encoder"), state, small(ast_dim=24))


@pytest.mark.usefixtures("with_cnn")
def test_an_encoder_loads_its_own_checkpoint_and_refuses_another_s(
    small: Config, published: Path, tmp_path: Path
) -> None:
    cnn = small(encoder="cnn", cnn_width=0.25, pretrained=str(tmp_path / "cnn.pth"))
    torch.manual_seed(1)
    state = build_detector(cnn, 3).get_submodule("encoder").state_dict()
    torch.save(state, tmp_path / "cnn.pth")
    model = build_detector(cnn, 3)
    load_pretrained(model, cnn, "abc")
    assert all(torch.equal(state[key], value) for key, value in model.get_submodule("encoder").state_dict().items())

    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(UserError, match="for encoder 'ast', the config's is 'cnn'"):
        load_pretrained(model, {**cnn, "pretrained": str(published)}, "abc")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_an_encoder_that_has_an_importer_is_expected_to_start_from_a_checkpoint(
    small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert starts_at_random(small(pretrained="")) and starts_at_random(small(pretrained="none"))
    assert not starts_at_random(small(pretrained="ast.pth"))
    cnn = small(encoder="cnn", pretrained="")
    assert not starts_at_random(cnn)
    monkeypatch.setitem(IMPORTERS, "cnn", "sed.checkpoints.importers:CnnImporter")
    assert starts_at_random(cnn)
