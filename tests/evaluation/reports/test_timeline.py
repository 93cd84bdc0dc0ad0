"""One clip over time: classes that have a row, positions of events, and the audio of the player."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from sed.data.scores import FrameScores
from sed.errors import UserError
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.task import Problem
from sed.evaluation.reports.timeline import LEFT, WIDTH, Sources, clip_figure

NOTHING = Sources(None, None)
MADE = Problem(
    clips=["a", "b"],
    labels=["x", "<y>", "z", "w"],
    durations=np.array([4.0, 10.0]),
    truth=EventTable.of([0, 1], [0, 1], [1.0, 2.5], [3.0, 7.5]),
)
FOUND = EventTable.of([1], [2], [0.0], [10.0])


def scores(value: float) -> FrameScores:
    """Return ten frames of clip b only, in which class w has this score and the others 0.1."""
    values = np.full((10, 4), 0.1, np.float32)
    values[:, 3] = value
    return FrameScores(
        clips=["a", "b"],
        labels=MADE.labels,
        start=np.array([0, 0, 10]),
        onset=np.arange(10.0),
        offset=np.arange(10.0) + 1,
        values=values,
    )


def rows_of(picture: str) -> list[str]:
    texts = [e.text or "" for e in ElementTree.fromstring(picture).iter() if e.tag.endswith("text")]
    return [text for text in texts if not text.isdigit()]


def test_only_this_clips_events_have_rows() -> None:
    assert rows_of(clip_figure(MADE, 0, FOUND, None, NOTHING)) == ["x"]
    assert rows_of(clip_figure(MADE, 1, FOUND, None, NOTHING)) == ["<y>", "z"]
    assert rows_of(clip_figure(MADE, 0, FOUND, scores(0.9), NOTHING)) == ["x"]  # whose scores have no frames


def test_a_curve_is_above_its_threshold_if_its_score_is() -> None:
    thresholds = {"x": 0.2, "<y>": 0.3, "z": 0.4, "w": 0.6}
    drawn = clip_figure(MADE, 1, FOUND, scores(0.9), NOTHING, thresholds)
    assert re.findall("<title>threshold (.*?)</title>", drawn) == ["0.3", "0.4", "0.6"]
    lines = [float(y) for y in re.findall(r'y1="([\d.]+)"[^>]*stroke-dasharray', drawn)]
    curves = [float(re.split("[ ,]", points)[1]) for points in re.findall('<polyline points="(.*?)"', drawn)]
    above = [curve < line for curve, line in zip(curves, lines, strict=True)]  # y grows downwards
    assert above == [False, False, True]
    assert "dasharray" not in clip_figure(MADE, 1, FOUND, None, NOTHING, thresholds)  # without curves


def test_a_class_with_a_likely_score_has_a_row_and_its_curve() -> None:
    assert rows_of(clip_figure(MADE, 1, FOUND, scores(0.31), NOTHING)) == ["<y>", "z", "w"]
    assert rows_of(clip_figure(MADE, 1, FOUND, scores(0.29), NOTHING)) == ["<y>", "z"]
    assert clip_figure(MADE, 1, FOUND, scores(0.9), NOTHING).count("<polyline") == 3


def test_events_lie_at_their_times() -> None:
    picture = ElementTree.fromstring(clip_figure(MADE, 1, FOUND, None, NOTHING))
    boxes = [(float(e.get("x", "")), float(e.get("width", ""))) for e in picture.iter() if e.tag.endswith("rect")]
    second = (WIDTH - LEFT - 8) / 10  # pixels; the margin at the right has 8
    np.testing.assert_allclose(np.array(boxes), [(LEFT + 2.5 * second, 5 * second), (LEFT, 10 * second)], atol=0.1)


@pytest.mark.parametrize(("seconds", "last", "number"), [(4.0, "4", 5), (10.0, "10", 11), (3600.0, "3600", 19)])
def test_the_seconds_of_a_long_recording_do_not_overlap(seconds: float, last: str, number: int) -> None:
    made = Problem(
        clips=["a"], labels=["x"], durations=np.array([seconds]), truth=EventTable.of([0], [0], [1.0], [3.0])
    )
    shown = re.findall('class="tick">(.*?)<', clip_figure(made, 0, made.truth, None, NOTHING))
    assert shown[-1] == last and len(shown) == number


@pytest.mark.parametrize("listed", [False, True])
def test_a_clip_is_played_from_its_folder_or_list(tmp_path: Path, listed: bool) -> None:
    tone = 0.5 * np.sin(np.arange(8000) / 5)
    soundfile.write(tmp_path / "b.wav", tone, 8000)
    place = tmp_path
    if listed:
        place = tmp_path / "wav.scp"
        place.write_text(f"b {tmp_path / 'b.wav'}\n")
    player = Sources(None, place).player("b")
    kind, data = re.search(r'src="data:audio/(\w+);base64,([^"]+)"', player).groups()  # type: ignore[union-attr]
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == 8000 and kind in ("mpeg", "wav")
    assert np.sqrt((sound**2).mean()) == pytest.approx(np.sqrt((tone**2).mean()), rel=0.1)
    assert Sources(None, place).player("a") == ""


def test_a_recording_that_cannot_be_read_has_no_player_and_is_named(tmp_path: Path, caplog) -> None:
    (tmp_path / "a.wav").write_bytes(b"not audio")
    assert Sources(None, tmp_path).player("a") == ""
    assert f"no player in the report: {tmp_path / 'a.wav'}: not audio" in caplog.text


def test_a_missing_folder_of_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        Sources(None, tmp_path / "nowhere")
