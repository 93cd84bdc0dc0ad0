"""Read ahead: a thread makes the items of an iterator before they are asked for."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

Item = TypeVar("Item")
CHECK_SECONDS = 0.2  # seconds after which the thread, waiting for room, checks whether its items are still wanted


class _End:
    """Mark of the end of the items."""


def prefetched(items: Generator[Item, None, None], ahead: int) -> Generator[Item, None, None]:
    """Yield items in order, made by a thread.

    Args:
        items: generator of the items; the thread closes it if this iterator is closed before their end.
        ahead: number of items to make ahead; 0: make them in the calling thread, on demand.

    Yields:
        The items. What making them raises is raised here, after the items before it.
    """
    if ahead <= 0:
        yield from items
        return
    ready: queue.Queue[Item | _End | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def put(item: Item | _End | BaseException) -> None:
        """Pass an item on once the queue has room, or drop it if the consumer has stopped."""
        while not stop.is_set():
            try:
                return ready.put(item, timeout=CHECK_SECONDS)
            except queue.Full:
                continue

    def work() -> None:
        """Make all items, in the thread."""
        try:
            for item in items:
                put(item)
                if stop.is_set():
                    items.close()
                    return
            put(_End())
        except BaseException as error:  # re-raised in the consumer's thread
            put(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
