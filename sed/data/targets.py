"""Targets of training sets, indexed by clip; strong targets are stored as spans of events and expanded when read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from sed.data.labels import UNKNOWN, boundary
from sed.data.soft_events import SoftEvent
from sed.data.tables import Event


class Targets(Protocol):
    """Interface to the targets of clips: what training uses of the interface of NumPy's arrays. A row is a clip."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all targets: (clips, frames, classes) if strong, (clips, classes) if weak."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the targets: uint8 for hard ones, float32 for soft ones."""

    def __len__(self) -> int:
        """Return the number of clips."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the targets (rows, ...) of these rows (rows,)."""


class FrameTargets:
    """Strong targets (clips, frames, classes), stored as one span of frames per event.

    With hundreds of classes nearly all targets are 0: as an array, a clip of 447 classes and 1,000 frames takes
    0.45 MB; its spans take 13 bytes per event.
    """

    def __init__(self, first: np.ndarray, spans: np.ndarray, values: np.ndarray, *, frames: int, classes: int) -> None:
        """Store the spans.

        Args:
            first: (clips + 1,) index of each clip's first span; last, the number of spans.
            spans: (spans, 3) int32: first frame, frame after the last, index of the class. Where spans of one clip and
                class overlap, the later one counts.
            values: (spans,) target in each span: uint8 (1 or `UNKNOWN`), or float32 in [0, 1].
            frames: number of frames per clip.
            classes: number of classes.
        """
        self._first, self._spans, self._values = first, spans, values
        self.shape: tuple[int, ...] = (len(first) - 1, frames, classes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the targets: uint8 for hard ones, float32 for soft ones."""
        return self._values.dtype

    @staticmethod
    def of(
        clips: Iterable[Sequence[Event]],
        labels: Sequence[str],
        *,
        frames: int,
        frame_seconds: float,
        tags: Iterable[Sequence[str]] | None = None,
    ) -> FrameTargets:
        """Return the targets of events: 1 where active, `UNKNOWN` in all frames of a tag without events, else 0.

        Frame i lasts from i * frame_seconds to (i + 1) * frame_seconds. Onset and offset are rounded to the nearest
        frame boundary, halves up (`labels.boundary`). If both become the same boundary, the frame that holds the
        event's middle is active, and an event that begins in the last frame has that frame, so that no event is lost.
        What lies beyond the last frame is cut.

        Args:
            clips: each clip's events.
            labels: the classes.
            frames: number of frames per clip.
            frame_seconds: length of a frame in seconds.
            tags: each clip's tags, if known: a tagged label without events occurs in the clip at an unknown time.
                Tags that are not in `labels` are ignored.

        Returns:
            The targets.
        """
        clips = list(clips)
        column = {label: k for k, label in enumerate(labels)}
        spans: list[tuple[int, int, int, int]] = []
        first = np.zeros(len(clips) + 1, np.int64)
        tags_of_clips: Iterator[Sequence[str]] = iter([()] * len(clips) if tags is None else tags)
        for row, (events, clip_tags) in enumerate(zip(clips, tags_of_clips, strict=True)):
            for event in events:
                start, end = frames_of(event, frame_seconds)
                if start == frames and event.onset < frames * frame_seconds:
                    start -= 1  # it begins in the second half of the last frame, and must not be lost
                spans.append((start, end, column[event.label], 1))
            timed = {event.label for event in events}
            spans += [(0, frames, column[label], UNKNOWN) for label in set(clip_tags) - timed if label in column]
            first[row + 1] = len(spans)
        table = np.array(spans, np.int64).reshape(-1, 4)
        table[:, :2] = table[:, :2].clip(0, frames)
        values = table[:, 3].astype(np.uint8)
        return FrameTargets(first, table[:, :3].astype(np.int32), values, frames=frames, classes=len(labels))

    @staticmethod
    def soft(
        clips: Iterable[Sequence[SoftEvent]], labels: Sequence[str], *, frames: int, frame_seconds: float
    ) -> FrameTargets:
        """Return the float32 targets of soft labels, 0 outside their spans.

        Onset and offset are rounded to the nearest frame boundary, halves up. A frame's target is then the share of the
        annotators whose own events, rounded in the same way, are active in it. A span whose onset and offset become the
        same boundary has no frame.

        Args:
            clips: each clip's spans; those of one label do not overlap.
            labels: the classes.
            frames: number of frames per clip.
            frame_seconds: length of a frame in seconds.

        Returns:
            The targets.
        """
        column = {label: k for k, label in enumerate(labels)}
        first, spans, values = [0], [], []
        for events in clips:
            for event in events:
                borders = [min(boundary(time, frame_seconds), frames) for time in (event.onset, event.offset)]
                spans.append((*borders, column[event.label]))
                values.append(event.share)
            first.append(len(spans))
        table = np.array(spans, np.int32).reshape(-1, 3)
        return FrameTargets(np.array(first), table, np.array(values, np.float32), frames=frames, classes=len(labels))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the targets (rows, frames, classes) of these rows (rows,)."""
        rows = np.asarray(rows)
        targets = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        for target, row in zip(targets, rows, strict=True):
            own = slice(self._first[row], self._first[row + 1])  # the clip's spans
            for (start, end, column), value in zip(self._spans[own].tolist(), self._values[own].tolist(), strict=True):
                target[start:end, column] = value
        return targets


class JoinedTargets:
    """Targets of several sets: rows number the clips of all sets together, set after set."""

    def __init__(self, parts: Sequence[Targets], shape: Sequence[int]) -> None:
        """Join the targets of sets.

        Args:
            parts: the targets of each set; an empty sequence gives no rows.
            shape: shape of one clip's targets.
        """
        # An array without rows comes first, so that there is a type to return if there are no sets.
        self._parts: list[Targets] = [np.zeros((0, *shape), np.uint8), *parts]
        self.dtype = np.result_type(*(part.dtype for part in self._parts))
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return the targets (rows, ...) of these rows (rows,): float32 if any set's are soft, else uint8."""
        rows = np.asarray(rows)
        targets = np.empty((len(rows), *self.shape[1:]), self.dtype)
        part_of_row = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(part_of_row):
            at = np.flatnonzero(part_of_row == part)
            targets[at] = self._parts[part][rows[at] - self._starts[part]]
        return targets


def frames_of(event: Event, frame_seconds: float) -> tuple[int, int]:
    """Return the first frame of an event and the one after its last, at least one frame later.

    Onset and offset are rounded to the nearest frame boundary. If both become the same one, the event has the frame
    that holds its middle.
    """
    start, end = boundary(event.onset, frame_seconds), boundary(event.offset, frame_seconds)
    if start == end:
        start = int((event.onset + event.offset) / 2 / frame_seconds + 1e-6)  # 1e-6: rounding errors, as in `boundary`
        end = start + 1
    return start, end
