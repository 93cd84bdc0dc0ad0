import pytest
import torch

from sed.device import choose_device
from sed.errors import UserError


def test_auto_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for visible in ("", "-1", "NoDevFiles"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert choose_device("auto") == torch.device("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # a backend gave this process a GPU
    with pytest.raises(UserError, match="GPU 0 does not answer"):
        choose_device("auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda", 0)
    assert choose_device("cuda", local_rank=1) == choose_device("cuda:1") == torch.device("cuda", 1)
    assert str(choose_device("cpu")) == str(choose_device("cpu:0")) == "cpu"


@pytest.mark.parametrize(
    "name,there,message",
    [
        ("cuda", 0, "no GPU"),
        ("cuda:2", 2, "no number 2"),
        ("cuda:200", 2, "'cuda:200'"),
        ("cuda:256", 2, "'cuda:256'"),
        ("gpu", 2, "'gpu'"),
        ("mps", 2, "'mps'"),
    ],
)
def test_an_unknown_or_missing_device_is_refused(monkeypatch, name, there, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(UserError, match=message):
        choose_device(name)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="lower --ngpu"):
        choose_device("cuda", local_rank=2)
