"""Draw figure 3 of the AST-SED paper, the F1 of each frequency band by class: PNG and TSV.

usage: python3 -m sed.bin.figure3 --model exp/ast_gru [--classes Speech,Dog,...] exp/figure3
       python3 -m sed.bin.figure3 --model exp/ast_gru --list

Reads exp/figure3/{swapped,retrained}/band_KK/.../result.json from steps/figure3.sh; writes figure3.tsv,
figure3_<reading>.png with four classes and figure3_<reading>_all.png with all. Bars are relative to the best band of
their class. The paper does not say whether a trained model uses each band instead of the mean over bands (swapped) or a
model is trained per band (retrained); these are the two readings. --list prints each band's number, lower and upper
frequency (Hz) instead.
"""

from __future__ import annotations

from pathlib import Path

from sed.checkpoints.defaults import read_model_config
from sed.cli import entry
from sed.config import Parser, literals, words
from sed.errors import UserError


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    four = list(literals("sed.evaluation.reports.figure3")["FOUR"])
    parser.add_argument("folder", nargs="?", type=Path, help="folder of the scores of steps/figure3.sh")
    parser.option("model", None, "experiment of AST-GRU", required=True)
    parser.option("classes", four, "classes of the small figure, at most four; others fill it up to four", type=words)
    parser.option("list", False, "print the bands and exit")
    args = parser.parse_args()

    from sed.evaluation.reports import figure3
    from sed.files import replacing, write_text

    edges = figure3.band_edges(read_model_config(Path(args.model) / "config.yaml"))
    if args.list:
        for band, (low, high) in enumerate(edges):
            print(f"{band} {low:.0f} {high:.0f}")
        return
    if args.folder is None:
        raise UserError("which folder? (steps/figure3.sh makes it; --list needs none)")
    readings = {name: figure3.read_bands(args.folder / name, len(edges)) for name in figure3.READINGS}
    made = {name: classes for name, classes in readings.items() if classes}
    if not made:
        raise UserError(f"{args.folder}: no scores of any band (run steps/figure3.sh)")
    if len(args.classes) > 4:
        raise UserError(f"--classes: {len(args.classes)} classes (name at most four; the other figure has all)")
    scored = [label for classes in made.values() for label in classes]
    # DESED's four are the default for any corpus: those that it lacks are no error; others fill the figure up (below).
    if args.classes != four and (unknown := [label for label in args.classes if label not in scored]):
        raise UserError(f"--classes: no class '{unknown[0]}' (there are {', '.join(dict.fromkeys(scored))})")
    for name, classes in made.items():
        present = [label for label in args.classes if label in classes]
        chosen = (present + [label for label in classes if label not in present])[:4]
        for suffix, labels in (("", chosen), ("_all", list(classes))):
            with replacing(args.folder / f"figure3_{name}{suffix}.png") as part:
                figure3.draw(classes, labels, edges, figure3.READINGS[name]).savefig(part, format="png", dpi=150)
    write_text(args.folder / "figure3.tsv", figure3.table(made, edges))
    print(f"{args.folder}/figure3.tsv: {len(edges)} bands, {', '.join(made)}")


if __name__ == "__main__":
    main()
