"""The MLflow logger with its file store: what its own client reads back.

Skipped without the package, with which `tests/run.sh --campaign trackers` runs it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sed.errors import RunError

pytest.importorskip("mlflow")


def test_scalars_config_and_pictures_are_there_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    from sed.training.loggers.mlflow import MLflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    # a value longer than MLflow takes (6000 characters), and more parameters than one of its calls takes (100)
    config = {"lr": 0.5, "long": "x" * 20_000, **{f"key{i}": i for i in range(150)}}
    for first in (1, 4):
        log = MLflow(tmp_path, first - 1, config)
        for step in range(first, first + 3):
            log.scalars(step, {"train/loss": 1 / step, "lr/head": 1.0})
        log.text(first, "epoch 1/2")
        for clip in ("clip", "Küche (2)", "Kuche (2)"):
            log.picture(first, f"posteriors/{clip}", np.zeros((20, 30, 3), np.uint8))
        log.close()
    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("ast-sed")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["lr"] == "0.5" and run.data.params["key149"] == "149" and len(run.data.params) == 152
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert {one.step: one.value for one in history} == {step: 1 / step for step in range(1, 7)}
    assert {artifact.path for artifact in client.list_artifacts(run.info.run_id)} >= {
        "events_from_step_0.txt",
        "events_from_step_3.txt",
        "images",
    }
    assert len(list(tmp_path.rglob("images/*.png"))) == 2 * 3 and run.info.status == "FINISHED"


def test_a_tracking_server_that_cannot_be_used_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sed.training.loggers.mlflow import MLflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonesuch://host")
    with pytest.raises(RunError, match=r"--loggers mlflow: .*nonesuch://host.*MLFLOW_TRACKING_URI"):
        MLflow(tmp_path, 0, {})
