"""Write RESULTS.md of an exp folder, with RESULTS.csv and RESULTS.tex, and print its main numbers.

usage: python3 -m sed.bin.results exp RESULTS.md
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry
from sed.config import Parser, load_config, output_file
from sed.errors import UserError
from sed.evaluation.reports.results_table import group, markdown, terminal_table
from sed.evaluation.reports.systems_table import csv_text, latex_text
from sed.evaluation.result_file import find_results
from sed.files import write_text
from sed.provenance import ROOT

CONFIG = "conf/ast_sed.yaml"
REFERENCE = str(ROOT / CONFIG)


@entry
def main() -> None:
    """Collect, write and show."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("exp", help="folder of experiments: <experiment>/<set>/result.json")
    p.add_argument(
        "output",
        nargs="?",
        type=output_file,
        help="RESULTS.md to write, with a .csv and a .tex beside it (default: only print the table)",
    )
    p.option("reference", REFERENCE, "config from which each experiment's differences are listed")
    args = p.parse_args()
    if args.output and args.output.suffix in (".csv", ".tex"):
        raise UserError(f"{args.output}: would be overwritten by Markdown (name an .md; .csv and .tex come beside it)")
    found = find_results(args.exp)
    if not found:
        raise UserError(
            f"{args.exp}: no result.json below it (train first: only systems whose training has ended are scored)"
        )
    rows = group(found)
    # Outside a checkout there is no default reference.
    reference = load_config(args.reference) if args.reference != REFERENCE or Path(REFERENCE).is_file() else {}
    if args.output:
        write_text(args.output.with_suffix(".csv"), csv_text(rows))
        write_text(args.output.with_suffix(".tex"), latex_text(rows))
        write_text(args.output, markdown(rows, reference, CONFIG if args.reference == REFERENCE else args.reference))
    print(terminal_table(rows))


if __name__ == "__main__":
    main()
