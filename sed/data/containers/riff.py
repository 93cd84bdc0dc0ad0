"""WAV, Wave64, AIFF, AU and CAF: uncompressed samples after a header with their length, which may be wrong.

Writers to a pipe cannot go back and fill the length in: as a placeholder ffmpeg leaves 0xFFFFFFFF, SoX 0x7ffff000 (in
AIFF about 0x7f000000), arecord 0x80000000, others 0. The samples of such a file go up to its end. Any other file with
fewer samples than its header states is truncated.

All but AU consist of chunks: a name of four bytes, the length of the content in bytes, the content (in WAV and AIFF, a
padding byte follows an odd length); in Wave64 the name has 16 bytes, and the length counts itself and the name.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import BinaryIO, Literal

from sed.data.containers.view import View
from sed.errors import UserError

STREAMED = 0x7FFF0000
"""lengths of data in bytes from this value on are, in a shorter file, placeholders of a writer to a pipe"""
STREAMED_AIFF = 0x7EFF0000
"""the same for AIFF: SoX states the largest whole number of frames in 0x7f000000 bytes"""
STREAMED_64 = 1 << 62
"""the same for lengths of 64 bits"""
SLACK = 64
"""bytes by which a header may overstate the data: some writers count the header or another chunk, too"""
LARGEST = (1 << 32) + 7
"""most bytes of a file whose length a RIFF header can state: 32 bits, `RIFF` and the length itself not counted"""
MOST_CHUNKS = 10_000
"""chunks per file before its samples (our choice); a gigabyte of zeros parses as a hundred million empty chunks"""
Order = Literal["little", "big"]
"""byte order of a header"""


def _limited(path: str) -> Iterator[bool]:
    """Yield True MOST_CHUNKS times, then raise UserError: no intact file has more chunks before its samples."""
    yield from repeat(True, MOST_CHUNKS)
    raise UserError(f"{path}: more than {MOST_CHUNKS} chunks in its header: damaged (replace the file)")


def open_wav(path: str, file: BinaryIO, size: int) -> BinaryIO | View:
    """Return a WAV file whose header states the actual length.

    Args:
        path: the name for messages.
        file: a RIFF, RIFX (the same, big-endian) or RF64 file, seekable.
        size: its length in bytes.

    Returns:
        `file`, or a view of it with a corrected header.

    Raises:
        UserError: samples that the header announces are missing, there are none, the file has too many chunks, or it
            is over 4 GB without stating its length.
    """
    file.seek(0)
    order: Order = "big" if file.read(4) == b"RIFX" else "little"
    at, wide, more = 12, 0, _limited(path)  # 12: bytes before the first chunk; wide: RF64's length of the samples
    while at + 8 <= size and next(more):
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], order)
        if chunk[:4] == b"ds64":
            wide = int.from_bytes(file.read(16)[8:], "little")
        if chunk[:4] == b"data":
            exact = length == 0xFFFFFFFF and 0 < wide < STREAMED_64
            return _with_length(path, file, size, at, wide if exact else length, exact=exact, order=order)
        at += 8 + length + length % 2
    raise UserError(f"{path}: truncated: a WAV header without samples (replace the file)")


def _with_length(
    path: str, file: BinaryIO, size: int, at: int, length: int, *, exact: bool, order: Order
) -> BinaryIO | View:
    """Return a WAV file whose header states the actual length.

    Args:
        path: the name for messages.
        file: the file.
        size: its length in bytes.
        at: position of its data chunk in bytes.
        length: bytes of samples that the header states.
        exact: whether that is the length of 64 bits, which is no placeholder.
        order: byte order of the header.
    """
    available = size - at - 8
    # In a file over 4 GB, a length of 32 bits may be the remainder of the actual one.
    if length and length <= available and (exact or size <= LARGEST):
        return file
    if length == 0 and _chunks_to_the_end(path, file, at + 8, size, order):
        raise UserError(f"{path}: no samples (replace the file)")
    slack = 0 if size > LARGEST else SLACK  # the header of a larger file cannot be corrected
    if length and (exact or length < STREAMED) and length - available > slack:
        raise UserError(f"{path}: truncated: {available} of {length} bytes of samples (replace the file)")
    if size > LARGEST:
        remedy = "convert it: ffmpeg -ignore_length 1 -i IN OUT.flac"
        raise UserError(f"{path}: over 4 GB, a length that its header cannot state ({remedy})")
    if available <= 0:
        raise UserError(f"{path}: no samples (replace the file)")
    file.seek(0)
    head = bytearray(file.read(at + 8))
    head[:8] = (b"RIFX" if order == "big" else b"RIFF") + (size - 8).to_bytes(4, order)
    head[at + 4 : at + 8] = available.to_bytes(4, order)
    return View(file, [bytes(head), (at + 8, size)])


def _chunks_to_the_end(path: str, file: BinaryIO, at: int, size: int, order: Order) -> bool:
    """Return whether nothing but whole chunks follows from `at`: then a stated length of 0 is correct."""
    more = _limited(path)
    while at + 8 <= size and next(more):
        file.seek(at)
        chunk = file.read(8)
        if not chunk[:4].replace(b"_", b"").strip().isalnum():  # no name as `LIST`, `cue ` or `_PMX`: these are samples
            return False
        length = int.from_bytes(chunk[4:], order)
        at += 8 + length + length % 2
    return at >= size and at - size <= 1  # the last chunk's padding byte may be missing


def check_aiff(path: str, file: BinaryIO, size: int) -> None:
    """Check that an AIFF file has the samples that its header states; libsndfile reads what there is without an error.

    Args:
        path: the name for messages.
        file: an AIFF file, seekable.
        size: its length in bytes.

    Raises:
        UserError: samples are missing, or the file has too many chunks.
    """
    at, more = 12, _limited(path)  # 12: bytes before the first chunk
    while at + 8 <= size and next(more):
        file.seek(at)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "big")
        if chunk[:4] == b"SSND":
            if length < STREAMED_AIFF and at + 8 + length > size + SLACK:
                got, stated = max(0, size - at - 16), length - 8  # without the chunk's offset and block size
                raise UserError(f"{path}: truncated: {got} of {stated} bytes of samples (replace the file)")
            return
        at += 8 + length + length % 2
    raise UserError(f"{path}: truncated: an AIFF header without samples (replace the file)")


def check_au(path: str, file: BinaryIO, size: int) -> None:
    """Check that an AU file has the samples that its header announces.

    Args:
        path: the name for messages.
        file: an AU file of either byte order, seekable.
        size: its length in bytes.

    Raises:
        UserError: samples are missing.
    """
    file.seek(0)
    order: Order = "little" if file.read(4) == b"dns." else "big"
    start, length = (int.from_bytes(file.read(4), order) for _ in range(2))
    if length < STREAMED and start + length > size + SLACK:
        raise UserError(f"{path}: truncated: {max(0, size - start)} of {length} bytes of samples (replace the file)")


def open_w64(path: str, file: BinaryIO, size: int) -> BinaryIO | View:
    """Return a Wave64 file whose header states the actual length, also if it was written to a pipe.

    Args:
        path: the name for messages.
        file: a Wave64 file, seekable.
        size: its length in bytes.

    Returns:
        `file`, or a view of it with a corrected header.

    Raises:
        UserError: samples that the header announces are missing, or the file has too many chunks.
    """
    at, more = 40, _limited(path)  # after the GUID and length of the file, and the GUID of the format
    while at + 24 <= size and next(more):
        file.seek(at)
        chunk = file.read(24)
        length = int.from_bytes(chunk[16:], "little")  # size of the chunk including its header
        if chunk[:4] == b"data":
            if length >= STREAMED_64:
                file.seek(0)
                head = bytearray(file.read(at + 24))
                head[16:24], head[at + 16 : at + 24] = size.to_bytes(8, "little"), (size - at).to_bytes(8, "little")
                return View(file, [bytes(head), (at + 24, size)])
            if at + length - size > SLACK:
                there = f"{size - at - 24} of {length - 24} bytes"
                raise UserError(f"{path}: truncated: {there} of samples (replace the file)")
            break
        at += max(24, length + -length % 8)  # chunks begin at multiples of 8 bytes
    return file


def open_caf(path: str, file: BinaryIO, size: int) -> BinaryIO | View:
    """Return a CAF file whose header states the actual length, also if it was written to a pipe, with -1 as length.

    Args:
        path: the name for messages.
        file: a CAF file, seekable.
        size: its length in bytes.

    Returns:
        `file`, or a view of it with a corrected header.

    Raises:
        UserError: samples that the header announces are missing, or the file has too many chunks.
    """
    at, more = 8, _limited(path)  # 8: bytes before the first chunk
    while at + 12 <= size and next(more):
        file.seek(at)
        chunk = file.read(12)
        length = int.from_bytes(chunk[4:], "big", signed=True)
        if chunk[:4] == b"data" and length == -1:
            file.seek(0)
            return View(file, [file.read(at + 4) + (size - at - 12).to_bytes(8, "big"), (at + 12, size)])
        if chunk[:4] == b"data" and at + 12 + length - size > SLACK:
            got, stated = max(0, size - at - 16), length - 4  # without the chunk's edit count
            raise UserError(f"{path}: truncated: {got} of {stated} bytes of samples (replace the file)")
        if length < 0:
            break
        at += 12 + length
    return file
