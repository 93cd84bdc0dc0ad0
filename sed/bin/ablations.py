"""Write the table of an ablation study, with the AST-SED paper's numbers beside ours.

usage: python3 -m sed.bin.ablations --out exp/ABLATIONS.md conf/x.yaml=exp/x/validation/result.json ...
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry
from sed.config import Parser, load_config, output_file
from sed.errors import UserError
from sed.provenance import ROOT


@entry
def main() -> None:
    from sed.evaluation.reports.ablations import Ablation, Reference, aligned, markdown, rows
    from sed.evaluation.result_file import read_result
    from sed.files import write_text

    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="+", metavar="CONFIG=RESULT", help="a config and its experiment's result.json")
    parser.option(
        "reference", str(ROOT / "conf" / "ast_sed.yaml"), "config from which each row's differences are listed"
    )
    parser.option("out", None, "ABLATIONS.md to write (default: only print the table)", type=output_file)
    args = parser.parse_args()
    ablations = []
    for pair in args.pairs:
        config, result = _halves(pair)
        ablations.append(Ablation(name=Path(config).stem, config=load_config(config), result=read_result(result)))
    reference = Reference(name=Path(args.reference).stem, config=load_config(args.reference))
    if args.out:
        write_text(args.out, markdown(ablations, reference))
    print(aligned(rows(ablations, reference)))


def _halves(pair: str) -> tuple[str, str]:
    """Return config and result.json of a pair, either of which may have `=` in its path.

    Raises:
        UserError: one of them is missing.
    """
    places = [place for place, character in enumerate(pair) if character == "="]
    place = next((place for place in places if Path(pair[:place]).is_file()), places[-1] if places else 0)
    config, result = pair[:place], pair[place + 1 :]
    if not config or not result:
        raise UserError(f"'{pair}' is not config=result.json (conf/x.yaml=exp/x/validation/result.json, say)")
    return config, result


if __name__ == "__main__":
    main()
