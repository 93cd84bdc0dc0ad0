"""Long recordings, put together from the clips that they were cut into, on which window settings are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sed.data.audio import read_audio
from sed.data.directory import read_scp
from sed.data.prepare.clips import recording_of
from sed.data.synthesis.signals import RATE
from sed.data.tables import read_events_tsv
from sed.evaluation.pieces import put_back
from sed.prediction.soundscapes import Recording


def join_clips(folder: Path, *, minutes: float) -> tuple[list[Recording], int]:
    """Join the clips of a data directory that follow one another in a recording.

    Recordings of one clip are left out, because a single window covers them whatever the settings are; so are
    recordings that lack a clip before their last one, or whose clips before it differ in length. One that lacks its
    last clips is used as if it ended there.

    Args:
        folder: data directory with wav.scp and events.tsv, of clips that do not overlap.
        minutes: use recordings in random order (with a fixed seed) until the next one would exceed this much sound; the
            first is used whatever its length.

    Returns:
        The recordings, and the number of recordings that were not left out, before the limit of `minutes`.
    """
    events = read_events_tsv(folder / "events.tsv")
    clips: dict[str, list[tuple[float, float, str, str]]] = {}
    for clip, path in read_scp(folder / "wav.scp").items():
        if found := recording_of(clip):
            recording, start, end = found
            clips.setdefault(recording, []).append((start, end, clip, path))
    whole = [sorted(some) for _, some in sorted(clips.items()) if len(some) > 1]
    whole = [some for some in whole if _follow(some)]
    recordings: list[Recording] = []
    for number in np.random.default_rng(0).permutation(len(whole)):
        some = whole[number]
        if recordings and sum(one.minutes for one in recordings) + some[-1][1] / 60 > minutes:
            break
        audio = np.concatenate([*map(_fitted, some[:-1]), read_audio(some[-1][3], RATE)])
        truth = put_back([events.get(clip, []) for _, _, clip, _ in some], some[0][1])
        recordings.append(Recording(audio, truth, len(audio) / RATE / 60))
    return recordings, len(whole)


def _fitted(clip: tuple[float, float, str, str]) -> np.ndarray:
    """Return a clip's samples, cut or padded with zeros to the length that its id states.

    So the next clip begins where `put_back` places its events.
    """
    start, end, _, path = clip
    samples, audio = round(end * RATE) - round(start * RATE), read_audio(path, RATE)
    return np.pad(audio[:samples], (0, max(0, samples - len(audio))))


def _follow(clips: list[tuple[float, float, str, str]]) -> bool:
    """Return whether clips (start, end, ...) in order of time cover a recording from its start without a gap.

    All but the last, which may be shorter, must have the same length.
    """
    seconds = clips[0][1]
    # start, end, start, ... of clips of this length: 0, 1, 1, 2, 2, 3 ... lengths, up to the rounding of ids to 1 ms
    borders = [border for start, end, *_ in clips for border in (start, end)][:-1]
    return all(abs(border - (number + 1) // 2 * seconds) < 0.002 for number, border in enumerate(borders))
