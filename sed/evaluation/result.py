"""Output of a scoring: result.json, intervals, report.html and the closing log lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sed.config import load_config
from sed.data.prepare.coverage import ALL, read_coverage
from sed.errors import UserError
from sed.evaluation.alignment import Coverage, Decisions, Reference
from sed.evaluation.confidence.bootstrap import LEVEL, Samples, add_intervals, digest, disagreements, resample, save
from sed.evaluation.groups import by_group
from sed.evaluation.metrics.evaluate import Evaluation, summary
from sed.evaluation.metrics.metric import Entry
from sed.evaluation.metrics.table import shown_in
from sed.evaluation.metrics.task import Problem
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.stored import steps_dict
from sed.evaluation.reports.certainty import caveat
from sed.evaluation.reports.experiment import report
from sed.evaluation.reports.timeline import Sources
from sed.evaluation.submission import Submission
from sed.files import write_text
from sed.input_files import read_json
from sed.provenance import command_line, environment, git_hash

logger = logging.getLogger("sed.score")
PACKED = "model.json"
"""file in the folder of a packed model with its info and config"""


def result_of(
    problem: Problem,
    evaluation: Evaluation,
    *,
    submission: Submission,
    reference: Reference,
    coverage: Coverage,
    decisions: Decisions,
    post: PostProcessing,
    set_name: str,
) -> dict[str, Any]:
    """Return the content of result.json, without intervals and what other options add.

    Args:
        problem: clips, classes and ground truth.
        evaluation: the metrics' values.
        submission: the output that was scored.
        reference: ground truth and durations as read.
        coverage: numbers of clips that were expected, are scored and have output.
        decisions: detections and scores that the metrics were computed from.
        post: the post-processing.
        set_name: name of the set.

    Returns:
        The content, ready for JSON.
    """
    listed = reference.durations_path.with_name("coverage.tsv")
    shares = read_coverage(listed) if listed.exists() else {}
    # durations.tsv lists only the clips whose audio exists; coverage.tsv counts the missing ones, too.
    known = shares[ALL].clips_expected - len(reference.excluded) if shares else 0
    expected = max(coverage.expected, known)
    asked = evaluation.parameters.get("psds")  # a PSDS with parameters from the command line (metrics/psds_metric.py)
    return {
        "set": set_name,
        "clips": coverage.scored,
        "clips_expected": expected,
        "clips_with_output": coverage.with_output,
        "coverage": {label: [share.clips, share.clips_expected] for label, share in shares.items()},
        **summary(problem, evaluation),
        "psds_parameters": asked.as_dict() if asked else None,
        "operating_points": decisions.points.points if decisions.points else 0,
        "post_processing": steps_dict(post),
        "tuned_on": post.tuned_on,
        "threshold": decisions.thresholds,
        "input": {"kind": submission.kind, "path": str(submission.path), "attrs": submission.attrs},
        "ground_truth": str(reference.path),
        "git": git_hash(),
        "command": command_line(),
        "environment": environment(),
        # averaged scores are of no single model, even in the folder of one
        "model": None if "ensemble" in submission.attrs else model_info(submission.path, submission.attrs.get("model")),
    }


def model_info(source: Path, model: str | None) -> dict[str, Any] | None:
    """Return info and config of the model that made the scores; None if they are not found.

    source: the scores. Info and config are looked for in the experiment that the scores lie in
    (exp/<name>/<set>/scores.h5), then in `model`, the folder that the scores name. An experiment has them in info.json
    and config.yaml, a packed model in model.json.
    """
    for folder in (source.resolve().parent.parent, *([Path(model)] if model else [])):
        if (folder / PACKED).is_file():
            facts = read_json(folder / PACKED, remedy="pack it again")
            if _has_dicts(facts, "info", "config"):  # else another program's file of this name
                return {**facts["info"], "name": folder.name, "config": facts["config"]}
        if (folder / "info.json").is_file() and (folder / "config.yaml").is_file():
            info = read_json(folder / "info.json", remedy="train again, or remove it")
            if isinstance(info, dict):
                return {**info, "name": folder.name, "config": load_config(folder / "config.yaml")}
    return None


def _has_dicts(value: Any, *keys: str) -> bool:
    """Return whether a value of JSON is an object that holds an object under each of the keys."""
    return isinstance(value, dict) and all(isinstance(value.get(key), dict) for key in keys)


def add_more(
    result: dict[str, Any],
    problem: Problem,
    evaluation: Evaluation,
    *,
    reference: Reference,
    raw: Evaluation | None,
    groups: Mapping[str, str] | None,
    options: Mapping[str, Any],
) -> None:
    """Add the entries that options ask for: raw scores' metrics, groups, excluded clips, the source of F1's detections.

    Args:
        result: content of result.json, changed in place.
        problem: what was scored.
        evaluation: what the metrics measured.
        reference: ground truth and durations.
        raw: the metrics' values for scores without post-processing; None without --raw.
        groups: {clip: its group}; None without --groups.
        options: all options of sed.bin.score.
    """
    if raw is not None:
        numbers = summary(problem, raw)
        result["raw"] = {entry.key: numbers[entry.key] for entry in raw.entries if entry.key in numbers}
    if groups is not None:
        result["groups"] = {"of": options["groups"], "by": options["group_by"]}
        result["groups"]["numbers"] = by_group(problem, evaluation, groups)
    if options["exclude"] is not None:
        result["excluded"] = {"list": options["exclude"], "clips": sorted(reference.excluded)}
    if options["event_f1_from"] is not None:
        result["event_f1_from"] = options["event_f1_from"]


def add_confidence(
    result: dict[str, Any], problem: Problem, evaluation: Evaluation, path: Path, *, samples: int, seed: int, jobs: int
) -> None:
    """Add confidence intervals to the result and save the bootstrap samples.

    A warning is logged if the bootstrap's value on the whole set differs from that of the metric package: a defect.

    Args:
        result: content of result.json, changed in place.
        problem: what was scored.
        evaluation: what the metrics measured.
        path: bootstrap.npz to write.
        samples: number of bootstrap samples; 0: no intervals, and the file of an earlier scoring is removed.
        seed: random seed of the draws.
        jobs: number of processes.
    """
    result["bootstrap"] = {"samples": samples, "seed": seed, "level": LEVEL}
    if not samples:
        path.unlink(missing_ok=True)  # samples of an earlier scoring do not belong to this result
        return
    names, values = resample(problem, evaluation, samples=samples, seed=seed, jobs=jobs)
    for line in disagreements(result, names, values):
        logger.warning("bootstrap and metric package disagree on %s: report this", line)
    add_intervals(result, names, values)
    save(path, Samples(names=names, values=values, clips=digest(problem), seed=seed))


def find_sources(features: str | None, audio: str | Path | None, reference: Reference) -> Sources:
    """Return the sources of log-mel and audio for the report.

    Args:
        features: dump/<set>; None: the folder of the ground truth, if it has features.
        audio: folder of audio files, or wav.scp; None: no audio.
        reference: the ground truth.

    Returns:
        The sources.

    Raises:
        UserError: `features` is given and has no features, or `audio` does not exist.
    """
    folder = Path(features) if features else reference.path.parent
    has = (folder / "feats.scp").is_file()
    if features and not has:
        raise UserError(f"{folder}: no feats.scp (--features takes dump/<set>)")
    return Sources(folder if has else None, Path(audio) if audio else None)


def write_report(
    path: Path,
    result: Mapping[str, Any],
    problem: Problem,
    evaluation: Evaluation,
    decisions: Decisions,
    sources: Sources,
) -> None:
    """Write report.html, with the name of the experiment as its title.

    Args:
        path: the file.
        result: content of result.json.
        problem: clips, classes and ground truth.
        evaluation: what the metrics measured.
        decisions: detections and scores that they were computed from.
        sources: where log-mel and audio of the shown clips come from.
    """
    name = (result.get("model") or {}).get("name") or path.resolve().parent.parent.name
    write_text(path, report(name, result, problem, evaluation, decisions, sources))


def log_summary(path: Path, result: Mapping[str, Any]) -> None:
    """Log the closing lines: classes without a score, incomplete coverage, scores of groups, raw scores, all clips."""
    absent = result["classes_without_ground_truth"]
    if absent:
        logger.warning(
            "no ground truth in these clips, so no score, and in no average over classes (micro F1 counts what is "
            "detected of them): %s",
            ", ".join(absent),
        )
    clips, expected, output = (result[key] for key in ("clips", "clips_expected", "clips_with_output"))
    if clips < expected or output < clips:
        logger.warning("%d of %d clips scored, %d of them with output", clips, expected, output)
    shown = [entry for entry in shown_in("closing") if result.get(entry.key) is not None]
    for group, of_group in result.get("groups", {}).get("numbers", {}).items():
        own = _numbers(shown, of_group)
        logger.info("%s %s: %d clips: %s", result["groups"]["by"], group, of_group["clips"], own)
    if "raw" in result:
        logger.info("without post-processing: %s", _numbers(shown, result["raw"]))
    few = caveat([result])
    numbers = _numbers(shown, result)
    logger.info("%s: %d of %d clips: %s%s", path, clips, expected, numbers, f" ({few})" if few else "")


def _numbers(shown: Sequence[Entry], values: Mapping[str, Any]) -> str:
    """Format the entries that `values` has; raw scores lack some, such as piPSDS."""
    return ", ".join(f"{entry.heading} {entry.text(values[entry.key])}" for entry in shown if entry.key in values)
