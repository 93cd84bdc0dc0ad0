"""Split the sources in a soundbank's train/ into a new soundbank to tune on; those in its validation/ are left out.

usage: python3 -m sed.bin.split_soundbank [options] <soundbank> <out>
       python3 -m sed.bin.split_soundbank --count sources.json <soundbank>

The files of <out>/train and <out>/validation are symbolic links to recordings of <soundbank>/train. Recordings of one
source (`source` in <soundbank>/ATTRIBUTION.tsv, else `author`, else the file itself) go to the same side. A label with
two or more sources has recordings on both sides, unless its sources were all assigned to one side because of other
labels that they also have. --count writes the number of sources and recordings of each foreground label, and nothing
else.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError


@entry
def main() -> None:
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument(
        "soundbank",
        type=Path,
        help="{train,validation}/{foreground,background,distractor}/<label>/; below background and distractor any name "
        "will do",
    )
    p.add_argument("out", type=Path, nargs="?", help="folder to write")
    p.option(
        "share",
        0.25,
        "share of each label's recordings for validation, which gets whole sources until it has that share",
        least=0.01,
        most=0.99,
    )
    p.option("seed", 0, "seed of the random assignment", least=0)
    p.option(
        "count",
        None,
        "write only the numbers of sources and recordings of the foreground labels to this JSON file: {train or "
        "validation: {label: [sources, recordings]}}",
        type=output_file,
    )
    args = p.parse_args()
    setup_logging()
    from sed.data.synthesis import split_bank
    from sed.files import write_json

    if not args.soundbank.is_dir():
        raise UserError(f"{args.soundbank}: no such soundbank (check the path)")
    if args.count:
        if args.out is not None:
            raise UserError(f"--count splits nothing: {args.out} would not be written (leave it out, or --count)")
        counts = split_bank.counts(split_bank.sources(args.soundbank))
        if not counts:
            raise UserError(f"{args.soundbank}: no recordings in <split>/foreground/<label>/ (a soundbank is expected)")
        write_json(args.count, counts)
        return
    if args.out is None:
        raise UserError("no folder to write (give it after the soundbank: <soundbank> <out>)")
    split_bank.check_replaceable(args.soundbank, args.out)
    files = split_bank.sources(args.soundbank)
    try:
        sides = split_bank.split(files, args.share, args.seed)
    except UserError as error:
        raise UserError(f"{args.soundbank}: {error}") from None
    split_bank.write(args.soundbank, args.out, sides)
    validation = sum(side == "validation" for side in sides.values())
    logging.getLogger("sed").info("%s: %d recordings, %d of them in validation", args.out, len(sides), validation)


if __name__ == "__main__":
    main()
