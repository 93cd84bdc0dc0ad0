"""Lay out recordings with one label file each as a set in DESED's layout.

usage: python3 -m sed.bin.lay_out_set [options] <recordings> <labels> <audio> <tsv>

Label files have the names of their recordings and any format that sed.bin.convert reads; an empty one means that there
are no events. Recordings no longer than a clip are linked into <audio>, longer ones are cut into clips; last, their
events are written to <tsv>.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file, words
from sed.files import lock


@entry
def main() -> None:
    """Parse, lay out."""
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of recordings, at any depth")
    parser.add_argument("labels", type=Path, help="folder of their label files, at any depth; each recording has one")
    parser.add_argument("audio", type=Path, help="folder for the clips")
    parser.add_argument("tsv", type=output_file, help="events of the clips, in DESED's columns")
    parser.option("suffix", ".txt", "suffix of the label files")
    parser.option(
        "list",
        "",
        "file with a recording's path in the first tab-separated field of each line, of which only the name counts "
        "(default: all)",
    )
    parser.option("known", [], "allowed labels, comma-separated (default: any)", type=words)
    parser.option("seconds", 10.0, "length of a clip (s)", least=1.0)
    parser.option(
        "max_bad",
        5.0,
        "refuse when more than this percentage of the recordings longer than a clip is unreadable",
        least=0,
        most=100,
    )
    parser.option("nj", 2, "number of recordings processed at once", least=1)
    args = parser.parse_args()
    setup_logging()

    from sed.data.prepare.labelled_set import lay_out_set

    with lock(args.audio):
        lay_out_set(
            args.recordings,
            args.labels,
            args.audio,
            args.tsv,
            suffix=args.suffix,
            listed=Path(args.list) if args.list else None,
            known=args.known,
            seconds=args.seconds,
            max_bad=args.max_bad,
            jobs=args.nj,
        )


if __name__ == "__main__":
    main()
