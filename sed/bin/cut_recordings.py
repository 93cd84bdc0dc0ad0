"""Cut a split of long annotated recordings into clips of one length, in DESED's layout.

usage: python3 -m sed.bin.cut_recordings [options] <split> <audio> <tsv>

<split> has audio/, a CSV of its recordings and a CSV of their events (the first of --annotations that exists), by one
annotator or by several, whose events are aggregated (--aggregation). Writes clips into <audio>, then events to <tsv>.
For x.tsv, soft labels go to x.soft.tsv; if --hop is less than --seconds, so that clips overlap, the recordings' labels
go to x.recordings/.
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


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("split", type=Path, help="folder of one split")
    parser.add_argument("audio", type=Path, help="folder for the clips")
    parser.add_argument("tsv", type=output_file, help="events of the clips, in DESED's columns")
    parser.option("clips", "metadata.csv", "CSV that names every recording of the split")
    parser.option(
        "annotations", ["annotations.csv"], "CSVs of events, comma-separated; the first that exists is read", type=words
    )
    parser.option("prefer_raw", False, "read the last of --annotations that exists, where several annotators are")
    for column in ("filename", "onset", "offset"):
        parser.option(f"{column}_column", column, f"column of the {column}")
    parser.option("label_column", "class", "column of the label")
    parser.option("annotator_column", "", "column of the annotator, in all tables except the first of --annotations")
    parser.option("status_column", "", "column of the review's verdict, in the same tables")
    parser.option("collector_column", "", "column that is true for who made the recording, in the same tables")
    parser.option(
        "aggregation", "majority", "of several annotators' events; uniform, weighted: soft", choices=AGGREGATIONS
    )
    parser.option("alpha", 16.0, "weighted: power of the annotators' scores that their weights are", least=0, most=1000)
    parser.option("reviewed", True, "only accepted rows count where a recording has some (else: unreviewed rows)")
    parser.option("only_annotated", False, "leave out recordings without a row, also of the first of --annotations")
    parser.option("seconds", 10.0, "length of a clip", least=1.0)
    parser.option("hop", 0.0, "seconds from the start of a clip to the next one's (0: --seconds)", least=0)
    parser.option("max_bad", 5.0, "refuse when more than this percentage of the recordings is bad", least=0, most=100)
    parser.option("nj", 2, "recordings at once", least=1)
    args = parser.parse_args()
    setup_logging()
    if args.hop > args.seconds:
        raise UserError(f"--hop {args.hop:g} is more than --seconds {args.seconds:g}: there would be gaps (lower it)")
    cut = Cut(
        clips=args.clips,
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
