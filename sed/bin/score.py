"""Score the output of any system: F1, PSDS1 and PSDS2 with confidence intervals; write result.json and events.tsv.

usage: python3 -m sed.bin.score INPUT --ground-truth events.tsv --durations durations.tsv --out scored/result.json

INPUT is our scores.h5, a folder of score TSVs (sed_scores_eval), detections as one TSV or as label files of another
tool, or a folder of detection TSVs of any names, one for each operating point (then F1 is computed only with
--event-f1-from, which names one of them or another table). By default the scores of this project's models (scores.h5)
are post-processed as in the AST-SED paper, those of other systems not at all. events.tsv, beside the result, has the
detections that F1 is computed from.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.evaluation.metrics.table import ALL, METRICS, ON_REQUEST, chosen
from sed.evaluation.postprocessing.options import OF_SCORES, TUNED, add_arguments, resolve, tuned_parts
from sed.evaluation.postprocessing.stored import refuse_own_clips
from sed.files import check_outputs

if TYPE_CHECKING:
    from sed.evaluation.alignment import Decisions, Reference
    from sed.evaluation.metrics.task import Problem
    from sed.evaluation.postprocessing.pipeline import PostProcessing
    from sed.evaluation.submission import Submission

BESIDE = ("events.tsv", "bootstrap.npz", "report.html")
"""files that are written beside the result"""
log = logging.getLogger("sed.score")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument(
        "input", help="scores.h5, folder of score TSVs, detections (TSV or label files), or folder of detection TSVs"
    )
    p.option(
        "ground-truth",
        None,
        "true events: events.tsv, or label files of another tool (file or folder)",
        required=True,
    )
    p.option(
        "durations",
        None,
        "durations.tsv (columns filename, duration; in seconds), or the folder of the recordings",
        required=True,
    )
    p.option("out", None, "result.json to write", required=True, type=output_file)
    p.option("labels", None, "labels.txt (default: the labels of INPUT if it has scores, else of the ground truth)")
    p.option("set", None, "name of the set in the result (default: the name in scores.h5, else the folder of --out)")
    p.option("only-scored", False, "score only the clips in INPUT")
    p.option("allow-missing", False, "count clips that have true events but no scores as silent instead of refusing")
    p.option(
        "max-dropped",
        10.0,
        "refuse when more than this percentage of the true events do not fit their recordings (sed/data/events.py)",
        least=0,
        most=100,
    )
    p.option("exclude", None, "list of clips to leave out: one clip name or YouTube id per line")
    p.option(
        "event-f1-from",
        None,
        "compute F1 from these detections: the name of a file in INPUT's folder, or any table of events",
    )
    p.option(
        "cross-fit",
        None,
        f"split the clips in halves and tune for each half on the other; comma-separated: {', '.join(TUNED)}",
        type=tuned_parts,
    )
    p.option("raw", False, "also score without post-processing, as `raw` in the result")
    p.option("groups", None, "TSV with filename and the column of --group-by: also score each group of recordings")
    p.option("group-by", None, "column of --groups that names the group of a recording")
    p.option("operating-points", 50, "number of thresholds of psds_eval's PSDS", least=2, most=1000)
    p.option("bootstrap", 1000, "bootstrap samples of clips for the 95 %% intervals (0: none)", least=0, most=100000)
    p.option("bootstrap-seed", 0, "seed of the samples; sed.bin.compare needs results with the same seed", least=0)
    p.option("jobs", 0, "processes (0: as many as there are processors)", least=0)
    names = ", ".join((*ON_REQUEST, ALL))
    p.option("scores", (), f"metrics to compute besides the standard ones, comma-separated: {names}", type="words")
    for metric in METRICS:
        metric.add_arguments(p)
    p.section("report.html")
    p.option("report", True, "write report.html beside the result")
    p.option("audio", None, "folder of recordings, or wav.scp: adds players to the report")
    p.option("players", False, "add players to the report; without --audio, of the wav.scp beside --ground-truth")
    p.option("features", None, "dump/<set>: adds log-mel to the report (default: beside --ground-truth)")
    add_arguments(p, auto=OF_SCORES, stored=False)
    return p


def refuse_contradictions(args: argparse.Namespace) -> None:
    """Refuse options that exclude each other."""
    if args.only_scored and args.allow_missing:
        raise UserError("--only-scored and --allow-missing exclude each other (leave clips out, or count as silent)")
    if args.cross_fit and (args.tuned or args.event_f1_from):
        raise UserError("--cross-fit tunes by itself: no --tuned, no --event-f1-from (leave one out)")
    if (args.groups is None) != (args.group_by is None):
        raise UserError("--groups FILE and --group-by COLUMN belong together (give both)")


def refuse_overwriting(args: argparse.Namespace) -> None:
    """Refuse to write over an input, or into a folder that is an input: the next run would read events.tsv there."""
    out = args.out.resolve()
    if out.name in BESIDE:
        raise UserError(f"--out {args.out}: a file of this name is written beside the result (name it result.json)")
    given = [args.input, args.ground_truth, args.durations, args.labels, args.exclude, args.groups, args.event_f1_from]
    given += [args.tuned, args.audio]
    check_outputs([args.out, *(args.out.with_name(name) for name in BESIDE)], given)
    for folder in (args.input, args.ground_truth):
        if Path(folder).resolve() == out.parent:
            raise UserError(f"--out {args.out}: in a folder whose tables are read (write to another folder)")


def _read(args: argparse.Namespace) -> tuple[Submission, Reference]:
    """Read the submission and the reference, without the clips of --exclude."""
    from sed.evaluation.alignment import read_reference
    from sed.evaluation.submission import read_submission

    written = [args.out, args.out.with_name("events.tsv")]  # by an earlier run, maybe below a folder that is read
    submission = read_submission(args.input, exclude=[args.ground_truth, args.durations, *written])
    others = [args.input, *written, *filter(None, (args.labels, args.exclude, args.groups))]
    reference = read_reference(args.ground_truth, args.durations, max_dropped=args.max_dropped, exclude=others)
    if args.raw and submission.scores is None:
        raise UserError(f"--raw: {submission.path} has decisions, which no post-processing has changed (leave it out)")
    if args.threshold is not None and submission.scores is None:
        raise UserError(f"--threshold: {submission.path} has decisions, which no threshold changes (leave it out)")
    return submission, reference.without(args.exclude) if args.exclude else reference


def _decide(
    args: argparse.Namespace, problem: Problem, submission: Submission, post: PostProcessing
) -> tuple[Decisions, PostProcessing, dict[str, Any]]:
    """Return the decisions, the post-processing that made them, and the entries on cross-fitting for the result.

    Raises:
        UserError: also if the decisions would replace an events.tsv of others.
    """
    from sed.evaluation.alignment import decide
    from sed.evaluation.cross_fitting import cross_fit

    more: dict[str, Any] = {}
    if args.cross_fit:
        decisions, post, more = cross_fit(problem, submission, post, args.cross_fit, points=args.operating_points)
    else:
        decisions = decide(problem, submission, post, points=args.operating_points, f1_from=args.event_f1_from)
    if decisions.detections is not None:
        _keep_foreign_events(args.out)
    return decisions, post, more


def _keep_foreign_events(out: Path) -> None:
    """Raise UserError if there is an events.tsv without any sign of a scoring: it may be someone's labels.

    A scoring that was killed, or has just begun, leaves at least the lock's file.
    """
    events, *others = (out.with_name(name) for name in (*BESIDE, ".score.lock"))
    if events.exists() and not any(path.exists() for path in (out, *others)):
        raise UserError(
            f"{events}: would be replaced, and no scoring seems to have written it (move it away, or write to another "
            "folder)"
        )


def _remove_earlier(out: Path, *, events: bool, report: bool) -> None:
    """Remove an earlier result, its events and its report; warn of files of a result of another name.

    If this process is killed, or writes no events or no report, they must not stay beside what it has written.

    Args:
        out: the result.
        events: whether events.tsv will be written.
        report: whether report.html will be written.
    """
    if out.exists():
        for path in (out, out.with_name("events.tsv"), out.with_name("report.html")):
            path.unlink(missing_ok=True)
        return
    written = ["events.tsv"] * events + ["bootstrap.npz"] + ["report.html"] * report
    if others := [name for name in written if out.with_name(name).exists()]:
        names = " and ".join(others)
        log.warning("%s: %s of another result in its folder replaced (give each a folder of its own)", out, names)


@entry
def main() -> None:
    """Read, score, write."""
    args = parser().parse_args()
    setup_logging()
    from sed.data.directory import read_labels
    from sed.evaluation.alignment import align, decide
    from sed.evaluation.groups import read_groups
    from sed.evaluation.metrics.events import write_events
    from sed.evaluation.result import add_confidence, add_more, find_sources, log_summary, result_of, write_report
    from sed.evaluation.scoring import measure
    from sed.files import lock, write_json
    from sed.parallel import default_jobs

    started, out, jobs = time.monotonic(), args.out, args.jobs or default_jobs()
    refuse_contradictions(args)
    refuse_overwriting(args)
    metrics = [metric.configured(vars(args)) for metric in chosen(args.scores)]
    labels = read_labels(args.labels) if args.labels else None
    groups = read_groups(args.groups, args.group_by) if args.groups else None
    submission, reference = _read(args)
    problem, coverage = align(
        submission, reference, labels=labels, only_scored=args.only_scored, allow_missing=args.allow_missing
    )
    post = resolve(args, problem.labels, ours=submission.kind == "scores.h5")
    if args.tuned:
        refuse_own_clips(args.tuned, problem.clips)
    audio = args.audio or (reference.path.parent / "wav.scp" if args.players else None)
    sources = find_sources(args.features, audio, reference) if args.report else None
    out.parent.mkdir(parents=True, exist_ok=True)  # an unwritable output fails now, not after the work
    decisions, post, cross_fitted = _decide(args, problem, submission, post)
    evaluation = measure(problem, decisions, metrics=metrics, jobs=jobs)
    raw = None
    if args.raw:
        unprocessed = decide(problem, submission, replace(post, steps=()), points=args.operating_points)
        # raw=None: piPSDS, which is always computed from raw scores and so is in `evaluation`, is not computed again.
        raw = measure(problem, replace(unprocessed, raw=None), metrics=metrics, jobs=jobs)
    result = result_of(
        problem,
        evaluation,
        submission=submission,
        reference=reference,
        coverage=coverage,
        decisions=decisions,
        post=post,
        set_name=args.set or submission.attrs.get("set") or out.resolve().parent.name,
    )
    result |= cross_fitted
    add_more(result, problem, evaluation, reference=reference, raw=raw, groups=groups, options=vars(args))
    with lock(out.parent, "score", wait=True):  # two processes scoring into one folder must not mix their files
        _remove_earlier(out, events=decisions.detections is not None, report=sources is not None)
        path, count = out.with_name("bootstrap.npz"), args.bootstrap
        add_confidence(result, problem, evaluation, path, samples=count, seed=args.bootstrap_seed, jobs=jobs)
        if decisions.detections is not None:
            write_events(out.with_name("events.tsv"), decisions.detections, problem.clips, problem.labels)
        if sources is not None:
            write_report(out.with_name("report.html"), result, problem, evaluation, decisions, sources)
        result["seconds"] = round(time.monotonic() - started, 2)
        write_json(out, result)
    log_summary(out, result)


if __name__ == "__main__":
    main()
