"""Id of a run in a tracker: created once per folder."""

from __future__ import annotations

from pathlib import Path

from sed.training.loggers.run_id import run_id


def test_an_id_is_made_once_for_each_tracker(tmp_path: Path) -> None:
    made = run_id(tmp_path, "wandb")
    assert len(made) == 12 and made == run_id(tmp_path, "wandb") != run_id(tmp_path, "mlflow")
    assert run_id(tmp_path, "other", lambda: "x1") == "x1" == run_id(tmp_path, "other", lambda: "x2")
