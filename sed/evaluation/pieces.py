"""Splitting of a recording's events into those of the clips that it is cut into, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence

from sed.data.tables import Event

SHORTEST = 0.01
"""seconds; shorter pieces of a cut event, left at a clip's border by rounding, are dropped (chosen by hand)"""


def in_pieces(events: Sequence[Event], seconds: float, count: int) -> list[list[Event]]:
    """Cut a recording's events at the borders of its clips.

    Args:
        events: those of the whole recording.
        seconds: length of a clip.
        count: number of clips.

    Returns:
        The events of each clip, with times from the clip's start. What lies after the last clip is left out.
    """
    pieces: list[list[Event]] = [[] for _ in range(count)]
    for onset, offset, label in events:
        for number in range(int(onset / seconds), min(count, int(offset / seconds) + 1)):
            start = number * seconds
            begin, end = max(0.0, onset - start), min(seconds, offset - start)
            is_whole = start <= onset < offset <= start + seconds
            if is_whole or end - begin >= SHORTEST:
                pieces[number].append(Event(begin, end, label))
    return pieces


def put_back(pieces: Sequence[Sequence[Event]], seconds: float) -> list[Event]:
    """Join the events of a recording's clips; two of a class that touch at a clip's border become one.

    Of several of a class that reach a clip's end, only the longest is kept; of several that begin at a clip's start,
    the longest is joined, and the others stay as they are.

    seconds: length of a clip; returned times are from the recording's start.
    """
    open_at_cut: dict[str, Event] = {}  # {label: event that reaches the end of the previous clip}
    whole: list[Event] = []
    for number, events in enumerate(pieces):
        reaching_end: dict[str, Event] = {}
        for onset, offset, label in sorted(events, key=lambda event: (event.onset, -event.offset)):
            event = Event(onset + number * seconds, min(offset, seconds) + number * seconds, label)
            if onset == 0 and label in open_at_cut:
                event = event._replace(onset=open_at_cut.pop(label).onset)
            if offset >= seconds:
                reaching_end.setdefault(label, event)  # the longest comes first; others lie within it
            else:
                whole.append(event)
        whole += open_at_cut.values()
        open_at_cut = reaching_end
    return sorted([*whole, *open_at_cut.values()])
