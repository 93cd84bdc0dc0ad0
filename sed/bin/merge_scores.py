"""Merge the scores of a set that sed.bin.infer computed in parts.

usage: python3 -m sed.bin.merge_scores scores.1.h5 scores.2.h5 ... dump/validation exp/ast_sed/validation/scores.h5

The parts come from sed.bin.infer --part, in order; together they must cover the clips of the dump, each once.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.files import check_outputs


@entry
def main() -> None:
    """Read, check, write."""
    parser = Parser(__doc__.split("\n", 1)[0])
    parser.add_argument("parts", nargs="+", type=Path, help="scores.h5 of the parts, in order")
    parser.add_argument("dump", type=Path, help="dump/<set> that they were inferred on")
    parser.add_argument("output", type=output_file, help="scores.h5 to write")
    args = parser.parse_args()
    logger = setup_logging()

    from sed.data.directory import read_scp
    from sed.data.scores import merge_scores, read_scores, write_scores

    if twice := [path for path, count in Counter(args.parts).items() if count > 1]:
        raise UserError(f"{twice[0]}: given twice (give each part once)")
    check_outputs([args.output], args.parts)
    parts = {str(path): read_scores(path) for path in args.parts}
    scores = merge_scores(parts, clips=list(read_scp(args.dump / "feats.scp")), where=str(args.dump / "feats.scp"))
    write_scores(args.output, scores)
    logger.info("%s: %d clips of %d parts", args.output, len(scores.clips), len(parts))


if __name__ == "__main__":
    main()
