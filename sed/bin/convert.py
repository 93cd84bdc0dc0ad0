"""Convert label files of any format that this project reads to any that it writes.

usage: python3 -m sed.bin.convert labels.csv --to raven --out-dir raven/
       python3 -m sed.bin.convert audacity_labels/ --to tsv --out events.tsv

INPUT is a label file or a folder of them: DESED's TSV; CSV, TSV or JSON lines whose columns have the usual names
(`sed/data/annotations/named_columns.py` lists them) in any order; DCASE's lists without a header; Audacity, Raven,
Praat TextGrid, ELAN, JAMS, Label Studio; subtitles only as single files: in a folder they are skipped, since they may
be copies of the label files beside them, for a player. The format is detected from the content. In tsv, jsonl,
events-tsv and events-csv, a recording without events has a row with only its name.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import UserError
from sed.files import check_outputs
from sed.prediction.writers import FORMATS


@entry
def main() -> None:
    """Read and write."""
    formats = sorted(FORMATS.keys() - {"csv"})  # predict's csv holds posteriors, which label files lack
    parser = Parser(__doc__.split("\n", 1)[0])
    parser.add_argument("input", type=Path, help="label file, or folder of label files")
    parser.option("to", "tsv", "format to write (docs/own-sounds.md says of which tool)", choices=formats)
    parser.option("out", None, "one file for all recordings (default, and -: standard output)", type=output_file)
    parser.option("out-dir", None, "folder for one file per recording", type=Path)
    args = parser.parse_args()
    logger = setup_logging()
    if args.out == Path("-"):  # as in predict
        args.out = None
    if args.out and args.out_dir:
        raise UserError("give either --out or --out-dir (one of them)")
    check_outputs([args.out], [args.input])
    if args.out_dir and args.out_dir.resolve() == args.input.resolve():
        raise UserError(
            f"--out-dir {args.out_dir}: the folder that is read (give another: files below --out-dir are not read)"
        )

    from sed.data.events import read_named
    from sed.files import write_text
    from sed.prediction.conversion import in_one_file, one_file_each

    # Outputs of an earlier run are not read: files below --out-dir, unless the input folder itself is below it (outputs
    # lie in --out-dir itself, so there are none in that folder).
    earlier = [args.out] if args.out else []
    if args.out_dir and not args.input.resolve().is_relative_to(args.out_dir.resolve()):
        earlier = [*args.out_dir.rglob("*")]
    recordings = read_named(args.input, {path.resolve() for path in earlier})
    repeated = {name: count for name, events in recordings.items() if (count := len(events) - len(set(events)))}
    if repeated:
        count, first = sum(repeated.values()), next(iter(repeated))
        said = "%s: %d events are repeated, the first in %s, and written as often (has a recording two label files?)"
        logger.warning(said, args.input, count, first)
    if args.out_dir:
        files = one_file_each(recordings, args.to)
        check_outputs([args.out_dir / name for name in files], [args.input])
        args.out_dir.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_text(args.out_dir / name, text)
    else:
        text = in_one_file(recordings, args.to)
        write_text(args.out, text) if args.out else sys.stdout.write(text)
    events = sum(map(len, recordings.values()))
    logger.info("%s: %d events of %d recordings", args.input, events, len(recordings))


if __name__ == "__main__":
    main()
