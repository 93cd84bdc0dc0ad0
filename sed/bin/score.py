"""Score anyone's output: F1s, both PSDS in every definition, coverage; result.json and the decisions beside it.

usage: python3 -m sed.bin.score INPUT --ground-truth events.tsv --durations durations.tsv --out result.json

INPUT is our scores.h5, a folder of score TSVs (sed_scores_eval), one detections TSV, or a folder of detection TSVs
at many operating points. Our scores.h5 is post-processed as in the paper by default, anyone else's not at all.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

from sed.config import Parser
from sed.evaluation.pipeline import add_arguments, refuse_own_clips, resolve
from sed.log import UserError, command_line, entry, environment, git_hash, setup_logging


def parser() -> Parser:
    """The command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("input", help="scores.h5, folder of score TSVs, detections TSV, or folder of detection TSVs")
    p.option("ground-truth", None, "events.tsv: filename onset offset event_label", required=True)
    p.option("durations", None, "durations.tsv: filename duration; the clips that are expected", required=True)
    p.option("out", None, "result.json to write", required=True)
    p.option("labels", None, "labels.txt (default: the labels of INPUT, or of the ground truth)")
    p.option("set", None, "name of the set (default: the folder that holds --out)")
    p.option("only-scored", False, "score only the clips that INPUT has")
    p.option("allow-missing", False, "count clips without output as silent instead of refusing")
    p.option("event-f1-from", None, "of a folder of operating points: the file that F1 is taken of")
    p.option("operating-points", 50, "thresholds of psds_eval's PSDS", least=2, most=1000)
    p.option("bootstrap", 1000, "samples of clips for the 95 %% intervals (0: none)", least=0, most=100000)
    p.option("bootstrap-seed", 0, "of the samples; two results are compared only with the same", least=0)
    p.option("jobs", 0, "processes (0: as many as there are processors)", least=0)
    p.section("a PSDS of one's own, `psds` in the result; any of these asks for it")
    for name, text in (
        ("dtc", "detection tolerance criterion"),
        ("gtc", "ground truth intersection criterion"),
        ("cttc", "cross-trigger tolerance criterion"),
        ("alpha-ct", "weight of cross-triggers"),
        ("alpha-st", "weight of the instability over classes"),
    ):
        p.option(name, None, text, type=float)
    p.option("e-max", None, "largest effective false positive rate, an hour", type=float)
    p.section("report.html")
    p.option("report", True, "write report.html beside the result")
    p.option("audio", None, "folder of sounds, or wav.scp: players for the clips that are shown")
    p.option("features", None, "dump/<set>: log-mel of the clips that are shown (default: beside --ground-truth)")
    add_arguments(p)
    return p


@entry
def main() -> None:
    """Read, score, write."""
    args = parser().parse_args()
    logger = setup_logging()
    from sed.data.coverage import ALL, read_coverage
    from sed.data.directory import read_labels
    from sed.evaluation.bootstrap import Samples, add_intervals, digest, disagreements, resample, save
    from sed.evaluation.evaluate import evaluate, summary
    from sed.evaluation.events import write_events
    from sed.evaluation.inputs import read_submission
    from sed.evaluation.parallel import default_jobs
    from sed.evaluation.psds import own_parameters
    from sed.evaluation.report import report
    from sed.evaluation.results import experiment_name
    from sed.evaluation.scoring import align, decide_scores, decide_tables, read_reference
    from sed.evaluation.timeline import Sources
    from sed.files import write_json, write_text

    started = time.monotonic()
    if args.only_scored and args.allow_missing:
        raise UserError("--only-scored and --allow-missing exclude each other (leave out, or count as silent)")
    own = own_parameters(args.dtc, args.gtc, args.cttc, args.alpha_ct, args.alpha_st, args.e_max)
    out = Path(args.out)
    labels = read_labels(args.labels) if args.labels else None
    submission = read_submission(args.input, exclude=[args.ground_truth, args.durations])
    reference = read_reference(args.ground_truth, args.durations)
    problem, coverage = align(
        submission, reference, labels=labels, only_scored=args.only_scored, allow_missing=args.allow_missing
    )
    listed = Path(args.durations).with_name("coverage.tsv")
    shares = read_coverage(listed) if listed.exists() else {}
    if shares:  # of a set whose audio is not all there, durations.tsv has only what is
        coverage = replace(coverage, expected=max(coverage.expected, shares[ALL].clips_expected))
    out.parent.mkdir(parents=True, exist_ok=True)  # what cannot be written fails now, not after the work
    post = resolve(args, problem.labels, ours=submission.kind == "scores.h5")
    if args.tuned:
        refuse_own_clips(args.tuned, problem.clips)
    if submission.scores is not None:
        decisions = decide_scores(problem, submission.scores, post, args.operating_points)
    elif post.steps:
        raise UserError(f"{args.input}: post-processing needs scores, these are decisions (--post-processing none)")
    else:
        decisions = decide_tables(problem, submission, args.event_f1_from)
    evaluation = evaluate(
        problem,
        detections=decisions.detections,
        points=decisions.points,
        scores=decisions.scores,
        own=own,
        jobs=args.jobs or default_jobs(),
    )
    info = model_info(args.input, submission.attrs.get("model"))
    result = {
        "set": args.set or submission.attrs.get("set") or out.resolve().parent.name,
        "clips": coverage.scored,
        "clips_expected": coverage.expected,
        "clips_with_output": coverage.with_output,
        "coverage": {label: [share.clips, share.clips_expected] for label, share in shares.items()},
        **summary(problem, evaluation),
        "psds_parameters": own.as_dict() if own else None,
        "bootstrap": {"samples": args.bootstrap, "seed": args.bootstrap_seed, "level": 0.95},
        "operating_points": decisions.points.points if decisions.points else 0,
        "post_processing": post.as_dict(),
        "tuned_on": post.tuned_on,
        "threshold": decisions.thresholds,
        "input": {"kind": submission.kind, "path": str(submission.path), "attrs": submission.attrs},
        "ground_truth": str(reference.path),
        "git": git_hash(),
        "command": command_line(),
        "environment": environment(),
        "model": info,
    }
    if decisions.detections is not None:
        write_events(out.with_name("events.tsv"), decisions.detections, problem.clips, problem.labels)
    if args.bootstrap:
        names, values = resample(
            problem, evaluation, samples=args.bootstrap, seed=args.bootstrap_seed, jobs=args.jobs or default_jobs()
        )
        for told in disagreements(result, names, values):
            logger.warning("bootstrap and metric package disagree on %s: report this", told)
        add_intervals(result, names, values)
        samples = Samples(names=names, values=values, clips=digest(problem), seed=args.bootstrap_seed)
        save(out.with_name("bootstrap.npz"), samples)
    if args.report:
        features = Path(args.features) if args.features else Path(args.ground_truth).parent
        has = (features / "feats.scp").is_file()
        if args.features and not has:
            raise UserError(f"{features}: no feats.scp (--features takes dump/<set>)")
        sources = Sources(features if has else None, Path(args.audio) if args.audio else None)
        name = (info or {}).get("name") or experiment_name(out)
        write_text(out.with_name("report.html"), report(name, result, problem, evaluation, decisions, sources))
    result["seconds"] = round(time.monotonic() - started, 2)
    write_json(out, result)
    if problem.absent_labels:
        names = ", ".join(problem.absent_labels)
        logger.warning("no ground truth in these clips, so no score, and in no average: %s", names)
    if coverage.scored < coverage.expected or coverage.with_output < coverage.scored:
        logger.warning(
            "%d of %d clips scored, %d of them with output", coverage.scored, coverage.expected, coverage.with_output
        )
    shown = ("event_f1_macro", "segment_f1_macro", "intersection_f1_macro", "psds1", "psds2", "psds1_exact", "psds")
    numbers = " ".join(f"{name} {result[name]:.4f}" for name in shown if result.get(name) is not None)
    logger.info("%s: %d of %d clips: %s", out, coverage.scored, coverage.expected, numbers)


def model_info(source: str, model: str | None) -> dict | None:
    """The experiment's info.json and config: of the model named in the scores, or of the folder above INPUT."""
    from sed.config import load_config

    for folder in (Path(source).resolve().parent.parent, *([Path(model)] if model else [])):
        if (folder / "info.json").is_file() and (folder / "config.yaml").is_file():
            try:
                info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
            except ValueError:
                raise UserError(f"{folder / 'info.json'}: not JSON (train again, or remove it)") from None
            return {**info, "name": folder.name, "config": load_config(folder / "config.yaml")}
    return None


if __name__ == "__main__":
    main()
