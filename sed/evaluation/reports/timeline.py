"""Picture of a clip over time: log-mel, truth, detections and posteriors; and a player if there is audio."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sed.data.audio import opened
from sed.data.directory import read_scp
from sed.data.recordings import recordings_of
from sed.data.scores import FrameScores
from sed.data.store import FeatureStore
from sed.data.tables import audio_stem
from sed.errors import UserError
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports.html import escape
from sed.evaluation.reports.svg import png, ticks

log = logging.getLogger("sed.report")

# Pixels: width of the picture and of its left margin, height of the log-mel and of the row of a class. Colours such as
# var(--c) are those of the style of `html`.
WIDTH, LEFT, MEL, ROW = 900, 190, 120, 44
TICKS = 20  # largest number of intervals of the time axis, each of whole seconds


class Sources:
    """Sources of the clips' log-mel and audio.

    features: folder of a dumped set; audio: folder of audio files, or wav.scp. Either may be None. UserError is raised
    if one does not exist, or the dump or a table cannot be read.
    """

    def __init__(self, features: Path | None, audio: Path | None) -> None:
        self.store = FeatureStore(features) if features else None
        self.rows = {clip: row for row, clip in enumerate(self.store.clips)} if self.store else {}
        self.audio = _audio_files(audio) if audio else {}

    def logmel(self, clip: str) -> np.ndarray | None:
        """Return log-mel (bins, frames) from 0 to 1, highest band first; None without features of the clip.

        0 and 1 are percentiles of the clip, so that single loud or silent frames do not set the range.
        From 1,000 frames or 128 bins on, only every nth is kept, so that the page stays small.
        """
        if self.store is None or clip not in self.rows:
            return None
        row = self.rows[clip]
        values = self.store.read([row])[0][: max(1, int(self.store.valid[row]))].astype(np.float32)
        low, high = np.percentile(values, [5, 99.7])
        picture = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1).T[::-1]
        step = max(1, picture.shape[1] // 500)
        return picture[:: max(1, picture.shape[0] // 64), ::step]

    def player(self, clip: str) -> str:
        """Return an HTML audio element that contains the recording; empty without an audio file that can be read."""
        path = self.audio.get(clip)
        if path is None or not Path(path).is_file():
            return ""
        import soundfile

        try:
            with opened(path) as recording:
                rate, sound = recording.rate, np.concatenate(list(recording.blocks)).clip(-1, 1)
        except UserError as error:  # scores do not depend on the player
            log.warning("no player in the report: %s", error)
            return ""
        buffer = io.BytesIO()
        try:
            soundfile.write(buffer, sound, rate, format="MP3", subtype="MPEG_LAYER_III")
            kind = "audio/mpeg"
        except (RuntimeError, ValueError):  # a libsndfile without MP3
            buffer = io.BytesIO()
            soundfile.write(buffer, sound, rate, format="WAV", subtype="PCM_16")
            kind = "audio/wav"
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'<audio controls preload="none" aria-label="{escape(clip)}" src="data:{kind};base64,{data}"></audio>'


def _audio_files(path: Path) -> dict[str, str]:
    if path.is_file():
        return read_scp(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder (--audio takes a folder of sounds or a wav.scp)")
    return {audio_stem(file.name): str(file) for file in recordings_of(path, log)}


def clip_figure(
    problem: Problem,
    clip: int,
    detections: EventTable,
    scores: FrameScores | None,
    sources: Sources,
    thresholds: Mapping[str, float] | None = None,
) -> str:
    """Draw one clip over time, with a row for each class that is true, detected or has high scores.

    Args:
        problem: clips, classes and ground truth.
        clip: index of the clip.
        detections: detections of all clips.
        scores: frame scores of all clips; None to draw none.
        sources: where the clip's log-mel comes from.
        thresholds: {class: threshold of its scores}, drawn as dotted lines; None to draw none.

    Returns:
        An svg element.
    """
    seconds = float(problem.durations[clip])
    truth = problem.truth.where(problem.truth.clip == clip)
    found = detections.where(detections.clip == clip)
    rows = slice(0, 0) if scores is None else slice(int(scores.start[clip]), int(scores.start[clip + 1]))
    shown = set(truth.label.tolist()) | set(found.label.tolist())
    if scores is not None and rows.stop > rows.start:
        # the six classes with the highest scores, if above 0.3, have a row even if they are not detected
        likely = np.flatnonzero(scores.values[rows].max(0) > 0.3)
        shown |= set(likely[np.argsort(-scores.values[rows].max(0)[likely])][:6].tolist())
    mel = sources.logmel(problem.clips[clip])
    top = MEL + 8 if mel is not None else 4
    height = top + ROW * max(1, len(shown)) + 26
    scale = (WIDTH - LEFT - 8) / seconds
    name = escape(problem.clips[clip])
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{name} over time"><title>{name}</title>']
    if mel is not None:
        parts.append(
            f'<image x="{LEFT}" y="2" width="{seconds * scale:.1f}" height="{MEL}" preserveAspectRatio="none" '
            f'href="{png(mel)}"/><text x="{LEFT - 8}" y="{MEL / 2:.0f}" text-anchor="end">log-mel</text>'
        )
    for second in ticks(0, seconds, TICKS):
        if second % 1:
            continue
        x = LEFT + second * scale
        parts.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{height - 20}" class="axis"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle" class="tick">{second:g}</text>')
    for place, label in enumerate(sorted(shown)):
        row = _row(problem.labels[label], label, top + place * ROW, scale, truth, found, scores, rows)
        threshold = None if thresholds is None or scores is None else thresholds.get(problem.labels[label])
        parts += [row, "" if threshold is None else _threshold(threshold, top + place * ROW, seconds * scale)]
    return "".join(parts) + "</svg>"


def _row(
    name: str,
    label: int,
    y: float,
    scale: float,
    truth: EventTable,
    found: EventTable,
    scores: FrameScores | None,
    rows: slice,
) -> str:
    """Draw the row of a class: true events, detections below them, and the curve of its scores.

    Args:
        name: name of the class.
        label: its index.
        y: top of the row in pixels.
        scale: pixels per second.
        truth: true events of the clip, of all classes.
        found: detections in the clip, of all classes.
        scores: frame scores of all clips; None to draw none.
        rows: the clip's frames in `scores`. From 900 on, only every nth is drawn, so that the page stays small.

    Returns:
        SVG elements.
    """
    short = name if len(name) <= 24 else name[:23] + "…"
    parts = [f'<text x="{LEFT - 8}" y="{y + 22}" text-anchor="end">{escape(short)}</text>']
    for table, at, ink, word in ((truth, y + 4, "var(--c)", "truth"), (found, y + 14, "var(--a)", "detected")):
        chosen = table.where(table.label == label)
        for onset, offset in zip(chosen.onset, chosen.offset, strict=True):
            width = max(1.0, (offset - onset) * scale)
            parts.append(
                f'<rect x="{LEFT + onset * scale:.1f}" y="{at}" width="{width:.1f}" height="8" rx="2" fill="{ink}">'
                f"<title>{escape(name)}, {word}: {onset:.2f} to {offset:.2f} s</title></rect>"
            )
    if scores is not None and rows.stop > rows.start:
        values, times = scores.values[rows, label], (scores.onset[rows] + scores.offset[rows]) / 2
        step = max(1, len(values) // 450)
        points = " ".join(
            f"{LEFT + t * scale:.1f},{_height(y, float(v)):.1f}"
            for t, v in zip(times[::step], values[::step], strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="var(--b)" stroke-width="1.4"/>')
    return "".join(parts)


def _threshold(value: float, y: float, width: float) -> str:
    """Draw a threshold of scores in the row that begins at y."""
    at = _height(y, value)
    return (
        f'<line x1="{LEFT}" y1="{at:.1f}" x2="{LEFT + width:.1f}" y2="{at:.1f}" stroke="var(--dim)" '
        f'stroke-dasharray="2 3"><title>threshold {value:g}</title></line>'
    )


def _height(y: float, score: float) -> float:
    """Return the y coordinate of a score from 0 to 1, in the row that begins at y, below truth and detections."""
    return y + 41 - 16 * score  # pixels: the curve is 16 high and ends 3 above the next row (ROW)
