"""End processes together with the process that they work for, so that a killed command leaves nothing running."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1  # from Linux's <sys/prctl.h>
OWNER = "RUN_OWNER"
"""environment variable with the id of the process that this one works for, which need not be its parent; recipes,
steps, utils/jobs.sh and `sed.bin.launch` set it"""


def end_with_parent(starter: int | None = None) -> None:
    """Make this process end when its parent ends, for whatever reason.

    On Linux the kernel kills it at the parent's end; elsewhere a thread checks once per second.

    starter: id of the process that started this one, which may have ended before this call; None: whoever is the
    parent now.
    """
    parent = os.getppid()
    if starter not in (None, parent):  # it has ended, and another process, which may never end, is now the parent
        os._exit(1)
    with suppress(AttributeError, OSError):
        if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
            if os.getppid() != parent:  # the parent has ended already
                os._exit(1)
            return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def end_with_owner() -> None:
    """Make this process get SIGTERM when the process that OWNER names ends; do nothing if it names none or this one.

    So after a recipe is killed its processes do not go on holding locks or processors.
    """
    text = os.environ.get(OWNER, "")
    if not (text.isascii() and text.isdigit()) or int(text) == os.getpid():
        return
    threading.Thread(target=_end_after, args=(int(text),), name="owner", daemon=True).start()


def _end_after(owner: int) -> None:
    """Wait for the end of a process, then send this one SIGTERM."""
    try:
        descriptor = os.pidfd_open(owner)
        select.select([descriptor], [], [])
    except ProcessLookupError:
        pass
    except (AttributeError, OSError):  # an old kernel, or not Linux
        while _exists(owner):
            time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
