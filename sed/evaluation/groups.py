"""Scores by group of clips: by recording device, place, or any other column of a table.

A group's score is computed from its clips alone. The metrics keep the counts of each clip for the bootstrap; a group is
like a bootstrap sample that draws each of its clips once and no other, so nothing has to be counted again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sed.data.tables import audio_stem, tsv_rows
from sed.errors import UserError
from sed.evaluation.metrics.evaluate import Evaluation, number
from sed.evaluation.metrics.task import Problem

logger = logging.getLogger("sed.score")


def read_groups(path: str | Path, column: str) -> dict[str, str]:
    """Return {clip: its group} from a table with the columns `filename` and `column`; '' where the field is empty.

    Raises:
        UserError: a column is missing, or a clip is in two groups.
    """
    groups: dict[str, str] = {}
    for line, (filename, group) in tsv_rows(path, ("filename", column)):
        clip = audio_stem(filename)
        if groups.setdefault(clip, group) != group:
            raise UserError(f"{path}:{line}: {filename} is in '{groups[clip]}' and in '{group}' (keep one {column})")
    return groups


def by_group(problem: Problem, evaluation: Evaluation, groups: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Score each group.

    Args:
        problem: clips, classes and ground truth.
        evaluation: the metrics' values on all clips.
        groups: {clip: its group}; clips with '' or no entry are in no group. A warning counts those without entry.

    Returns:
        {group: its scores, with the numbers of `clips`, `events` and `classes` with ground truth}.

    Raises:
        UserError: none of the clips has a group.
    """
    group_of = np.array([groups.get(clip, "") for clip in problem.clips])
    names = sorted({*group_of.tolist()} - {""})
    if not names:
        raise UserError(
            f"--groups: none of the {len(problem.clips)} clips, such as {problem.clips[0]}, has a group "
            "(is the table of another set?)"
        )
    if lacking := [clip for clip in problem.clips if clip not in groups]:
        logger.warning(
            "--groups: the table lacks %d of the %d clips, such as %s: they are in no group",
            len(lacking),
            len(problem.clips),
            lacking[0],
        )
    weights = (group_of[None, :] == np.array(names)[:, None]).astype(float)  # (groups, clips)
    values: dict[str, np.ndarray] = {}
    for measured in evaluation.measured:
        for sample in measured.samplers().values():
            values |= sample(weights)
    keys = [entry.key for entry in evaluation.entries if entry.key in values]
    result: dict[str, dict[str, Any]] = {}
    for row, name in enumerate(names):
        events = weights[row, problem.truth.clip] > 0
        result[name] = {
            "clips": int(weights[row].sum()),
            "events": int(events.sum()),
            "classes": len(np.unique(problem.truth.label[events])),
            **{key: number(values[key][row]) for key in keys},
        }
    return result
