"""Scores of groups against scoring each group's clips alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import seeds
from problems import detections, problem, scores

from sed.errors import UserError
from sed.evaluation.groups import by_group, read_groups
from sed.evaluation.metrics.decode import decode, operating_points
from sed.evaluation.metrics.evaluate import evaluate, number, summary
from sed.evaluation.metrics.events import EventTable
from sed.evaluation.metrics.pipsds import PiPSDS
from sed.evaluation.metrics.psds import PSDS2
from sed.evaluation.metrics.table import chosen
from sed.evaluation.metrics.task import Problem


def only(table: EventTable, clips: list[int]) -> EventTable:
    """Return the events of some clips, numbered by their places in `clips`."""
    kept = table.where(np.isin(table.clip, clips))
    return replace(kept, clip=np.searchsorted(clips, kept.clip))


@pytest.mark.thorough
@settings(max_examples=3, deadline=None)
@given(seeds)
def test_a_group_scores_as_its_clips_do_alone(seed: int) -> None:
    made = problem(seed, clips=9, events=40)
    frames, found = scores(seed, made), detections(seed, made, count=40)
    points = operating_points(6)
    metrics = (*chosen(["mpauc", "onset", "errors"]), PiPSDS({"pipsds2": PSDS2}, (0.0, 0.5)))
    whole = evaluate(made, detections=found, points=decode(frames, points), scores=frames, raw=frames, metrics=metrics)
    names = np.random.default_rng(seed).choice(["hall", "office", ""], 9, p=[0.5, 0.4, 0.1]).tolist()
    names[:2] = ["hall", "office"]
    result = by_group(made, whole, dict(zip(made.clips, names, strict=True)))
    assert sorted(result) == ["hall", "office"]
    for name, ours in result.items():
        clips = [row for row, group in enumerate(names) if group == name]
        truth, here = only(made.truth, clips), [made.clips[row] for row in clips]
        assert (ours["clips"], ours["events"], ours["classes"]) == (len(clips), len(truth), len(np.unique(truth.label)))
        if not len(truth):
            continue
        part = Problem(clips=here, labels=made.labels, durations=made.durations[clips], truth=truth)
        own = frames.select(here)
        alone = evaluate(
            part, detections=only(found, clips), points=decode(own, points), scores=own, raw=own, metrics=metrics
        )
        expected = summary(part, alone)
        for entry in whole.entries:
            if entry.key not in expected:  # a custom PSDS that was not requested
                continue
            if expected[entry.key] is None:
                assert number(ours[entry.key]) is None, entry.key
            else:
                assert ours[entry.key] == pytest.approx(expected[entry.key], abs=1e-9), entry.key


def test_a_table_of_groups_is_read_by_any_name_of_a_clip(tmp_path: Path) -> None:
    table = tmp_path / "recordings.tsv"
    table.write_text("filename\tplace\tdevice\na/one.wav\thall\tx\ntwo\toffice\ty\nthree.flac\t\ty\n")
    assert read_groups(table, "place") == {"one": "hall", "two": "office", "three": ""}
    with pytest.raises(UserError, match="no column 'room'"):
        read_groups(table, "room")
    table.write_text("filename\tplace\none.wav\thall\none.wav\toffice\n")
    with pytest.raises(UserError, match=r":3: one.wav is in 'hall' and in 'office'"):
        read_groups(table, "place")


def test_clips_that_the_table_lacks_are_counted_and_empty_fields_are_not(log_lines: list[str]) -> None:
    made = problem(0, clips=3)
    whole = evaluate(made, detections=detections(0, made), points=None, scores=None)
    by_group(made, whole, {made.clips[0]: "hall", made.clips[1]: "", made.clips[2]: "hall"})
    assert log_lines == []
    by_group(made, whole, {made.clips[0]: "hall", made.clips[1]: ""})
    assert log_lines == [f"--groups: the table lacks 1 of the 3 clips, such as {made.clips[2]}: they are in no group"]


def test_clips_without_any_group_are_refused() -> None:
    made = problem(0)
    whole = evaluate(made, detections=detections(0, made), points=None, scores=None)
    with pytest.raises(UserError, match=r"none of the 5 clips, such as .*, has a group"):
        by_group(made, whole, {"other": "hall"})
