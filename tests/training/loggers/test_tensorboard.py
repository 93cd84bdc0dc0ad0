"""The TensorBoard logger: read by TensorBoard's own reader, no step lost or shown twice after a resume."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sounds import limited_files
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sed.errors import UserError
from sed.training.loggers.tensorboard import TensorBoard


def read(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return events


def test_scalars_and_events_are_shown(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path, 0, {})
    for step in range(1, 4):
        log.scalars(step, {"train/loss": 1 / step, "lr/head": 0.5})
    log.text(3, "epoch 1/1")
    log.close()
    events = read(tmp_path)
    assert [(e.step, round(e.value, 6)) for e in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (3, 0.333333)]
    assert len(events.Scalars("lr/head")) == 3
    (text,) = events.Tensors("run/text_summary")
    assert text.step == 3 and text.tensor_proto.string_val == [b"epoch 1/1"]


def test_a_resumed_run_shows_every_step_once(tmp_path: Path) -> None:
    log = TensorBoard(tmp_path, 0, {})
    for step in range(1, 8):
        log.scalars(step, {"train/loss": step})
    log.close()
    # Files are read in the order of their names, which have the second of their creation: make the first an older one.
    (first,) = (tmp_path / "tensorboard").iterdir()
    first.rename(first.with_name(first.name.replace("tfevents.1", "tfevents.0")))
    log = TensorBoard(tmp_path, 5, {})  # the checkpoint was of step 5
    for step in range(6, 9):
        log.scalars(step, {"train/loss": 10 * step})
    log.close()
    found = [(event.step, event.value) for event in read(tmp_path).Scalars("train/loss")]
    assert found == [*((step, step) for step in range(1, 6)), *((step, 10 * step) for step in range(6, 9))]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_full_disk_is_one_error_that_names_the_folder(tmp_path: Path) -> None:
    """The thread that writes fails, too, without a traceback, which pytest would turn into a warning."""
    log = TensorBoard(tmp_path, 0, {})
    with limited_files(300), pytest.raises(OSError) as failure:
        for step in range(1, 1000):
            log.scalars(step, {"train/loss": step})
            time.sleep(0.001)  # the thread that writes comes to its turn
        log.close()
    assert failure.value.filename == str(tmp_path / "tensorboard")


def test_a_folder_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="TensorBoard accepts only names in UTF-8"):
        TensorBoard(tmp_path / os.fsdecode(b"x\xff"), 0, {})
