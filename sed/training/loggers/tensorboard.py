"""Logger: TensorBoard event files in `tensorboard/` of the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoard:
    """Shows scalars under their names, and events as text."""

    def __init__(self, folder: Path, step: int, _config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What a killed run logged after the checkpoint comes again: it is hidden.
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1, flush_secs=10)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def text(self, step: int, message: str) -> None:
        self._writer.add_text("run", message, step)

    def close(self) -> None:
        self._writer.close()
