"""The score of an epoch against sed.bin.score on the same posteriors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_model import call

from sed.bin import score
from sed.data.directory import DataDir
from sed.data.scores import Scores, write_scores
from sed.evaluation.selection import SCORES, Selection

LABELS = ["Cat", "Dog", "Speech"]
FRAMES, SECONDS = 50, 0.02


@pytest.fixture(scope="module")
def posteriors(dump: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return clips, frame posteriors (clips, frames, labels) and clip posteriors (clips, labels).

    They are the truth of synth_valid under noise, in the reverse order of its clips, with 10 loud frames after each
    clip's end.
    """
    data, rng = DataDir.load(dump / "synth_valid", LABELS), np.random.default_rng(0)
    clips = list(reversed(data.clips))
    frame = rng.uniform(0, 0.3, (len(clips), FRAMES + 10, len(LABELS)))
    assert data.events is not None
    for row, clip in enumerate(clips):
        for event in data.events[clip]:
            at = slice(round(event.onset / SECONDS), round(event.offset / SECONDS))
            frame[row, at, LABELS.index(event.label)] += 0.6 * rng.random() + 0.1
    frame[::2] *= 0.2  # clips whose events score less than the others' noise
    frame[:, FRAMES:] = 0.9
    return clips, frame.astype(np.float32), rng.uniform(0.3, 1, (len(clips), len(LABELS))).astype(np.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("post", ["paper", "none", "median"])
def test_scores_are_those_of_stage_5(
    post: str, dump: Path, posteriors: tuple[list[str], np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    folder, (clips, frame, clip) = dump / "synth_valid", posteriors
    silent = frame.copy()
    silent[:, FRAMES:] = 0
    write_scores(
        tmp_path / "scores.h5", Scores(clips=clips, labels=LABELS, frame=silent, clip=clip, frame_seconds=SECONDS)
    )
    options = ["--ground-truth", folder / "events.tsv", "--durations", folder / "durations.tsv", "--bootstrap", 0]
    options += ["--post-processing", post, "--no-report", "--jobs", 1, "--out", tmp_path / "result.json"]
    assert call(score, tmp_path / "scores.h5", *options) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    before = frame.copy()
    found = {
        name: Selection(name, folder, clips=clips, labels=LABELS, frame_seconds=SECONDS, post_processing=post)(
            frame, clip
        )
        for name in SCORES
    }
    keys = {"event_f1": "event_f1_macro", "psds1": "psds1_exact", "psds1_class_mean": "psds1_exact_class_mean"}
    assert found == pytest.approx({name: result[key] for name, key in keys.items()}, abs=1e-9)
    assert 0 < found["event_f1"] < 1 and 0 < found["psds1"] < 1
    assert np.array_equal(frame, before)
