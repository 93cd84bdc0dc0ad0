"""A read-only file composed of ranges of another file and of given bytes."""

from __future__ import annotations

import io
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import BinaryIO

Span = tuple[int, int]
"""(start, end) in bytes"""


class View(io.RawIOBase):
    """Seekable concatenation of `parts`: bytes, or ranges (start, end) of `file` in bytes.

    Decoders read it instead of a file with a wrong header, or with other data around the recording, so that nothing is
    copied. A seek to before the start goes to the start: libsndfile asks for that.
    """

    def __init__(self, file: BinaryIO, parts: Sequence[bytes | Span]) -> None:
        super().__init__()
        self._file = file
        self._parts = [part for part in parts if (len(part) if isinstance(part, bytes) else part[1] > part[0])]
        sizes = [len(part) if isinstance(part, bytes) else part[1] - part[0] for part in self._parts]
        self._starts = [0, *itertools.accumulate(sizes)][:-1]
        self.size = sum(sizes)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self.size)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        filled = 0
        while filled < len(buffer) and self._at < self.size:
            part, start = self._part()
            inside = self._at - start
            wanted = len(buffer) - filled
            if isinstance(part, bytes):
                data = part[inside : inside + wanted]
            else:
                self._file.seek(part[0] + inside)
                data = self._file.read(min(wanted, part[1] - part[0] - inside))
            if not data:  # the file has shrunk since it was opened
                break
            buffer[filled : filled + len(data)] = data
            filled += len(data)
            self._at += len(data)
        return filled

    def _part(self) -> tuple[bytes | Span, int]:
        """Return the part that holds the current position, and the position in the view at which that part starts."""
        index = bisect_right(self._starts, self._at) - 1
        return self._parts[index], self._starts[index]
