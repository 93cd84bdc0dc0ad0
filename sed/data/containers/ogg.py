"""Ogg files, which hold one stream, or several in sequence: a chain, as in recorded radio.

Streams consist of pages; their format is that of RFC 3533.
"""

from __future__ import annotations

from typing import BinaryIO

from sed.data.containers.view import Span
from sed.errors import UserError

HEADER = 27  # bytes of a page header, without the table of segments that follows it
FIRST, LAST = 2, 4  # flags of a page that is the first, the last of its stream
TRAILER = 65536  # bytes; fewer after the last stream may be a tag or padding


def links(path: str, file: BinaryIO, size: int) -> list[Span]:
    """Return the streams of a chain in order; libsndfile reads only the first.

    Args:
        path: the name for messages.
        file: an Ogg file, seekable.
        size: its length in bytes.

    Returns:
        (start, end) of each stream in bytes.

    Raises:
        UserError: the file is damaged, ends within a page or without a last page, or has a page after a stream's last
            one, or several streams at the same time.
    """
    found: list[Span] = []
    at = start = 0
    first = last = True  # whether the previous page was a first page, a last page
    while at < size:
        file.seek(at)
        head = file.read(HEADER)
        if len(head) < HEADER or head[:4] != b"OggS":
            if found and _no_more_pages(file, at, size):
                break  # a tag or padding after the last stream
            raise UserError(f"{path}: truncated or damaged: no Ogg page at byte {at} (replace the file)")
        table = file.read(head[26])  # lengths of the page's segments; byte 26 is their number
        end = at + HEADER + head[26] + sum(table)
        if len(table) < head[26] or end > size:
            raise UserError(f"{path}: truncated: no last Ogg page (replace the file)")
        if head[5] & FIRST:
            if not last and not first:
                raise UserError(f"{path}: truncated: an Ogg stream without its last page (replace the file)")
            if first and at > start:  # streams at the same time begin with the first pages of all (RFC 3533)
                raise UserError(f"{path}: several Ogg streams at the same time (convert it: ffmpeg -i IN OUT.flac)")
            start, first = at, True
        else:
            if last and found:  # such as a download whose last bytes were appended twice
                raise UserError(
                    f"{path}: damaged: an Ogg page after its stream's last one (replace it, or repair it: ffmpeg -i IN "
                    "-c copy OUT)"
                )
            first = False
        last = bool(head[5] & LAST)
        if last:
            found.append((start, end))
        at = end
    if not last:
        raise UserError(f"{path}: truncated: no last Ogg page (replace it, or repair it: ffmpeg -i IN -c copy OUT)")
    return found


def _no_more_pages(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether the file, of `size` bytes, has no page from `at` on, and less than TRAILER bytes."""
    file.seek(at)
    return size - at < TRAILER and b"OggS" not in file.read()
