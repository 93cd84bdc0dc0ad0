"""FLAC files whose header states no length, as written to a pipe, or that end with a tag.

The length follows from the last frame. libsndfile takes a tag for damage ("lost sync"), so it is left out. Every
frame states its number, or that of its first sample. Positions, codes and checksums are those of RFC 9639.
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from sed.data.containers.view import View
from sed.errors import UserError

_LONGEST = 1 << 21  # bytes in which the last frame must lie; one of eight channels of 65535 samples of 32 bits fits
_HEAD = 42  # bytes: `fLaC`, the header of a metadata block (4), the block STREAMINFO (34)
_WIDTH = 36  # bits of the length in samples, at the end of bytes 18 to 25
_TAG = 128  # bytes of an ID3v1 tag, which some programs add at the end: `TAG` and text
_PERIOD = 32767  # x to this power is 1 modulo the polynomial of a frame's checksum, x^16 + x^15 + x^2 + 1


def open_flac(path: str, file: BinaryIO, size: int) -> BinaryIO | View:
    """Return a FLAC file whose header states the actual length, without an ID3v1 tag at its end.

    Args:
        path: the name for messages.
        file: a FLAC file, seekable.
        size: its length in bytes.

    Returns:
        `file`, or a view of it with a corrected header and without the tag.

    Raises:
        UserError: the length is not stated and the file does not end with a whole frame.
    """
    file.seek(0)
    head = bytearray(file.read(_HEAD))
    file.seek(max(0, size - _TAG))
    end = size - _TAG if file.read(3) == b"TAG" else size
    if len(head) < _HEAD or head[4] & 127 or int.from_bytes(head[18:26], "big") & (1 << _WIDTH) - 1:
        # the first block is not STREAMINFO (type 0), or states a length: libsndfile handles these
        return file if end == size else View(file, [(0, end)])
    block = int.from_bytes(head[10:12], "big")  # largest block size: samples of every frame except the last, if fixed
    start = max(_HEAD, end - _LONGEST)
    file.seek(start)
    length = _end_of_last_frame(file.read(end - start), block)
    if length is None:
        raise UserError(f"{path}: truncated: no whole FLAC frame at its end (replace the file)")
    head[18:26] = (int.from_bytes(head[18:26], "big") | length).to_bytes(8, "big")
    return View(file, [bytes(head), (_HEAD, end)])


def _end_of_last_frame(tail: bytes, block: int) -> int | None:
    """Return the length of the stream up to the end of `tail`, in samples; None if no whole frame ends there.

    Args:
        tail: the last bytes of the file.
        block: samples per frame of a stream whose frames, except the last, have one size.
    """
    # The checksum of a whole frame, its own at its end included, is 0.
    whole = (np.frombuffer(tail, np.uint8) == 0xFF) & (_suffix_crcs(tail) == 0)
    heads = (tail[at : at + 16] for at in np.flatnonzero(whole)[::-1])  # a frame header has at most 16 bytes
    return next((end for head in heads if (end := _end_of_frame(head, block)) is not None), None)


def _suffix_crcs(data: bytes) -> np.ndarray:
    """Return (bytes,): the CRC-16 of `data` from each byte to the end, by a frame's polynomial, with initial value 0.

    All are found in one pass, since a bit that is set adds x^(16 + number of bits after it), whatever the others are.
    """
    powers = [1]
    while len(powers) < _PERIOD:
        power = powers[-1] << 1
        powers.append(power ^ 0x18005 if power >> 16 else power)
    content = np.frombuffer(data, np.uint8)[::-1]
    added = np.zeros(len(content), np.uint16)
    for bit in range(8):
        exponents = (16 + bit + 8 * np.arange(_PERIOD)) % _PERIOD
        added ^= np.resize(np.array(powers, np.uint16)[exponents], len(content)) * (content >> bit & 1)
    return np.bitwise_xor.accumulate(added)[::-1]


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
    if code == 0 or rate == 15 or ones in (1, 8):  # a code or first byte that the format excludes
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
    if at >= len(head) or _crc(head[:at]) != head[at]:
        return None
    return (number if head[1] & 1 else number * block) + samples  # bit 0: frames differ in size, samples are numbered


def _crc(header: bytes) -> int:
    """Return the CRC-8 of a frame header, with 0 as its initial value."""
    value = 0
    for byte in header:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x107) if value & 0x80 else value << 1
    return value
