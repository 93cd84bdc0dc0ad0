"""Compare experiments: every metric minus that of the first experiment, paired by clip, with 95 % intervals.

usage: python3 -m sed.bin.compare exp/ast_gru exp/ast_sed
       python3 -m sed.bin.compare exp/a,exp/a-2,exp/a-3 exp/b,exp/b-2,exp/b-3    # several seeds of each
       python3 -m sed.bin.compare exp/a exp/b exp/c --html compare.html

Each argument is an experiment's folder, a set's folder in it, or a result.json; commas join the seeds of one system,
whose metrics are then means over seeds. The seeds beside an experiment without commas are found and added (unless
--no-seeds, or one of them is an argument itself). Each further argument is compared with the first. All must be scored
on the same clips, ground truth and labels, with the same --bootstrap and --bootstrap-seed.
"""

from __future__ import annotations

from sed.cli import entry
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.files import check_outputs


@entry
def main() -> None:
    """Load, check, subtract and show."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("experiments", nargs="+", help="experiments; seeds of one system separated by commas")
    p.option("set", None, "set to compare on (needed if an experiment was scored on several)")
    p.option(
        "seeds",
        True,
        "add to an experiment without commas those beside it that differ only in their seed, unless one is an argument",
    )
    p.option("out", None, "JSON file to write the differences to", type=output_file)
    p.option("html", None, "compare.html to write: metrics, differences, classes, curves", type=output_file)
    args = p.parse_args()
    if len(args.experiments) < 2:
        raise UserError("one experiment given: a difference needs two (exp/a exp/b)")
    check_outputs([args.out, args.html], [path for seeds in args.experiments for path in seeds.split(",")])
    from dataclasses import asdict, replace

    from sed.evaluation.confidence.paired import check_comparable, differences, load_systems, terminal
    from sed.evaluation.reports.comparison import compare_report
    from sed.files import write_json, write_text

    systems = load_systems(args.experiments, args.set, seeds=args.seeds)
    check_comparable(systems)
    if len({system.name for system in systems}) < len(systems):  # one experiment scored in two ways, for instance
        systems = [replace(system, name=text) for system, text in zip(systems, args.experiments, strict=True)]
    if args.html:
        write_text(args.html, compare_report(systems))
    if args.out:
        table = {other.name: [asdict(d) for d in differences(systems[0], other)] for other in systems[1:]}
        write_json(args.out, {"compared_with": systems[0].name, "differences": table})
    print("\n\n".join(terminal(systems[0], other) for other in systems[1:]))  # last: a reader such as `head` may stop


if __name__ == "__main__":
    main()
