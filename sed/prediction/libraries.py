"""Load libraries that the first recording needs on a GPU while the weights are read, which takes about as long."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Sequence
from contextlib import suppress

# The fused attention, the Bi-GRU's kernel, the median filter.
LIBRARIES = ("triton.language", "cuda.bindings.nvrtc", "cuda.bindings.driver", "scipy.ndimage")


def preload(names: Sequence[str] = LIBRARIES) -> threading.Thread:
    """Import modules in a thread, which is returned; those that are missing are left out."""

    def work() -> None:
        for name in names:
            with suppress(ImportError):
                importlib.import_module(name)

    # Not a daemon: the process ends only when it has ended, since an import that is broken off may crash.
    thread = threading.Thread(target=work, name="preload")
    thread.start()
    return thread
