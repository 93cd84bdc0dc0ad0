"""Tune post-processing on one set, for use on others: per-class filters, bounding boxes, thresholds.

usage: python3 -m sed.bin.tune exp/x/synth_valid/scores.h5 --ground-truth dump/synth_valid/events.tsv \\
           --durations dump/synth_valid/durations.tsv --post-processing csebbs --what csebbs,threshold --out tuned.json
       python3 -m sed.bin.score exp/x/validation/scores.h5 ... --tuned tuned.json
       python3 -m sed.bin.tune --model kitchen-model --alarms-per-hour 1 --out quiet.json recordings-without-events/
       python3 -m sed.bin.predict --model kitchen-model --tuned quiet.json recordings/

The file that is written names the set and its clips; scoring refuses to use it on any of them. With --alarms-per-hour,
thresholds are raised until the model has no more than this many false alarms per hour, over all labels, on recordings
without events.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.postprocessing.options import (
    OF_MODEL,
    OF_SCORES,
    TUNED,
    add_arguments,
    check_tuned,
    resolve,
    tuned_parts,
)
from sed.evaluation.postprocessing.stored import write_tuned
from sed.evaluation.postprocessing.threshold import Threshold
from sed.files import check_outputs
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows
from sed.prediction.writers import output_file
from sed.provenance import command_line, git_hash


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("input", nargs="+", help="scores.h5, or a folder of score TSVs; with --alarms-per-hour: recordings")
    p.option(
        "ground-truth", None, "true events of the set: events.tsv, or label files of another tool (file or folder)"
    )
    p.option("durations", None, "durations.tsv of the same set, or the folder of its recordings")
    p.option("out", None, "JSON file to write", required=True, type=output_file)
    p.option(
        "set",
        None,
        "the set's name in --out (default: the folder that --ground-truth is in; with --alarms-per-hour: the budget)",
    )
    p.option(
        "what",
        Threshold.name,
        f"what to tune on scores, comma-separated: {', '.join(TUNED)}; with --alarms-per-hour always the thresholds",
        type=tuned_parts,
    )
    p.option("bias", False, "also measure, on scores, the mean delay of onsets and offsets, for sed.bin.pseudo_label")
    p.option("only-scored", False, "tune on just the clips that the scores have")
    p.section("budget of false alarms")
    p.option(
        "alarms-per-hour",
        None,
        "most false alarms per hour, above 0, over all labels",
        type=float,
        least=0,
        most=10**9,  # far above any rate: a float's largest numbers times the hours are infinite
    )
    p.option("model", None, "model whose thresholds are raised: experiment folder, checkpoint, packed model or .onnx")
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option("batch-size", 8, "windows per batch", least=1)
    add_window_arguments(p)
    add_arguments(p, auto=f"{OF_SCORES}; with --alarms-per-hour {OF_MODEL}")
    return p


@entry
def main() -> None:
    """Read, tune, write."""
    args = parser().parse_args()
    setup_logging()
    if args.tuned:
        raise UserError("--tuned is for scoring and prediction (give --post-processing and its options instead)")
    check_outputs([args.out], [*args.input, args.ground_truth, args.durations])
    if (args.alarms_per_hour is None) != (args.model is None):
        raise UserError("--alarms-per-hour and --model go together (give both, or neither)")
    if args.alarms_per_hour is not None:
        if args.ground_truth or args.durations:
            raise UserError("--alarms-per-hour takes recordings without events (no --ground-truth or --durations)")
        if args.bias or args.only_scored:
            raise UserError("--alarms-per-hour takes recordings, not scores (no --bias or --only-scored)")
        if args.alarms_per_hour == 0:
            raise UserError(
                "--alarms-per-hour 0: a number above 0 is expected (no threshold excludes every false alarm)"
            )
        return _keep_budget(args)
    if len(args.input) > 1:
        raise UserError(f"{args.input[1]}: scores of one set are tuned at a time (give one)")
    for option in ("ground_truth", "durations"):
        if getattr(args, option) is None:
            raise UserError(f"--{option.replace('_', '-')} is missing (give that of the set)")
    return _tune_scores(args, args.input[0])


def _tune_scores(args: argparse.Namespace, scores: str) -> None:
    """Tune on the scores of a set with true events."""
    from sed.evaluation.alignment import align, read_reference, scores_for
    from sed.evaluation.postprocessing.tuning import few_events, tune
    from sed.evaluation.submission import read_submission

    submission = read_submission(scores, exclude=[args.ground_truth, args.durations])
    if submission.scores is None:
        raise UserError(f"{scores}: decisions cannot be tuned (scores.h5 or score TSVs are expected)")
    # --out of an earlier run may lie in a folder of label files
    reference = read_reference(args.ground_truth, args.durations, exclude=[args.out])
    problem, _ = align(submission, reference, labels=None, only_scored=args.only_scored, allow_missing=False)
    post = resolve(args, problem.labels, ours=submission.kind == "scores.h5")
    check_tuned("--what", args.what, post)
    if few := few_events(problem):
        logging.getLogger("sed.tune").warning("%s", few)
    tuned = tune(problem, scores_for(problem, submission.scores), post, args.what)
    name = args.set or Path(args.ground_truth).resolve().parent.name
    measured = {}
    if args.bias:
        from sed.data.events import by_clip, read_rows
        from sed.evaluation.pseudo import boundary_bias, decided_events

        found = decided_events(scores_for(problem, submission.scores), tuned)
        truth = by_clip(read_rows(args.ground_truth, exclude={args.out.resolve(), Path(args.durations).resolve()}))
        measured["bias"] = boundary_bias(found, truth)._asdict()
    facts = {**measured, "tuned": args.what, "input": scores, "command": command_line(), "git": git_hash()}
    write_tuned(args.out, replace(tuned, tuned_on=name), clips=problem.clips, facts=facts)


def _keep_budget(args: argparse.Namespace) -> None:
    """Raise a model's thresholds to --alarms-per-hour; print each label's threshold and its number of false alarms."""
    from sed.data.recordings import shown
    from sed.parallel import free_processors
    from sed.prediction.alarms import keep_budget, poisson_interval
    from sed.prediction.session import open_predictor
    from sed.prediction.sources import find_recordings, is_stream, read_recording

    names, problems = find_recordings(args.input)
    problems += [f"{name}: a stream, which can be read only once (give files)" for name in names if is_stream(name)]
    if problems:
        raise UserError("; ".join(problems))
    onnx = str(args.model).endswith(".onnx")
    predictor, post, _ = open_predictor(
        model=None if onnx else args.model,
        onnx=args.model if onnx else None,
        which="teacher",
        device=args.device,
        precision="float32",
        threads=free_processors(),
        options=args,
    )
    post, found = keep_budget(
        predictor,
        post,
        names,
        lambda name: read_recording(name, predictor.rate),
        per_hour=args.alarms_per_hour,
        windows=resolve_windows(args, predictor.windows),
        batch_size=args.batch_size,
    )
    low, high = (count / found.hours for count in poisson_interval(found.total))
    for label, count in found.alarms.items():
        print(f"{label}\t{post.threshold.by_label[label]:.4f}\t{count}")
    log = logging.getLogger("sed.tune")
    rate = f"{found.total / found.hours:.2f} per hour, 95 % interval {low:.2f} to {high:.2f}"
    log.info("%s: %d false alarms in %.2f hours (%s)", args.out, found.total, found.hours, rate)
    facts = {
        "tuned": [Threshold.name],
        "alarms_per_hour": args.alarms_per_hour,
        "hours": found.hours,
        "alarms": found.alarms,
        "command": command_line(),
        "git": git_hash(),
    }
    budget = args.set or f"a budget of {args.alarms_per_hour:g} false alarms per hour"
    write_tuned(args.out, replace(post, tuned_on=budget), clips=[Path(shown(name)).stem for name in names], facts=facts)


if __name__ == "__main__":
    main()
