"""Logger that writes TensorBoard event files in `tensorboard/` of the run's folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sed.errors import UserError
from sed.files import is_text
from sed.input_files import naming


class TensorBoard:
    """Logger of scalars and images, under their names, and of messages, as text.

    Errors of writing name the folder (`naming`).
    """

    def __init__(self, folder: Path, step: int, _config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / "tensorboard"
        if not is_text(self._folder):
            raise UserError(f"{self._folder}: TensorBoard accepts only names in UTF-8 (rename the folder)")
        _silence_writers()
        with naming(self._folder):
            # A killed run may have logged steps after its checkpoint, which are repeated: hide what it logged of them.
            self._writer = SummaryWriter(str(self._folder), purge_step=step + 1, flush_secs=10)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        with naming(self._folder):
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def text(self, step: int, message: str) -> None:
        with naming(self._folder):
            self._writer.add_text("run", message, step)

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Record an image.

        Args:
            step: number of steps done.
            name: name of the image, such as `posteriors/<clip>`.
            image: (height, width, 3) uint8.
        """
        with naming(self._folder):
            self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        with naming(self._folder):
            self._writer.close()


def _silence_writers() -> None:
    """Suppress the traceback of TensorBoard's writer thread, whose error the next call of the writer raises anyway."""
    shown = threading.excepthook
    if getattr(shown, "spares_writers", False):
        return

    def show(failure: threading.ExceptHookArgs) -> None:
        if not type(failure.thread).__module__.startswith("tensorboard."):
            shown(failure)

    show.spares_writers = True  # type: ignore[attr-defined]
    threading.excepthook = show
