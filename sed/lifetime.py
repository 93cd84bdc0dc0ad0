"""Processes that end with the ones that they work for, so that a killed command leaves nothing running."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
import time
from contextlib import suppress

_PR_SET_PDEATHSIG = 1
OWNER = "RUN_OWNER"
"""environment variable: the id of the process that this one works for, of this machine"""


def end_with_parent() -> None:
    """Have this worker killed when the process that forked it ends, in whatever way.

    On Linux the kernel does it, before anybody can see the parent's end; elsewhere a look at the parent once a second.
    """
    parent = os.getppid()
    with suppress(AttributeError, OSError):
        if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
            if os.getppid() != parent:  # it ended meanwhile
                os._exit(1)
            return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def end_with_owner() -> None:
    """Have this process get SIGTERM when the process that `RUN_OWNER` names ends; nothing where none is named.

    The scripts set it: a recipe may be killed outright, and what it started must not hold locks or processors then.
    """
    text = os.environ.get(OWNER, "")
    if not (text.isascii() and text.isdigit()) or int(text) == os.getpid():
        return
    threading.Thread(target=_outlive, args=(int(text),), name="owner", daemon=True).start()


def _outlive(owner: int) -> None:
    """Wait for the end of a process, then send this one SIGTERM."""
    try:
        descriptor = os.pidfd_open(owner)
        select.select([descriptor], [], [])
    except ProcessLookupError:
        pass
    except (AttributeError, OSError):  # an old kernel, or none of Linux
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
