from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from sed import __version__, compatibility
from sed.checkpoints import checkpoint as module
from sed.checkpoints.checkpoint import (
    checkpoint_name,
    checkpoints,
    load_checkpoint,
    load_detector,
    save_checkpoint,
)
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector
from sed.seal import SIZE, is_sealed


@pytest.fixture
def checkpoint(tiny_config: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    config = tiny_config()
    torch.manual_seed(0)
    student, teacher = (build_detector(config, 3).state_dict() for _ in range(2))
    return {
        "student": student,
        "teacher": teacher,
        "optimizer": {},
        "step": 7,
        "config": config,
        "labels": ["Cat", "Dog", "Speech"],
        "front_end": FrontEnd.from_config(config).params(),
        "info": {},
    }


def test_a_checkpoint_is_read_as_it_was_written_and_equal_ones_have_equal_bytes(
    checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("a.pt", "b.pt"):
        save_checkpoint(tmp_path / name, checkpoint)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded["step"] == 7 and loaded["config"] == checkpoint["config"]
    for which in ("student", "teacher"):
        model = load_detector(tmp_path / "a.pt", which)
        state = model.detector.state_dict()
        assert all(torch.equal(state[name], value) for name, value in checkpoint[which].items())
        assert model.labels == ["Cat", "Dog", "Speech"] and not model.detector.training
        assert model.front_end.params() == checkpoint["front_end"]


def test_a_damaged_byte_is_found_wherever_it_is(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    """Archive checksums do not cover the padding between tensors; the checksum of the whole file does."""
    path = tmp_path / "final.pt"
    save_checkpoint(path, checkpoint)
    assert is_sealed(path)
    whole = path.read_bytes()
    padding = whole.index(b"ZZZZZZZZ")  # torch aligns tensors by an extra field of Z
    for place in (padding, len(whole) - SIZE - 1, len(whole) - SIZE, len(whole) - 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"final\.pt: (damaged checkpoint|not a checkpoint, or a damaged one)"):
            load_checkpoint(path)


@pytest.mark.parametrize("key", ["student", "teacher", "optimizer", "step", "config", "labels", "front_end", "info"])
def test_a_checkpoint_without_one_of_its_keys_is_neither_written_nor_read(
    checkpoint: dict[str, Any], tmp_path: Path, key: str
) -> None:
    del checkpoint[key]
    with pytest.raises(ValueError, match=f"checkpoint without .*{key}"):
        save_checkpoint(tmp_path / "x.pt", checkpoint)
    assert not list(tmp_path.iterdir())
    torch.save({**checkpoint, "format": 1}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: not a checkpoint of this project, which has format, student"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: a pipe, not a file"):
        load_checkpoint(tmp_path / "x.pt")


def test_tensors_that_are_empty_or_of_whole_numbers_are_weights() -> None:
    module.check_weights("x.pt", {"none": torch.zeros(0, 3), "batches": torch.tensor(7), "is": torch.tensor([True])})


def test_checkpoints_are_listed_oldest_first_without_other_files(tmp_path: Path) -> None:
    steps = [3, 20, 100, 99_999_999]
    names = [checkpoint_name(step) for step in steps]
    for name in (*reversed(names), "step-1.pt", "step-00000002.pt.bak", "best.pt", ".step-00000005.pt.1-0-0.part"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoints(tmp_path)] == names


def test_a_model_that_is_loaded_is_frozen_and_not_rounded_to_tf32(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", {**checkpoint, "info": {"best": 0.5}})
    torch.backends.cudnn.allow_tf32 = True
    model = load_detector(tmp_path / "x.pt")
    assert not torch.backends.cudnn.allow_tf32 and model.info == {"best": 0.5}
    assert not any(parameter.requires_grad for parameter in model.detector.parameters())


def test_damaged_and_missing_files_are_named(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "final.pt"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"not a checkpoint", whole[:2000] + b"\0" * 4000 + whole[6000:-9000]):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"final\.pt"):
            load_checkpoint(path)
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    (tmp_path / "exp").mkdir()
    with pytest.raises(UserError, match="no trained model"):
        load_detector(tmp_path / "exp")


def test_a_file_that_is_no_checkpoint_is_not_to_be_deleted(tmp_path: Path) -> None:
    """It may be a recording that was given as the model."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    advice = "check the path; restore it from a copy, or train again"  # and not: delete or move it
    with pytest.raises(UserError, match=rf"a\.wav: not a checkpoint, or a damaged one \({advice}\)$"):
        load_checkpoint(path)


def test_a_checkpoint_that_may_not_be_read_is_not_called_damaged(
    checkpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "final.pt"
    save_checkpoint(path, checkpoint)
    monkeypatch.setattr(Path, "open", Mock(side_effect=PermissionError(13, "Permission denied", str(path))))
    with pytest.raises(PermissionError):
        load_checkpoint(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"format": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")
    assert capsys.readouterr().out == ""


def test_options_that_a_checkpoint_lacks_get_what_older_files_imply_or_else_the_default(
    checkpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dict(checkpoint["config"])
    before = {name: config.pop(name) for name in ("gru_dropout", "clip_pooling", "band")}
    front_end = {name: value for name, value in checkpoint["front_end"].items() if name != "norm_std"}
    torch.save({**checkpoint, "format": 1, "config": config, "front_end": front_end}, tmp_path / "final.pt")
    model = load_detector(tmp_path)
    assert model.config == {**config, **before} and model.front_end.params() == checkpoint["front_end"]
    assert all(torch.equal(value, checkpoint["teacher"][key]) for key, value in model.detector.state_dict().items())

    # what older files imply precedes the default, and a stored value precedes both; earlier names of options are read
    monkeypatch.setitem(compatibility.ADDED, compatibility.FORMAT, {"gru_dropout": 0.25, "mel_bins": 99})
    monkeypatch.setitem(compatibility.ALIASES, "normalizer", "normaliser")
    front_end = {"normalizer" if name == "normaliser" else name: value for name, value in front_end.items()}
    torch.save({**checkpoint, "format": 1, "config": config, "front_end": front_end}, tmp_path / "final.pt")
    model = load_detector(tmp_path)
    assert model.config["gru_dropout"] == 0.25 and model.config["mel_bins"] == checkpoint["config"]["mel_bins"]
    assert model.front_end.params() == checkpoint["front_end"]

    monkeypatch.setitem(compatibility.ALIASES, "pooling", compatibility.Removed("mean"))
    with pytest.raises(UserError, match=r"final\.pt: pooling fte is no longer supported"):
        load_detector(tmp_path)


def test_a_checkpoint_states_its_format_and_version(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", checkpoint)
    written = torch.load(tmp_path / "x.pt", weights_only=True)
    assert (written["format"], written["version"]) == (compatibility.FORMAT, __version__)
    # a newer one need not have today's keys
    torch.save({"format": compatibility.FORMAT + 1, "version": "9.1.0", "weights": {}}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: format \d+ is newer .*install version 9\.1\.0"):
        load_detector(tmp_path / "x.pt")


def test_weights_of_another_config_are_refused(checkpoint: dict[str, Any], tmp_path: Path) -> None:
    checkpoint["config"] = {**checkpoint["config"], "gru_units": 9}
    save_checkpoint(tmp_path / "x.pt", checkpoint)
    with pytest.raises(UserError, match=r"do not fit its config: .* size mismatch for decoder\.gru\.") as refused:
        load_detector(tmp_path / "x.pt")
    assert "\n" not in str(refused.value)


def test_a_full_disk_leaves_the_last_good_one(
    checkpoint: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "step-00000001.pt"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()

    class Full:  # a full disk; torch writes on after the first OSError, and raises an error of its own at the end
        def __init__(self, file):
            self.file = file

        def write(self, data):
            if self.file.tell() + len(data) > 20_000:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

    real = module.open_replacing

    @contextmanager
    def open_full(path, mode):
        with real(path, mode) as file:
            yield Full(file)

    monkeypatch.setattr(module, "open_replacing", open_full)
    with pytest.raises(OSError, match="No space") as error:
        save_checkpoint(path, checkpoint)
    assert error.value.filename == str(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and checkpoints(tmp_path) == [path]


def test_a_checkpoint_of_an_earlier_version_is_checked_by_its_archive(
    checkpoint: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "x.pt"
    torch.save({**checkpoint, "format": 1}, path)
    load_checkpoint(path)
    data = bytearray(path.read_bytes())
    weights = checkpoint["student"]["classifier.weight"].numpy().tobytes()
    data[data.index(weights) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.pt: damaged checkpoint: .* does not match its checksum"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "key,value,message",
    [
        ("labels", ["Cat", "Cat", "Dog"], "'Cat' comes twice"),
        ("labels", ["Cat", "", "Dog"], "'' is not a name"),
        ("labels", ["Cat", None, "Dog"], "None is not a name"),
        ("labels", ["Cat", "a\0b", "Dog"], "is not a name"),
        ("labels", "Cat", "of type str"),
        ("front_end", {}, "front_end is empty"),
        ("front_end", "kaldi", "front_end is of type str"),
        ("config", torch.zeros(1), "config is of type Tensor"),
        ("info", None, "info is of type NoneType"),
        ("student", None, "of type NoneType"),
    ],
)
def test_nonsense_is_refused(checkpoint: dict[str, Any], tmp_path: Path, key: str, value: object, message: str) -> None:
    save_checkpoint(tmp_path / "x.pt", {**checkpoint, key: value})
    with pytest.raises(UserError, match=rf"x\.pt: .*{message}"):
        load_detector(tmp_path / "x.pt")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("half", ["student", "teacher"])
def test_weights_that_are_nan_or_infinite_are_refused(
    checkpoint: dict[str, Any], tmp_path: Path, half: str, value: float
) -> None:
    checkpoint[half]["classifier.weight"][0, 0] = value
    save_checkpoint(tmp_path / "x.pt", checkpoint)
    with pytest.raises(UserError, match=r"x\.pt: weights classifier\.weight are NaN or infinite"):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "kind,convert",
    [
        ("float8_e4m3fn, strided, cpu", lambda weights: weights.to(torch.float8_e4m3fn)),
        ("float32, sparse_coo, cpu", torch.Tensor.to_sparse),
        ("float32, strided, meta", lambda weights: weights.to("meta")),
    ],
)
def test_weights_that_are_not_plain_numbers_are_refused(
    checkpoint: dict[str, Any], tmp_path: Path, kind: str, convert: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    checkpoint["teacher"]["classifier.weight"] = convert(checkpoint["teacher"]["classifier.weight"])
    save_checkpoint(tmp_path / "x.pt", checkpoint)
    with pytest.raises(UserError, match=rf"x\.pt: weights classifier\.weight are {kind} "):
        load_checkpoint(tmp_path / "x.pt")
