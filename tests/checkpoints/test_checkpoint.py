from contextlib import contextmanager

import pytest
import torch

from sed.checkpoints import checkpoint as module
from sed.checkpoints.checkpoint import checkpoints, load_checkpoint, load_detector, save_checkpoint
from sed.errors import UserError
from sed.features.logmel import FrontEnd
from sed.models.detector import build_detector


@pytest.fixture
def checkpoint(tiny_config):
    config = tiny_config()
    torch.manual_seed(0)
    student, teacher = (build_detector(config, 3).state_dict() for _ in range(2))
    return {
        "format": 1,
        "student": student,
        "teacher": teacher,
        "optimizer": {},
        "step": 7,
        "config": config,
        "labels": ["Cat", "Dog", "Speech"],
        "front_end": FrontEnd.from_config(config).params(),
        "info": {},
    }


def test_round_trip_and_equal_bytes(checkpoint, tmp_path):
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


def test_damage_is_named(checkpoint, tmp_path):
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


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"format": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(UserError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "evil.pt")


def test_weights_of_another_config_are_refused(checkpoint, tmp_path):
    checkpoint["config"] = {**checkpoint["config"], "gru_units": 9}
    save_checkpoint(tmp_path / "x.pt", checkpoint)
    with pytest.raises(UserError, match="do not fit"):
        load_detector(tmp_path / "x.pt")


def test_a_full_disk_leaves_the_last_good_one(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "step-00000001.pt"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()

    class Full:  # as torch sees a full disk: it writes on, then raises its own error
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
