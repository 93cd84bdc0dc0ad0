"""FLAC files whose header states no length, as written to a pipe: the length follows from the last frame.

Every frame states its number, or that of its first sample. Positions, codes and checksums are those of RFC 9639.
"""

from __future__ import annotations

from typing import BinaryIO

from sed.data.containers.view import View
from sed.errors import UserError

_LONGEST = 1 << 21  # bytes in which the last frame must lie; one of eight channels of 65535 samples of 32 bits fits
_HEAD = 42  # bytes: `fLaC`, the header of a metadata block (4), the block STREAMINFO (34)
_WIDTH = 36  # bits of the length in samples, at the end of bytes 18 to 25


def open_flac(path: str, file: BinaryIO, size: int) -> BinaryIO | View:
    """Return a FLAC file whose header states the actual length.

    Args:
        path: the name for messages.
        file: a FLAC file, seekable.
        size: its length in bytes.

    Returns:
        `file`, or a view of it with a corrected header.

    Raises:
        UserError: the length is not stated and the file does not end with a whole frame.
    """
    file.seek(0)
    head = bytearray(file.read(_HEAD))
    if len(head) < _HEAD or head[4] & 127 or int.from_bytes(head[18:26], "big") & (1 << _WIDTH) - 1:
        return file  # the first block is not STREAMINFO (type 0), or states a length: libsndfile handles these
    block = int.from_bytes(head[10:12], "big")  # largest block size: samples of every frame except the last, if fixed
    file.seek(max(_HEAD, size - _LONGEST))
    length = _end_of_last_frame(file.read(), block)
    if length is None:
        raise UserError(f"{path}: truncated: no whole FLAC frame at its end (replace the file)")
    head[18:26] = (int.from_bytes(head[18:26], "big") | length).to_bytes(8, "big")
    return View(file, [bytes(head), (_HEAD, size)])


def _end_of_last_frame(tail: bytes, block: int) -> int | None:
    """Return the length of the stream up to the end of `tail`, in samples; None if no whole frame ends there.

    Args:
        tail: the last bytes of the file.
        block: samples per frame of a stream whose frames, except the last, have one size.
    """
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        end = _end_of_frame(tail[at : at + 16], block)  # a frame header has at most 16 bytes
        if end is not None and _crc(tail[at:-2], 0x8005, 16) == int.from_bytes(tail[-2:], "big"):
            return end
    return None


def _end_of_frame(head: bytes, block: int) -> int | None:
    """Return the length of the stream up to the end of the frame with this header, in samples.

    Args:
        head: the first bytes of the frame, up to 16.
        block: samples per frame of a stream whose frames, except the last, have one size.

    Returns:
        The length; None if this is no frame header.
    """
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:  # the sync code, and a bit that is always 0
        return None
    code, rate = head[2] >> 4, head[2] & 15  # codes of the block size and the sample rate
    # The number of the frame, or of its first sample, is coded like UTF-8; the leading ones of its first byte, if any,
    # are the number of its bytes.
    ones = next((n for n in range(8) if not head[4] & 128 >> n), 8)
    if code == 0 or rate == 15 or ones in (1, 8):
        return None
    number = head[4] & (127 if not ones else 127 >> ones)
    at = 5
    for _ in range(max(0, ones - 1)):
        if at >= len(head) or head[at] & 0xC0 != 0x80:
            return None
        number = number << 6 | head[at] & 63
        at += 1
    extra = {6: 1, 7: 2}.get(code, 0)  # bytes after the number that hold the block size less 1
    samples = int.from_bytes(head[at : at + extra], "big") + 1
    if not extra:
        samples = 192 if code == 1 else 576 << code - 2 if code < 6 else 256 << code - 8
    at += extra + {12: 1, 13: 2, 14: 2}.get(rate, 0)  # bytes that hold the sample rate
    if at >= len(head) or _crc(head[:at], 0x07, 8) != head[at]:
        return None
    return (number if head[1] & 1 else number * block) + samples  # bit 0: frames differ in size, samples are numbered


def _crc(data: bytes, polynomial: int, bits: int) -> int:
    """Return the cyclic redundancy check of `data`, most significant bit first, with 0 as its initial value."""
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    value = 0
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> bits - 8 ^ byte]
    return value
