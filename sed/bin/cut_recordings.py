"""Cut a split of long annotated recordings into clips of one length, in DESED's layout.

usage: python3 -m sed.bin.cut_recordings [options] <split> <audio> <tsv>

<split> has audio/, a CSV of its recordings and a CSV of their events (the first of --annotations that exists; with
several annotators, the events annotated by at least half of them). Writes clips into <audio>, then events to <tsv>.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file, words
from sed.data.prepare.clips import Columns
from sed.data.prepare.cutting import cut_split
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
    for column in ("filename", "onset", "offset"):
        parser.option(f"{column}_column", column, f"column of the {column}")
    parser.option("label_column", "class", "column of the label")
    parser.option("annotator_column", "", "column of the annotator, in all tables except the first of --annotations")
    parser.option("status_column", "", "column of the review's verdict, in the same tables")
    parser.option("seconds", 10.0, "length of a clip", least=1.0)
    parser.option("max_bad", 5.0, "refuse when more than this percentage of the recordings is bad", least=0, most=100)
    parser.option("nj", 2, "recordings at once", least=1)
    args = parser.parse_args()
    setup_logging()
    columns = Columns(
        filename=args.filename_column,
        onset=args.onset_column,
        offset=args.offset_column,
        label=args.label_column,
        annotator=args.annotator_column,
        status=args.status_column,
    )
    with lock(args.audio):
        cut_split(
            args.split,
            args.audio,
            args.tsv,
            clips=args.clips,
            annotations=args.annotations,
            columns=columns,
            seconds=args.seconds,
            max_bad=args.max_bad,
            jobs=args.nj,
        )


if __name__ == "__main__":
    main()
