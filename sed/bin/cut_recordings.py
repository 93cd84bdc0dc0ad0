"""Cut a split of long annotated recordings into clips of one length, in DESED's layout.

usage: python3 -m sed.bin.cut_recordings [options] <split> <audio> <tsv>

<split> has audio/, a CSV of its recordings and a CSV of their events (the first of --annotations that exists, with
--prefer-raw the last). Events of several annotators are aggregated (--aggregation). Writes clips into <audio>, then
events to <tsv>. For x.tsv, soft labels go to x.soft.tsv; if clips overlap (--hop less than --seconds), x.recordings/
gets the tables that sed/data/windows.py describes.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file, words
from sed.data.prepare.aggregation import AGGREGATIONS, Options
from sed.data.prepare.clips import Columns
from sed.data.prepare.cutting import Cut, cut_split
from sed.errors import UserError
from sed.files import lock

SHORTEST_HOP = 0.01  # seconds; a hop that rounds to no sample would never reach the next clip


def _parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("split", type=Path, help="folder of one split")
    parser.add_argument("audio", type=Path, help="folder for the clips")
    parser.add_argument("tsv", type=output_file, help="events of the clips, in DESED's columns")
    parser.option("clips", "metadata.csv", "CSV that names every recording of the split")
    parser.option(
        "annotations", ["annotations.csv"], "CSVs of events, comma-separated; the first that exists is read", type=words
    )
    parser.option(
        "prefer_raw",
        False,
        "read the last of --annotations that exists: the rows of every annotator instead of the merged ones",
    )
    for column in ("filename", "onset", "offset"):
        parser.option(f"{column}_column", column, f"name of the column with the {column}")
    parser.option("label_column", "class", "name of the column with the label")
    parser.option(
        "annotator_column",
        "",
        "column of the annotator, in the tables of --annotations except the first, whose events are merged already",
    )
    parser.option("status_column", "", "column of the review: unreviewed, accepted or rejected, in the same tables")
    parser.option("collector_column", "", "column that is true if the annotator made the recording, in the same tables")
    parser.option(
        "aggregation",
        "majority",
        "how events of several annotators are merged (sed/data/prepare/aggregation.py); uniform and weighted give soft "
        "labels",
        choices=AGGREGATIONS,
    )
    parser.option(
        "alpha",
        16.0,
        "with --aggregation weighted: an annotator's weight is proportional to this power of the annotator's score, "
        "the agreement with the others; where accepted rows are used, weights are equal",
        least=0,
        most=1000,
    )
    parser.option("reviewed", True, "in recordings that have accepted rows, use these instead of the unreviewed ones")
    parser.option(
        "only_annotated",
        False,
        "leave out recordings without a row in the table of events; always done unless the first of --annotations is "
        "read",
    )
    parser.option("seconds", 10.0, "length of a clip (s)", least=1.0)
    parser.option("hop", 0.0, "seconds from the start of one clip to that of the next (0: --seconds)", least=0)
    parser.option(
        "max_bad", 5.0, "refuse when more than this percentage of the recordings is unreadable", least=0, most=100
    )
    parser.option("nj", 2, "number of recordings processed at once", least=1)
    return parser


@entry
def main() -> None:
    args = _parser().parse_args()
    setup_logging()
    if args.hop > args.seconds:
        raise UserError(f"--hop {args.hop:g} is more than --seconds {args.seconds:g}: there would be gaps (lower it)")
    if 0 < args.hop < SHORTEST_HOP:
        raise UserError(f"--hop {args.hop:g}: at least {SHORTEST_HOP:g} s (raise it, or 0 for --seconds)")
    cut = Cut(
        listing=args.clips,
        annotations=args.annotations,
        columns=Columns(
            filename=args.filename_column,
            onset=args.onset_column,
            offset=args.offset_column,
            label=args.label_column,
            annotator=args.annotator_column,
            status=args.status_column,
            collector=args.collector_column,
        ),
        prefer_raw=args.prefer_raw,
        aggregation=Options(name=args.aggregation, alpha=args.alpha, reviewed=args.reviewed),
        seconds=args.seconds,
        hop=args.hop or None,
        only_annotated=args.only_annotated,
        max_bad=args.max_bad,
        jobs=args.nj,
    )
    with lock(args.audio):
        cut_split(args.split, args.audio, args.tsv, cut)


if __name__ == "__main__":
    main()
