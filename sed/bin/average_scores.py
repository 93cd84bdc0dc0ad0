"""Average the scores of several models on one set: an ensemble.

usage: python3 -m sed.bin.average_scores exp/x_seed1/weak/scores.h5 exp/x_seed2/weak/scores.h5 exp/x/weak/scores.h5

The last file is written; it may replace an earlier mean, but not the scores of a model. All scores must have the same
clips and labels. If their frame rates differ, as between encoders, the mean has the finest.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.files import check_outputs


@entry
def main() -> None:
    """Read, average, write."""
    parser = Parser(__doc__.split("\n", 1)[0])
    parser.add_argument("members", nargs="*", type=Path, help="scores.h5 of each model")
    parser.add_argument("out", type=output_file, help="scores.h5 to write")
    args = parser.parse_args()
    members, out = args.members, args.out
    logger = setup_logging()
    if not members:
        raise UserError("only one file given (name the scores of each model, and last the file to write)")
    files = [path.resolve() for path in members]
    for place, path in enumerate(members):
        if files[place] in files[:place]:
            raise UserError(f"{path}: given twice, but each model counts once (name it once)")
    check_outputs([out], members)

    from sed.data.scores import average_scores, read_scores, write_scores

    _check_output(out)
    scores = average_scores({str(path): read_scores(path) for path in members})
    out.parent.mkdir(parents=True, exist_ok=True)
    write_scores(out, scores)
    logger.info("%s: %d clips, the mean of %d models", out, len(scores.clips), len(members))


def _check_output(out: Path) -> None:
    """Raise UserError if the file to write has scores that are not a mean of an earlier call."""
    from sed.data.scores import read_scores

    try:
        mean = not out.exists() or "ensemble" in read_scores(out).attrs
    except UserError:  # damaged scores, or none: replaced, as by every command
        return
    if not mean:
        raise UserError(f"{out}: exists and is not a mean, but scores of a model (name the file to write last)")


if __name__ == "__main__":
    main()
