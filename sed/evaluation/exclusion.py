"""Lists of clips that are left out of a scoring, such as those that an encoder was trained on.

One clip per line, named as in the table of durations or by its YouTube id alone, which excludes every clip of that
video. Lines that begin with `#` are comments.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sed.data.download.audioset import candidates
from sed.data.tables import audio_stem, read_lines
from sed.errors import UserError


def read_list(path: str | Path) -> list[str]:
    """Return the names in a list file, each once; UserError when it has none."""
    names = [audio_stem(line.strip()) for _, line in read_lines(path) if not line.lstrip().startswith("#")]
    if not names:
        raise UserError(f"{path}: names no clip (one per line: a file name or a YouTube id)")
    return list(dict.fromkeys(names))


def listed(names: Iterable[str], clips: Iterable[str]) -> dict[str, list[str]]:
    """Return {name: the clips that it matches, in their order} for every name."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for clip in clips:
        videos = (key.video for key in candidates(clip))
        for name in dict.fromkeys((clip, *videos)):  # the clip's full name takes precedence over the video's id
            if name in found:
                found[name].append(clip)
                break
    return found
