"""Tune post-processing on one set, for use on others: per-class filters, bounding boxes, thresholds.

usage: python3 -m sed.bin.tune exp/x/synth_valid/scores.h5 --ground-truth dump/synth_valid/events.tsv \\
           --durations dump/synth_valid/durations.tsv --post-processing csebbs --what csebbs,threshold --out tuned.json
       python3 -m sed.bin.score exp/x/validation/scores.h5 ... --tuned tuned.json

The file names the set and its clips; scoring refuses to use it on any of them.
"""

from __future__ import annotations

from dataclasses import replace

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.evaluation.postprocessing.options import TUNED, add_arguments, check_tuned, resolve, tuned_parts
from sed.evaluation.postprocessing.stored import write_tuned
from sed.evaluation.postprocessing.threshold import Threshold
from sed.provenance import command_line, git_hash


@entry
def main() -> None:
    """Read, tune, write."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("input", help="scores.h5, or a folder of score TSVs")
    p.option("ground-truth", None, "events.tsv of that set", required=True)
    p.option("durations", None, "durations.tsv of that set", required=True)
    p.option("out", None, "JSON file to write", required=True, type=output_file)
    p.option("set", None, "the set's name (default: the folder of --ground-truth)")
    p.option("what", Threshold.name, f"{', '.join(TUNED)}; comma-separated", type=tuned_parts)
    p.option("bias", False, "also measure the mean delay of onsets and offsets, which sed.bin.pseudo_label corrects")
    p.option("only-scored", False, "tune on just the clips that INPUT has")
    add_arguments(p)
    args = p.parse_args()
    setup_logging()
    if args.tuned:
        raise UserError("--tuned is for scoring (tune from plain options)")
    from pathlib import Path

    from sed.evaluation.alignment import align, read_reference, scores_for
    from sed.evaluation.postprocessing.tuning import tune
    from sed.evaluation.submission import read_submission

    submission = read_submission(args.input)
    if submission.scores is None:
        raise UserError(f"{args.input}: decisions cannot be tuned (scores.h5 or score TSVs are expected)")
    reference = read_reference(args.ground_truth, args.durations)
    problem, _ = align(submission, reference, labels=None, only_scored=args.only_scored, allow_missing=False)
    post = resolve(args, problem.labels, ours=submission.kind == "scores.h5")
    check_tuned("--what", args.what, post)
    tuned = tune(problem, scores_for(problem, submission.scores), post, args.what)
    name = args.set or Path(args.ground_truth).resolve().parent.name
    late = {}
    if args.bias:
        from sed.data.tables import read_events_tsv
        from sed.evaluation.pseudo import boundary_bias, decided_events

        found = decided_events(scores_for(problem, submission.scores), tuned)
        late["bias"] = boundary_bias(found, read_events_tsv(args.ground_truth))._asdict()
    facts = {**late, "tuned": args.what, "input": args.input, "command": command_line(), "git": git_hash()}
    write_tuned(args.out, replace(tuned, tuned_on=name), clips=problem.clips, facts=facts)


if __name__ == "__main__":
    main()
