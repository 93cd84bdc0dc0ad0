"""The stored form of post-processing, the same in results, tuned files, packed models and ONNX files.

    {"format": 2, "steps": ["weak_mask", "median"], "median_seconds": {"Dog": 0.32, ...}, "threshold": {...}}

Each step in `steps` adds its own entries (`Step.to_dict`). In result.json the entry `post_processing` holds all of
these but `threshold`, which is an entry of its own; in a cross-fitted result it holds the parameters that tuning
started from. A tuned file holds these and others (`write_tuned`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sed.errors import UserError
from sed.evaluation.postprocessing.csebbs import BoxParameters
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.registry import STEPS
from sed.evaluation.postprocessing.threshold import Threshold
from sed.files import write_json
from sed.input_files import misfit, read_json

FORMAT = 2
# Types of the fields of a tuned file.
_TUNED = {"clips": [str], "threshold": dict, "tuned": [str], "tuned_on": (str, type(None))}


def steps_dict(post: PostProcessing) -> dict[str, Any]:
    """Return the steps with their parameters, without the thresholds: `post_processing` of result.json."""
    stored: dict[str, Any] = {"format": FORMAT, "steps": post.names}
    for step in post.steps:
        stored |= step.to_dict()
    return stored


def to_stored(post: PostProcessing) -> dict[str, Any]:
    """Return steps and thresholds as JSON; `from_stored` reads it."""
    return {**steps_dict(post), **post.threshold.to_dict()}


def from_stored(
    stored: Mapping[str, Any], labels: Sequence[str], where: str, *, again: str = "pack the model again"
) -> PostProcessing:
    """Read the stored form of this version or of an earlier one.

    Args:
        stored: what `to_stored` or an earlier version wrote.
        labels: the classes; there must be parameters for each.
        where: the file, for messages.
        again: what to do if the stored form is broken, for messages.

    Returns:
        The post-processing.

    Raises:
        UserError: it is broken, or of a newer version.
    """
    try:
        number = stored.get("format", 1)
        if isinstance(number, int) and number > FORMAT:
            raise UserError(
                f"{where}: post-processing of format {number}, and this version reads up to {FORMAT} "
                "(use the version that wrote it, or a later one)"
            )
        if number == 1:
            stored = _of_format_1(stored)
        elif number != FORMAT:
            raise ValueError(f"format {number!r}")
        names = list(stored["steps"])
        unknown = [str(name) for name in names if name not in STEPS]
        if unknown:
            raise ValueError(f"unknown step '{unknown[0]}' (this version has {', '.join(STEPS)})")
        return PostProcessing(
            steps=[STEPS[name].from_dict(stored, labels) for name in names],
            threshold=Threshold.from_dict(stored, labels)
            if stored.get(Threshold.key)  # results of a table of detections, as of other systems, have none
            else Threshold(Threshold.options[0].defaults(labels)),
        )
    except KeyError as error:
        raise UserError(f"{where}: broken post-processing: no {error} ({again})") from None
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UserError(f"{where}: broken post-processing: {error} ({again})") from None


def _of_format_1(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Convert format 1, which is numbered in tuned files only, to the current one.

    Results, packed models and ONNX files had today's keys. Tuned files named filters without `_seconds`, held a box's
    parameters as a list, and had tables for steps that were not used.
    """
    now = dict(stored)
    for key in ("median", "maximum"):
        if key in now:
            now[f"{key}_seconds"] = now.pop(key)
    now["csebbs"] = {
        label: BoxParameters(*box)._asdict() if isinstance(box, list) else box
        for label, box in (now.get("csebbs") or {}).items()
    }
    return now


def comparable(result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return steps and parameters of a result.json, for comparison with another result; None if it has none.

    Thresholds are among them unless they may be tuned: `tuned_on` then says on which set, and what was tuned.
    """
    stored = result.get("post_processing")
    if stored is None:
        return None
    tuned = result.get("tuned_on")
    decision = {"tuned_on": tuned} if tuned else {Threshold.key: result.get(Threshold.key)}
    return {key: value for key, value in stored.items() if key != "format"} | decision


def of_experiment(folder: Path, labels: Sequence[str]) -> tuple[PostProcessing | None, Path | None]:
    """Read the post-processing of an experiment's newest result.json, so that prediction decides as stage 5 did.

    Results of cross-fitting are skipped: each half of their set has its own post-processing.

    Returns:
        The post-processing and the file that it is from; None and None without a result.

    Raises:
        UserError: the result is broken, of a newer version, or of other labels.
    """
    for path in sorted(folder.glob("*/result.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            result = read_json(path, remedy="score again")
            if "cross_fitted" in result:
                continue
            stored = {**result["post_processing"], Threshold.key: result[Threshold.key]}
        except KeyError as error:
            raise UserError(f"{path}: not a result of stage 5: no {error} (score again)") from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not a result of stage 5: {error} (score again)") from None
        return from_stored(stored, labels, str(path), again="score again"), path
    return None, None


def write_tuned(path: str | Path, post: PostProcessing, *, clips: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write tuned post-processing for `--tuned`.

    Args:
        path: the JSON file.
        post: the tuned post-processing; its `tuned_on` is the set that it was tuned on.
        clips: the clips that it was tuned on, which must never be scored with it.
        facts: other entries of the file; `tuned`, the names of what was tuned, is required.
    """
    write_json(path, {**to_stored(post), "tuned_on": post.tuned_on, **facts, "clips": sorted(clips)})


def read_tuned(path: str | Path, labels: Sequence[str]) -> PostProcessing:
    """Read the post-processing of a tuned file; UserError when it is not a tuned file, or of another label set."""
    value = load_tuned(path)
    odd = sorted(set(value["threshold"]) ^ set(labels))
    if odd:
        raise UserError(f"{path}: tuned for another label set: {', '.join(odd)} differ (tune again for this one)")
    post = from_stored(value, labels, str(path), again="tune again")
    return replace(post, tuned_on=f"{value['tuned_on']} ({', '.join(value['tuned'])})")


def load_tuned(path: str | Path) -> dict[str, Any]:
    """Return the content of a tuned file; UserError when it is not one."""
    try:
        value = read_json(path, remedy="tune again")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (write it with python3 -m sed.bin.tune)") from None
    if not isinstance(value, dict) or not {"format", "clips", "threshold", "tuned", "tuned_on"} <= set(value):
        raise UserError(f"{path}: not written by sed.bin.tune (tune again)")
    if wrong := misfit(value, _TUNED):
        raise UserError(f"{path}: not what sed.bin.tune writes: {wrong} (tune again)")
    return value


def refuse_own_clips(tuned: str | Path, clips: Sequence[str]) -> None:
    """Raise UserError if the post-processing was tuned on any of the clips to be scored.

    tuned: the tuned file; clips: the clips to be scored.
    """
    value = load_tuned(tuned)
    shared = sorted(set(value["clips"]) & set(clips))
    if shared:
        raise UserError(
            f"{tuned}: tuned on {value['tuned_on']}, which holds {len(shared)} of the clips to be scored, such as "
            f"{shared[0]} (tune on another set: a score on the tuning clips is biased)"
        )
