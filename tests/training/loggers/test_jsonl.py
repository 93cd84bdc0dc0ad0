"""The JSON lines logger: one object per line, and no step twice after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sed.training.loggers.jsonl import JsonLines


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def test_lines_are_there_at_once_and_hold_what_was_logged(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "exp", 0, {})
    log.scalars(1, {"train/loss": 0.1 + 0.2, "train/weak": 2.0})
    log.text(1, "ende gut: ü")
    assert rows(tmp_path / "exp") == [
        {"step": 1, "train/loss": 0.1 + 0.2, "train/weak": 2.0},
        {"step": 1, "text": "ende gut: ü"},
    ]
    log.close()


@pytest.mark.parametrize("tail", ['{"step": 4, "train/lo', '{"step": 4, "train/loss": 9}'])
def test_a_resumed_run_logs_no_step_twice(tmp_path: Path, tail: str) -> None:
    log = JsonLines(tmp_path, 0, {})
    for step in range(1, 8):
        log.scalars(step, {"train/loss": step})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write(tail)  # killed while writing a line
    log = JsonLines(tmp_path, 5, {})
    for step in range(6, 9):
        log.scalars(step, {"train/loss": 10 * step})
    log.close()
    assert [(row["step"], row["train/loss"]) for row in rows(tmp_path)] == [
        *((step, step) for step in range(1, 6)),
        *((step, 10 * step) for step in range(6, 9)),
    ]


def test_messages_with_any_name_of_a_folder_outlive_a_resume(tmp_path: Path) -> None:
    log = JsonLines(tmp_path, 0, {})
    messages = ["not UTF-8: \udcff", "a line separator: \u2028", "ende gut: ü"]
    for message in messages:
        log.text(1, message)
    log.close()
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write('{"step": 2, "text": "ü'.encode()[:-1])  # cut within a character
    JsonLines(tmp_path, 1, {}).close()
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["text"] for line in lines if line] == messages


def test_a_run_that_starts_over_starts_a_new_log(tmp_path: Path) -> None:
    for _ in range(2):
        log = JsonLines(tmp_path, 0, {})
        log.scalars(1, {"train/loss": 1.0})
        log.close()
    assert len(rows(tmp_path)) == 1
