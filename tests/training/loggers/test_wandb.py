"""The Weights & Biases logger offline: the messages in the files of its runs.

Skipped without the package, with which `tests/run.sh --campaign trackers` runs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sed.errors import UserError

pytest.importorskip("wandb")


def records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a run's file: LevelDB's log format, blocks of 32 KiB, behind a header of 7 bytes."""
    at, parts = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield parts
            parts = b""


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], list[str]]:
    """Return config, rows and media of the offline runs of a folder; messages are decoded by the package's classes."""
    from wandb.proto import wandb_internal_pb2

    config: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    ids = set()
    for file in sorted((folder / "wandb").glob("offline-run-*/*.wandb")):
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.HasField("run"):
                ids.add(record.run.run_id)
                config |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
            if record.HasField("history"):
                rows.append(
                    {(one.key or "/".join(one.nested_key)): json.loads(one.value_json) for one in record.history.item}
                )
    assert len(ids) == 1
    return config, rows, [path.name for path in (folder / "wandb").rglob("*.png")]


def test_scalars_config_and_pictures_are_there_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sed.training.loggers.wandb import WeightsAndBiases

    monkeypatch.setenv("WANDB_MODE", "offline")
    for first in (1, 4):
        log = WeightsAndBiases(tmp_path, first - 1, {"lr": 0.5, "encoder": "ast", "wandb_project": "x"})
        for step in range(first, first + 3):
            log.scalars(step, {"train/loss": 1 / step})
        log.text(first, "epoch 1/2")
        log.picture(first, "posteriors/clip", np.zeros((20, 30, 3), np.uint8))
        log.close()
    config, rows, media = read(tmp_path)
    assert config["lr"] == 0.5 and config["encoder"] == "ast"
    losses = {row["step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert losses == {step: pytest.approx(1 / step) for step in range(1, 7)}
    assert [row["run"] for row in rows if "run" in row] == ["epoch 1/2"] * 2
    assert len(media) == 2


def test_a_wrong_setting_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    from sed.training.loggers.wandb import WeightsAndBiases

    wandb.teardown()  # a run of this process before would have kept its settings
    monkeypatch.setenv("WANDB_MODE", "nonesuch")
    with pytest.raises(UserError, match=r"--loggers wandb: .*nonesuch"):
        WeightsAndBiases(tmp_path, 0, {})
