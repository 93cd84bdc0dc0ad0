"""Change-detection sound event bounding boxes (cSEBBs), after Ebbers et al., arXiv 2406.04212.

Thresholding lets an event's extent depend on the threshold. A bounding box has one extent and one confidence: its
borders lie where the posterior changes most, and a threshold only decides whether the box is there. Written from the
paper's description alone; the points below include our choices where it leaves details open.

1. Change: at every border between frames, the mean posterior of half a window after the border minus that of half a
   window before it (a step filter). Posteriors beyond the clip count as 0, so an event that is cut by an
   end of the clip still has both borders.
2. Candidates: in each run of rising posteriors the border of greatest change is an onset, in each run of falling ones
   an offset. So events and gaps alternate.
3. Merging, least contrast first: a gap whose mean posterior is not clearly below that of the higher of its two events
   joins them, and an event not clearly above the lower of its two gaps joins those. "Clearly" means by at least
   `absolute`, or by at least the factor `relative`; so a faint event in silence stays, with a low confidence.
4. Confidence: the mean posterior inside the box.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from sed.data.scores import FrameScores
from sed.evaluation.metrics.jit import compiled

LONGEST = 1 << 40
"""largest number of frames in half of the step filter: more than any clip has, and far from the limit of int64"""


def bounding_boxes(scores: FrameScores, parameters: Mapping[str, tuple[float, float, float]]) -> FrameScores:
    """Return scores that equal a box's confidence inside it and are 0 elsewhere.

    The new frames of a clip are the spans between neighbouring borders of its boxes. Decoding and exact PSDS then treat
    boxes as any scores; two boxes of a class never touch.
    parameters: {label: (length of the step filter in seconds, absolute limit of merging, relative limit)}.
    """
    frame = scores.frame_seconds()
    settings = [parameters[label] for label in scores.labels]
    seconds, absolute, relative = (np.array(column) for column in zip(*settings, strict=True))
    half = np.array([max(1, round(min(length / frame / 2, LONGEST))) for length in seconds])
    starts, onsets, offsets, values = [0], [], [], []
    for _, rows in scores.items():
        block = np.ascontiguousarray(scores.values[rows], dtype=float)
        onset, offset = scores.onset[rows], scores.offset[rows]
        label, begin, end, confidence = _boxes(block, half, absolute, relative)
        borders = np.unique(np.concatenate([[0, len(block)], begin, end]))
        table = np.zeros((len(borders) - 1, len(scores.labels)), scores.values.dtype)
        first, last = np.searchsorted(borders, begin), np.searchsorted(borders, end)
        for box in range(len(label)):
            table[first[box] : last[box], label[box]] = confidence[box]
        times = np.append(onset, offset[-1:])[borders]
        starts.append(starts[-1] + len(table))
        onsets.append(times[:-1])
        offsets.append(times[1:])
        values.append(table)
    return FrameScores(
        clips=scores.clips,
        labels=scores.labels,
        start=np.array(starts, np.int64),
        onset=np.concatenate(onsets),
        offset=np.concatenate(offsets),
        values=np.clip(np.concatenate(values), 0.0, 1.0),  # means by differences of sums may exceed 1 by rounding
        clip_values=scores.clip_values,
    )


@compiled
def _boxes(values, half, absolute, relative):  # type: ignore[no-untyped-def]
    """Return label, begin, end and confidence (boxes,) of a clip's boxes.

    values (frames, classes). begin and end are borders between frames: border i is the start of frame i, and the last
    one the end of the clip. half (classes,): half of the step filter, in frames; absolute and relative
    (classes,): limits of merging.
    """
    frames, classes = values.shape
    size = classes * (frames // 2 + 1)  # boxes and the gaps between them have a frame or more each
    label, begin, end = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    confidence = np.empty(size)
    count = 0
    sums = np.zeros(frames + 1)  # cumulative, so that a mean over any frames is one difference
    for k in range(classes):
        for row in range(frames):
            sums[row + 1] = sums[row] + values[row, k]
        border = _candidates(sums, half[k])
        mean = np.empty(len(border) - 1)  # means of gap, event, gap ... event, gap; the outer gaps may be empty
        for i in range(len(mean)):
            mean[i] = _mean(sums, border[i], border[i + 1])
        parts = _merge(border, mean, sums, absolute[k], relative[k])
        for i in range(1, parts, 2):
            label[count], begin[count], end[count], confidence[count] = k, border[i], border[i + 1], mean[i]
            count += 1
    return label[:count].copy(), begin[:count].copy(), end[:count].copy(), confidence[:count].copy()


@compiled
def _mean(sums, begin, end):  # type: ignore[no-untyped-def]
    """Return the mean of frames begin to end - 1 from cumulative sums; NaN without frames."""
    return (sums[end] - sums[begin]) / (end - begin) if end > begin else np.nan


@compiled
def _candidates(sums, half):  # type: ignore[no-untyped-def]
    """Return the borders 0, onset, offset, onset ... offset, end of the clip.

    Onsets are the borders of greatest change in each rising run, offsets those in each falling run.
    """
    frames = len(sums) - 1
    borders = np.empty(frames + 3, np.int64)  # the clip's start and end, and at most all frames + 1 borders
    borders[0] = 0
    count, best, best_at, rising = 1, 0.0, -1, True
    for border in range(frames + 1):
        after = sums[min(frames, border + half)] - sums[border]
        before = sums[border] - sums[max(0, border - half)]
        change = (after - before) / half
        if abs(change) < 1e-9:  # no change except for rounding errors of the sums
            continue
        if change < 0 and count == 1 and best_at < 0:  # a fall after rises too small to count: an onset comes first
            continue
        if (change > 0) != rising:
            if best_at >= 0:
                borders[count] = best_at
                count += 1
            rising, best, best_at = change > 0, 0.0, -1
        if abs(change) > best:
            best, best_at = abs(change), border
    if best_at >= 0 and not rising:
        borders[count] = best_at
        count += 1
    borders[count] = frames
    return borders[: count + 1]


@compiled
def _contrast(i, mean, previous, following, absolute, relative, at_ends):  # type: ignore[no-untyped-def]
    """Return by how much segment i differs from its neighbours; infinity if it is not to be merged with them.

    previous and following (segments,): each segment's neighbours, -1 for none. at_ends: whether events at an end of the
    clip, which have a single gap, may be merged with it.
    """
    if previous[i] < 0 or following[i] < 0:
        return np.inf
    before, after = mean[previous[i]], mean[following[i]]
    # Even segments are gaps, odd ones events. `x == x` is False for NaN, the mean of an empty gap.
    if i % 2 == 0:
        low, high = mean[i], max(before, after)
    elif before == before and after == after:
        low, high = min(before, after), mean[i]
    elif at_ends and (before == before or after == after):
        low, high = before if before == before else after, mean[i]
    else:
        return np.inf
    return high - low if high - low < absolute and high < relative * low else np.inf


@compiled
def _merge(border, mean, sums, absolute, relative):  # type: ignore[no-untyped-def]
    """Merge segments (gap, event, gap ... gap) in border and mean, in place; return how many are left.

    A merged segment keeps the index of its first one. The heap has (contrast, index) of all segments that may be
    merged, and outdated entries, which differ from `contrast` and are skipped. With a search of all segments before
    each merge, an hour of noise took 6 s per class, with the heap 0.1 s.
    """
    size = len(mean)
    previous, following = np.arange(-1, size - 1), np.arange(1, size + 1)
    following[-1] = -1
    end, contrast = border[1:].copy(), np.full(size, np.inf)
    heap = [(np.inf, 0)]  # never taken; it gives numba the type
    for i in range(size):
        contrast[i] = _contrast(i, mean, previous, following, absolute, relative, False)
        if contrast[i] < np.inf:
            heapq.heappush(heap, (contrast[i], i))
    last = size - 1
    while True:
        least, chosen = heap[0]
        if least < np.inf:
            heapq.heappop(heap)
            if contrast[chosen] != least:
                continue
        else:  # events at an end of the clip have a single gap, so they come last
            chosen = -1
            for i in (following[0], previous[last]):
                if i < 0:
                    continue
                value = _contrast(i, mean, previous, following, absolute, relative, True)
                if value < least:
                    least, chosen = value, i
            if chosen < 0:
                break
        first, third = previous[chosen], following[chosen]
        end[first], following[first] = end[third], following[third]
        if following[third] < 0:
            last = first
        else:
            previous[following[third]] = first
        contrast[chosen] = contrast[third] = np.inf
        mean[first] = _mean(sums, border[first], end[first])
        for i in (previous[first], first, following[first]):
            if i >= 0:
                contrast[i] = _contrast(i, mean, previous, following, absolute, relative, False)
                if contrast[i] < np.inf:
                    heapq.heappush(heap, (contrast[i], i))
    parts, i = 0, 0
    while i >= 0:
        border[parts], mean[parts], border[parts + 1] = border[i], mean[i], end[i]
        parts, i = parts + 1, following[i]
    return parts
