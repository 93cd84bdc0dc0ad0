"""Post-processing for prediction: what is stored with a model, and what options change of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sed.errors import UserError
from sed.evaluation.postprocessing.csebbs import BoxParameters
from sed.evaluation.postprocessing.filters import weak_mask, window_frames
from sed.evaluation.postprocessing.pipeline import BOXES, PostProcessing, resolve
from sed.prediction.decisions import PIECE, Decisions

BOX_SECONDS = 60.0
"""how far bounding boxes look to either side in long recordings"""


def stored_dict(post: PostProcessing, labels: Sequence[str]) -> dict[str, Any]:
    """What a packed model and an ONNX file keep; `from_stored` reads it."""
    return {**post.as_dict(), "threshold": dict(zip(labels, post.thresholds(labels), strict=True))}


def from_stored(stored: Mapping[str, Any], labels: Sequence[str], where: str) -> PostProcessing:
    """From `stored_dict`'s, or a result.json's `post_processing` with its `threshold`; UserError names `where`."""
    try:
        tables = {
            name: {label: float(stored[name][label]) for label in labels}
            for name in ("median_seconds", "maximum_seconds", "threshold")
            if stored.get(name)
        }
        return PostProcessing(
            steps=list(stored["steps"]),
            median=tables.get("median_seconds", dict.fromkeys(labels, 0.0)),
            maximum=tables.get("maximum_seconds", dict.fromkeys(labels, 0.0)),
            csebbs={label: BoxParameters(**stored["csebbs"][label]) for label in labels} if "csebbs" in stored else {},
            threshold=tables.get("threshold", dict.fromkeys(labels, 0.5)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: broken post-processing: {error} (pack the model again)") from None


def of_experiment(folder: Path, labels: Sequence[str]) -> tuple[PostProcessing | None, Path | None]:
    """The post-processing of the experiment's newest result.json, so that prediction decides as stage 5 did."""
    results = sorted(folder.glob("*/result.json"), key=lambda path: path.stat().st_mtime)
    if not results:
        return None, None
    path = results[-1]
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        stored = {**result["post_processing"], "threshold": result["threshold"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result of stage 5: {error} (score again)") from None
    return from_stored(stored, labels, str(path)), path


def chosen(args: argparse.Namespace, labels: Sequence[str], stored: PostProcessing | None) -> PostProcessing:
    """The options' post-processing; what they leave at its default is the stored one's, if there is one."""
    asked = resolve(args, labels, ours=True)
    if stored is None or args.tuned:
        return asked
    kept: dict[str, Any] = {}
    if args.post_processing == ["auto"]:
        kept["steps"] = stored.steps
    for name, default in (("median", "paper"), ("maximum", "0"), ("threshold", "0.5")):
        if getattr(args, name) == default and getattr(stored, name):
            kept[name] = getattr(stored, name)
    given = (args.csebbs_filter, args.csebbs_absolute, args.csebbs_relative)
    if stored.csebbs and given == (str(BOXES.filter_seconds), str(BOXES.absolute), str(BOXES.relative)):
        kept["csebbs"] = stored.csebbs
    return replace(asked, **kept)


def reach(post: PostProcessing, frame_seconds: float) -> int:
    """How many frames to either side the steps look at.

    Bounding boxes are merged over any distance; here over `BOX_SECONDS`: equal to the whole recording's
    as long as what is merged fits into that.
    """
    windows = {"median": post.median, "maximum": post.maximum}
    filters = sum(
        max((window_frames(seconds, frame_seconds) - 1) // 2 for seconds in windows[step].values())
        for step in post.steps
        if step in windows
    )
    return filters + ("csebbs" in post.steps) * round(BOX_SECONDS / frame_seconds)


def decisions(post: PostProcessing, labels: Sequence[str], frame_seconds: float, piece: int = PIECE) -> Decisions:
    """A fresh decoder of one recording.

    Weak masking comes first wherever it stands: with one clip posterior it commutes with the filters, which are rank
    filters. It does not with bounding boxes.
    """
    if {"weak_mask", "csebbs"} <= set(post.steps) and post.steps.index("weak_mask") > post.steps.index("csebbs"):
        raise UserError("prediction masks before it draws boxes (--post-processing weak_mask,...,csebbs)")
    filters = replace(post, steps=[step for step in post.steps if step != "weak_mask"])
    return Decisions(
        labels=labels,
        frame_seconds=frame_seconds,
        mask=weak_mask if "weak_mask" in post.steps else None,
        steps=filters.apply,
        reach=reach(filters, frame_seconds),
        thresholds=np.array(post.thresholds(labels)),
        piece=piece,
    )
