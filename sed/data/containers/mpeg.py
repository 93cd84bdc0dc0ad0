"""MPEG audio (MP3): frames are counted, since not all files state how many they have.

libsndfile takes the length from a Xing, Info or VBRI header, which is a frame without audio at the start of the file,
or estimates it from the first frame's bit rate, and stops there: of a file with a variable bit rate and without such a
header it reads only a part. Such a file is read with a correct Xing header put before it. The fields of a frame header
are those of ISO/IEC 11172-3 and 13818-3.
"""

from __future__ import annotations

import logging
from typing import BinaryIO, NamedTuple

from sed.data.containers.view import Span, View
from sed.errors import UserError

log = logging.getLogger("sed.audio")

# (1 for MPEG 1, 2 for MPEG 2 and 2.5; layer) -> bit rates in kbit/s of the header's bit rate field, 1 to 14
_RATES = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
# version field of a header (3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5) -> sample rates in Hz of its sample rate field
_HERTZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_BUFFER = 1 << 16  # bytes read at a time
_LARGEST = 2881  # bytes of the largest frame (layer II, 160 kbit/s at 8 kHz, padded): a truncated one is shorter
_SEARCHED = 1 << 20  # bytes in which the first frame must begin, else the file is not MPEG audio


class Frame(NamedTuple):
    """Content of a frame header."""

    size: int
    """bytes of the frame with its header"""
    samples: int
    """samples per channel"""
    kind: tuple[int, int, int]
    """version field, layer, sample rate in Hz: the same in all frames of a file"""
    side: int
    """bytes of side information after the four of the header; a Xing header follows them"""


def frame_of(head: bytes) -> Frame | None:
    """Return the frame whose header these four bytes are; None if they are not one, or state no bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate, hertz = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or rate in (0, 15) or hertz == 3:
        return None
    generation = 1 if version == 3 else 2
    kbits, frequency = _RATES[generation, layer][rate - 1], _HERTZ[version][hertz]
    padding = head[2] >> 1 & 1
    samples = {1: 384, 2: 1152, 3: 1152 if generation == 1 else 576}[layer]
    # bytes = samples / 8 * bit rate / sample rate; layer I counts in slots of four bytes
    slots = (12000 if layer == 1 else 125 * samples) * kbits // frequency + padding
    size = 4 * slots if layer == 1 else slots
    mono = head[3] >> 6 == 3
    side = ((17 if mono else 32) if generation == 1 else (9 if mono else 17)) if layer == 3 else 0
    return Frame(size, samples, (version, layer, frequency), side)


class Scan(NamedTuple):
    """The frames found in a file."""

    spans: list[Span]
    """(start, end) in bytes of runs of whole frames"""
    frames: int
    """number of frames, without the one whose Xing, Info or VBRI header states their number (`stated`)"""
    skipped: int
    """bytes between the runs, and after the last if they are neither a tag nor a truncated frame"""
    stated: int | None
    """number of frames stated by a Xing, Info or VBRI header; None without such a header, or if it states no number"""
    first: bytes
    """header of the first frame, four bytes"""


def open_mpeg(path: str, file: BinaryIO, size: int) -> View | None:
    """Return a view of the file's frames, with a header that states their number if libsndfile needs one.

    Args:
        path: the name for messages.
        file: a file, seekable.
        size: its length in bytes.

    Returns:
        The view; None if the file is not MPEG audio, or its frames state no bit rate (free format).

    Raises:
        UserError: more than one of the frames that its Xing, Info or VBRI header states is missing.
    """
    found = scan(file, size)
    if found is None:
        return None
    if found.stated is not None and found.frames < found.stated - 1:
        raise UserError(f"{path}: truncated: {found.frames} of {found.stated} frames (replace the file)")
    if found.skipped:
        log.warning("%s: %d bytes between or after MPEG frames of one kind were skipped", path, found.skipped)
    frame = frame_of(found.first)
    assert frame is not None
    layer = frame.kind[1]
    # Only layer III has such headers. One that is correct, give or take a frame (some writers, such as GStreamer's
    # xingmux, count the header's own), is kept, since it also states the encoder's delay.
    if layer < 3 or (found.stated is not None and found.frames <= found.stated + 1):
        return View(file, found.spans)
    spans = found.spans
    if found.stated is not None:  # the header describes only the first of several concatenated files
        spans = [(spans[0][0] + frame.size, spans[0][1]), *spans[1:]]
    return View(file, [xing_frame(found.first, found.frames), *spans])


def scan(file: BinaryIO, size: int) -> Scan | None:
    """Find the frames of a file of `size` bytes, all of the first one's kind; None if `_first_frame` finds none."""
    at = _after_tags(file)
    file.seek(at)
    start = None if file.read(4) == b"fLaC" else _first_frame(file, at, size)  # FLAC may follow an ID3 tag, too
    if start is None:
        return None
    file.seek(start)
    first = file.read(4)
    frame = frame_of(first)
    assert frame is not None
    kind = frame.kind
    stated = _stated(file, start, frame)
    spans: list[Span] = []
    frames = skipped = 0
    begin = at = start
    buffer, offset = b"", 0
    while at + 4 <= size:
        if not offset <= at <= offset + len(buffer) - 4:
            file.seek(at)
            buffer, offset = file.read(_BUFFER), at
        frame = frame_of(buffer[at - offset : at - offset + 4])
        if frame is not None and frame.kind == kind and at + frame.size <= size:
            frames += 1
            at += frame.size
            continue
        if at > begin:
            spans.append((begin, at))
        following = _first_frame(file, at, size, kind)
        if following is None:
            skipped += size - at if size - at >= _LARGEST and not _is_tag(file, at) else 0
            break
        skipped += following - at
        begin = at = following
    if at > begin and (not spans or spans[-1] != (begin, at)):  # a run up to a break is listed already
        spans.append((begin, at))
    return Scan(spans, frames - (stated is not None), skipped, stated, first)


def _after_tags(file: BinaryIO) -> int:
    """Return the position after the ID3v2 tags at the start of a file, in bytes; 0 if there are none."""
    at = 0
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        length = sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))  # of the content: 4 times 7 bits
        footer = 10 * (head[5] >> 4 & 1)
        at += 10 + length + footer


def _first_frame(file: BinaryIO, at: int, size: int, kind: tuple[int, int, int] | None = None) -> int | None:
    """Return the position, from `at` on, of the next frame that two others follow (fewer at the file's end).

    A single header may occur by chance within other data.

    Args:
        file: seekable.
        at: where the search begins, in bytes.
        size: the file's length in bytes.
        kind: kind of the frames; None: any, but only in the next `_SEARCHED` bytes.
    """
    limit = min(size, at + _SEARCHED) if kind is None else size
    while at < limit:
        file.seek(at)
        block = file.read(_BUFFER + 4)
        index = block.find(b"\xff")
        while 0 <= index < _BUFFER:
            if _three_frames(file, at + index, size, kind):
                return at + index
            index = block.find(b"\xff", index + 1)
        at += _BUFFER
    return None


def _three_frames(file: BinaryIO, at: int, size: int, kind: tuple[int, int, int] | None) -> bool:
    """Return whether three frames of one kind follow from `at`; or one or two and then the end; or two and a tag."""
    for number in range(3):
        if at >= size and number:
            return True
        file.seek(at)
        frame = frame_of(file.read(4))
        if frame is None or (kind is not None and frame.kind != kind) or at + frame.size > size:
            return bool(number > 1 and frame is None and _is_tag(file, at))
        kind = frame.kind
        at += frame.size
    return True


def _is_tag(file: BinaryIO, at: int) -> bool:
    """Return whether an ID3v1, APE or Lyrics3 tag begins at `at`."""
    file.seek(at)
    return file.read(8)[:3] in (b"TAG", b"APE", b"LYR")


def _stated(file: BinaryIO, start: int, frame: Frame) -> int | None:
    """Return the number of frames that a Xing, Info or VBRI header in the first frame states; None if none does.

    `start`: the position of the first frame in bytes.
    """
    file.seek(start)
    data = file.read(frame.size)
    tag = data[4 + frame.side : 8 + frame.side]
    if tag in (b"Xing", b"Info"):
        at = 8 + frame.side
        flags = int.from_bytes(data[at : at + 4], "big")
        return int.from_bytes(data[at + 4 : at + 8], "big") if flags & 1 else None
    if data[36:40] == b"VBRI":  # 32 bytes after the frame's header, whatever its side information
        return int.from_bytes(data[50:54], "big")
    return None


def xing_frame(head: bytes, frames: int) -> bytes:
    """Return a frame with a Xing header that states `frames`, for a stream whose frames have the header `head`."""
    for rate in range(1, 15):  # the lowest bit rate whose frame has room for the Xing header
        # without a CRC, with this bit rate and without padding; sample rate and channel mode as in `head`
        four = bytes([head[0], head[1] | 1, rate << 4 | head[2] & 0x0C, head[3]])
        frame = frame_of(four)
        if frame is not None and frame.size >= 4 + frame.side + 16:  # 12 of the header, 4 in reserve (our choice)
            break
    else:
        raise ValueError("no frame has room for a Xing header")
    content = four + bytes(frame.side) + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return content + bytes(frame.size - len(content))
