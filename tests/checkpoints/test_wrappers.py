"""Checkpoints in the forms in which trainings save them: they load, or the message names the prefix."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sed.checkpoints import wrappers
from sed.checkpoints.ast_layouts import export_published
from sed.checkpoints.importers import Mismatch, kind_of
from sed.checkpoints.pretrained import load_pretrained, load_tagger
from sed.checkpoints.wrappers import plain_name, tensors_in, unwrapped
from sed.errors import UserError
from sed.models.detector import build_detector
from sed.models.tagger import Tagger, build_tagger

Config = Callable[..., dict[str, Any]]
State = dict[str, Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def compiled_blocks(state: State) -> State:
    """Return the form in which each block was compiled: the wrapper's name follows the block's number."""
    return {re.sub(r"(\.blocks\.\d+\.)", r"\1_orig_mod.", name): tensor for name, tensor in state.items()}


OPTIMISER = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
FORMS: dict[str, Callable[[State], object]] = {
    "plain": lambda s: s,
    "module": lambda s: under("module.", s),
    "orig_mod": lambda s: under("_orig_mod.", s),
    "orig_mod_module": lambda s: under("_orig_mod.module.", s),
    "module_orig_mod": lambda s: under("module._orig_mod.", s),
    "model": lambda s: under("model.", s),
    "blocks compiled": compiled_blocks,
    "fsdp": lambda s: under("_fsdp_wrapped_module.", s),
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "optimizer": OPTIMISER},
    "model_state_dict": lambda s: {
        "epoch": 3,
        "model_state_dict": under("module.", s),
        "optimizer_state_dict": OPTIMISER,
    },
    "nested": lambda s: {"model": s, "args": argparse.Namespace(lr=1e-4), "best": np.float64(0.4)},
    "net": lambda s: {"net": s, "acc": 91.5, "scores": {"map": np.float32(0.3), "clips": np.int64(7)}},
    "student": lambda s: {"student": s},
    "lightning": lambda s: {
        "state_dict": {**under("model.", s), "loss.pos_weight": torch.ones(4)},
        "hyper_parameters": {"lr": 1e-4},
        "optimizer_states": [OPTIMISER],
        "callbacks": {},
    },
    "lightning, compiled": lambda s: {"state_dict": under("net._orig_mod.", s), "pytorch-lightning_version": "2.4.0"},
}


@pytest.fixture
def tagger(small: Config) -> Tagger:
    torch.manual_seed(0)
    return build_tagger(small(), 4)


@pytest.fixture
def published(tagger: Tagger) -> State:
    """State dict in the published layout without DataParallel's prefix."""
    exported = export_published(tagger.encoder, tagger.head)
    return {name.removeprefix("module."): tensor for name, tensor in exported.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("form", FORMS)
def test_every_form_loads_the_same_weights(
    small: Config, tagger: Tagger, published: State, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "ast.pth"
    torch.save(FORMS[form](published), path)
    config = small(ast_blocks=2, pretrained=str(path))
    loaded, _ = load_tagger(config)
    theirs = tagger.state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in loaded.state_dict().items())
    model = build_detector(config, 3)
    load_pretrained(model, config, "abc")
    encoder = model.get_submodule("encoder").state_dict()
    assert all(torch.equal(theirs[f"encoder.{name}"], tensor) for name, tensor in encoder.items())


def within_itself() -> dict[str, object]:
    found: dict[str, object] = {}
    found["model"] = found
    return found


def test_tensors_that_are_not_loaded_are_logged(
    small: Config, published: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.save(FORMS["lightning"](published), tmp_path / "last.ckpt")
    with caplog.at_level(logging.INFO):
        load_tagger(small(pretrained=str(tmp_path / "last.ckpt")))
    assert "has the prefix 'state_dict.model.'; not loaded: state_dict.loss.pos_weight" in caplog.text


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda s: {"model": s, "ema": s}, "holds 2 models, under 'model.', 'ema.'"),
        (lambda s: {**under("student.", s), **under("teacher.", s)}, "holds 2 models, under 'student.', 'teacher.'"),
        (lambda s: {**s, **under("module.", s)}, "under two names: v.cls_token, module.v.cls_token"),
        (lambda _: {"state_dict": under("cnn.", {"0.weight": torch.ones(1)})}, "but: state_dict.cnn.0.weight"),
        (lambda s: {"model": {n: t for n, t in s.items() if "pos_embed" not in n}}, "under 'model.': .*missing: v.pos"),
        (lambda _: {"epoch": 3, "names": ["a"]}, "not a state dict"),
        (lambda _: within_itself(), "a dictionary within itself"),
        (lambda _: nn.Linear(2, 2), "an object of torch.nn.modules.linear.Linear, so nothing of it was run"),
        (
            lambda s: {"teacher": s, "student": s, "front_end": {}, "format": 2},
            "sed.bin.train --pretrained takes its experiment's folder",
        ),
    ],
)
def test_files_that_cannot_be_loaded_are_refused_in_one_line(
    small: Config, published: State, tmp_path: Path, form: Callable[[State], object], message: str
) -> None:
    torch.save(form(published), tmp_path / "ast.pth")
    with pytest.raises(UserError, match=message) as refused:
        load_tagger(small(pretrained=str(tmp_path / "ast.pth")))
    assert str(refused.value).startswith(f"{tmp_path / 'ast.pth'}: ") and "\n" not in str(refused.value)


def test_dictionaries_that_hold_each_other_many_times_are_refused(
    small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file may name more tensors so than memory holds."""
    monkeypatch.setattr(wrappers, "MOST", 1000)
    found: dict[str, object] = {"w": torch.ones(1)}
    for _ in range(12):
        found = {"a": found, "b": found}
    torch.save(found, tmp_path / "ast.pth")
    with pytest.raises(UserError, match=r"ast\.pth: not a checkpoint: holds more than 1000 values"):
        load_tagger(small(pretrained=str(tmp_path / "ast.pth")))


def test_names_lose_what_wrappers_added_and_nothing_else() -> None:
    assert plain_name("_orig_mod.module.v.blocks.0._checkpoint_wrapped_module.norm1.bias") == "v.blocks.0.norm1.bias"
    assert plain_name("modules.v.module_list") == "modules.v.module_list"
    one = torch.ones(1)
    assert tensors_in({"a": {"b": one, 3: {"c": one}, "n": 1}, "d": [one]}) == {"a.b": one, "a.3.c": one}
    model = unwrapped({"x.y.v.blocks.0.norm1.bias": one, "z": one}, lambda names: kind_of(names) is not None)
    assert model == ({"v.blocks.0.norm1.bias": one}, "x.y.", ["z"])
    with pytest.raises(Mismatch, match=r"a\.w, a\.module\.w"):
        unwrapped({"a.w": one, "a.module.w": one}, lambda _names: True)
