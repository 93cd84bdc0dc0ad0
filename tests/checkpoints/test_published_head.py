"""Published detectors with their head: posteriors equal to those of PretrainedSED's own code, and refused files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_parity import RECORDED, recorded, sounds
from published_detectors import config_of, detected, made_up
from resolved_configs import CONF, parse
from torch import Tensor

from sed.checkpoints.published_head import (
    AUDIOSET_STRONG,
    LICENCE,
    class_names,
    import_detector,
    read_config,
    read_published,
)
from sed.config import default_options
from sed.data.class_map import read_class_map
from sed.errors import UserError
from sed.features.logmel import FrontEnd

State = dict[str, Tensor]
TINY: dict[str, Any] = {"dim": 16, "depth": 1, "heads": 2}


@pytest.mark.parametrize("encoder", ["atst_frame", "beats"])
def test_posteriors_are_those_recorded_from_pretrained_sed(encoder: str) -> None:
    reference = json.loads((RECORDED / "pretrained_sed.json").read_text())
    found = detected(encoder, reference["size"], sounds(reference["seconds"]))
    assert found.shape == (2, 250, 447)
    assert recorded(found) == pytest.approx(reference["posteriors"][encoder], rel=0, abs=1e-5)


@pytest.fixture
def state() -> State:
    return made_up(config_of("atst_frame", **TINY))


def imported(state: object, path: Path, **options: Any) -> Any:
    torch.save(state, path)
    published = read_published(path)
    return import_detector(published, config_of("atst_frame", **TINY), class_names(published), **options)


def test_a_class_map_makes_labels_of_the_head_s_classes(state: State, tmp_path: Path) -> None:
    (tmp_path / "map.tsv").write_text("class\tlabel\nDog\tdog\nBark\tdog\nSpeech\ttalk\n")
    whole = imported(state, tmp_path / "ATST-F_strong_1.pt")
    assert len(whole.labels) == 447 and whole.info["imported"]["classes"] == 447
    class_map = read_class_map(tmp_path / "map.tsv", whole.labels)
    x = torch.randn(1, 1001, 64)
    posteriors = whole.detector(x).logits.sigmoid()
    dog, bark, speech = (posteriors[..., whole.labels.index(name)] for name in ("Dog", "Bark", "Speech"))
    expected = {"max": torch.maximum(dog, bark), "noisy_or": 1 - (1 - dog) * (1 - bark)}
    for merge, wanted in expected.items():
        model = imported(state, tmp_path / "ATST-F_strong_1.pt", class_map=class_map, merge=merge)
        assert model.labels == ["dog", "talk"]
        found = model.detector(x).logits.sigmoid()
        torch.testing.assert_close(found, torch.stack([wanted, speech], -1), rtol=0, atol=1e-6)


def test_only_a_head_of_the_published_classes_has_the_published_licence(state: State, tmp_path: Path) -> None:
    assert imported(state, tmp_path / "x.pt").info["imported"]["licence"] == LICENCE
    torch.save(made_up(config_of("atst_frame", **TINY), classes=3), tmp_path / "x.pt")
    model = import_detector(read_published(tmp_path / "x.pt"), config_of("atst_frame", **TINY), ["a", "b", "c"])
    assert model.info["imported"]["licence"] == "licence not stated"


def test_wrappers_of_trainings_are_seen_through(state: State, tmp_path: Path) -> None:
    wrapped = {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    ours, plain = (imported(form, tmp_path / "x.pt").detector.state_dict() for form in (wrapped, state))
    assert all(torch.equal(ours[name], plain[name]) for name in plain)


def without(*parts: str) -> Callable[[State], State]:
    return lambda state: {name: value for name, value in state.items() if not any(part in name for part in parts)}


def with_(name: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


@pytest.mark.parametrize(
    "change, message",
    [
        (without("strong_head"), r"strong_head\.weight and strong_head\.bias are expected .*, there is weak_head"),
        (without("strong_head.bias"), r"are expected beside the encoder, there is strong_head\.weight"),
        (with_("head.strong_head.bias", torch.zeros(447)), "there is strong_head"),
        (with_("seq_model.gru.weight_ih_l0", torch.zeros(3, 16)), r"layers between encoder and head, such as seq_"),
        (with_("strong_head.bias", torch.zeros(446)), r"do not form a linear layer: .*\[447, 16\] and \[446\]"),
        (with_("strong_head.weight", torch.zeros(447, 8)), "is for frames of width 8, the config's 16"),
        (
            with_("module.strong_head.bias", torch.zeros(447)),
            r"one tensor under two names: strong_head\.bias, module\.",
        ),
        (with_("strong_head.bias", torch.full((447,), torch.nan)), "has values that are not finite"),
        (
            without("atst.norm_frame"),
            "of no layout that is known [(]only detectors with encoder atst_frame or beats are imported[)]",
        ),
        (without("blocks.0.attn.proj.bias"), r"missing: blocks\.0\.attn\.proj\.bias"),
    ],
    ids=["no head", "half", "two", "sequence", "sizes", "width", "twice", "not finite", "no encoder", "encoder"],
)
def test_other_files_are_refused(change: Callable[[State], State], message: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / "ATST-F_strong_1.pt"
    with pytest.raises(UserError, match=message) as error:
        imported(change(state), path)
    assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)


def test_class_names_of_another_head_are_read_from_a_file(tmp_path: Path) -> None:
    torch.save(made_up(config_of("atst_frame", **TINY), classes=3), tmp_path / "x.pt")
    published = read_published(tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"a head of 3 classes, audioset_strong_classes\.txt has 447 names"):
        class_names(published)
    (tmp_path / "names.txt").write_text("a\nb, c\nd\n")
    assert class_names(published, tmp_path / "names.txt") == ["a", "b, c", "d"]
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbfa\r\nb, c\r\nd\r\n")  # as Windows' editors write it
    assert class_names(published, tmp_path / "names.txt") == ["a", "b, c", "d"]
    (tmp_path / "names.txt").write_bytes(b"caf\xe9\nb\nc\n")
    with pytest.raises(UserError, match=r"names\.txt: not a text file [(]UTF-8 is expected"):
        class_names(published, tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("a\nb\na\n")
    with pytest.raises(UserError, match="a name comes twice"):
        class_names(published, tmp_path / "names.txt")


@pytest.mark.parametrize("encoder, name", [("atst_frame", "zero_shot"), ("beats", "zero_shot_beats")])
def test_the_recipe_s_configs_are_those_of_the_published_detectors(encoder: str, name: str) -> None:
    ours, own = read_config(CONF / f"{name}.yaml", encoder), read_config(None, encoder)
    features = FrontEnd.from_config(ours)
    assert features.difference(FrontEnd.from_config(own).params()) is None
    dumped = FrontEnd.from_config(parse(Path(parse(CONF / f"{name}.yaml")["features"])))
    assert features.difference(dumped.params()) is None
    others = {key for key in own if key not in default_options("sed.features.logmel") and ours[key] != own[key]}
    assert others <= {"class_merge", "source_classes", "pretrained"}
    assert ours["source_classes"] == len(AUDIOSET_STRONG.read_text().splitlines())


def test_a_config_file_is_completed_and_unknown_keys_and_another_encoder_are_refused(tmp_path: Path) -> None:
    assert read_config(None, "atst_frame")["atst_dim"] == 768
    path = tmp_path / "tiny.yaml"
    path.write_text("encoder: atst_frame\natst_dim: 16\n")
    assert read_config(path, "atst_frame")["decoder"] == "none"
    path.write_text("encoder: atst_frame\natst-dim: 16\n")  # the other spelling, as in configs of trainings
    assert read_config(path, "atst_frame")["atst_dim"] == 16
    path.write_text("encoder: atst_frame\natst_dims: 16\n")
    with pytest.raises(UserError, match=r"tiny.yaml:2: unknown key 'atst_dims' \(did you mean 'atst_dim'\?\)"):
        read_config(path, "atst_frame")
    path.write_text("encoder: atst_frame\natst_dim: 0\n")
    with pytest.raises(UserError, match=r"tiny\.yaml: "):
        read_config(path, "atst_frame")
    torch.save(made_up(config_of("beats", **TINY)), tmp_path / "beats.pt")
    published = read_published(tmp_path / "beats.pt")
    with pytest.raises(UserError, match="for encoder 'beats', the config's is 'atst_frame'"):
        import_detector(published, config_of("atst_frame", **TINY), class_names(published))
