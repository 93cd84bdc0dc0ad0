"""Any form of a trained model, opened together with its post-processing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_model import LABELS, call, pack_tiny, write_sounds

from sed.bin import predict
from sed.errors import UserError
from sed.prediction.model import RESULTS, gather_results, open_model


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_tiny(tmp_path_factory.mktemp("packed"))


def test_a_packed_model_predicts_as_its_experiment(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_sounds(tmp_path / "x.wav", 13)
    outputs = []
    for model in ("exp", "model"):
        assert call(predict, "--model", packed / model, "--threads", 1, tmp_path / "x.wav") == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] and outputs[0].count("\n") > 3


def test_post_processing_comes_from_the_pack_or_the_result_of_the_experiment(packed: Path) -> None:
    for name, source in (("exp", "exp/validation/result.json"), ("model", "model/model.json")):
        opened = open_model(packed / name)
        assert opened.source == str(packed / source)
        assert opened.post_processing.thresholds(LABELS) == [0.4] * 4
    alone = open_model(packed / "exp" / "final.pt")
    assert alone.post_processing is None and alone.source.startswith("the AST-SED paper")


def test_a_network_that_a_packed_model_lacks_is_not_asked_for_silently(
    packed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    open_model(packed / "exp", which="student")
    open_model(packed / "model")
    assert not caplog.messages
    open_model(packed / "model", which="student")
    assert caplog.messages == ["--which student is not used: a packed model has one network"]


def test_no_model_and_broken_results_are_one_line(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such model"):
        open_model(tmp_path / "nothing")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UserError, match=r"model\.onnx: an exported model \(.* as --onnx\)"):
        open_model(tmp_path / "model.onnx")
    assert gather_results(packed / "exp").keys() == {"validation"}
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json: not JSON"):
        gather_results(tmp_path)
    copy = shutil.copytree(packed / "model", tmp_path / "model")
    for wrong in ("null", '"good"', "3", "[]"):
        (copy / RESULTS).write_text(f'{{"validation": {wrong}}}')
        with pytest.raises(UserError, match=r"results\.json: not what this project writes: a result is"):
            gather_results(copy)
