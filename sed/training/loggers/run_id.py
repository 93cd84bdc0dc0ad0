"""Id of a run in a tracker (MLflow, Weights & Biases), kept in the run's folder: a resumed training continues it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

from sed.files import write_text


def run_id(folder: Path, tracker: str, create: Callable[[], str] = lambda: uuid.uuid4().hex[:12]) -> str:
    """Return the id of a folder's run in a tracker, which is stored in the folder.

    Args:
        folder: folder of the run.
        tracker: name of the tracker.
        create: creates an id if the folder has none yet. The default is for a tracker that takes any id, such as
            Weights & Biases; MLflow gives its runs ids itself.

    Returns:
        The id.
    """
    path = folder / f"{tracker}_run.txt"
    if not path.is_file():
        write_text(path, create() + "\n")
    return path.read_text(encoding="utf-8").strip()
