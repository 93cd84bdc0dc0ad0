"""Lay out your own recordings with a table of events or tags as a corpus in DESED's layout, split by recording.

usage: python3 -m sed.bin.own_data --events events.tsv recordings/ downloads/

events.tsv has the columns filename, onset, offset (both in seconds), event_label; a row with only a file name states
that the recording has no events. tags.tsv has the columns filename, event_labels (comma-separated). Writes
downloads/{audio,metadata} for local/prepare.sh. --from is for fine-tuning a packed model on its corrected predictions:
the labels are then the model's and the tables', so that classes without a correction are kept.
"""

from __future__ import annotations

import re
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError


def _parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of audio, any depth, format and rate")
    parser.add_argument("downloads", type=Path, help="folder to write")
    parser.option(
        "events",
        "",
        "DESED's TSV of events, or another tool's label files: file or folder; without it and --tags, the label files "
        "beside the audio are read",
    )
    parser.option("tags", "", "TSV of tags for recordings that are annotated without times")
    parser.option("from", "", "packed model whose labels are kept besides those of the tables")
    parser.option(
        "seconds", 10.0, "length of a clip (s); give clip_seconds of the config, or of the model of --from", least=1
    )
    parser.option(
        "validation",
        0.2,
        "share of the recordings in --events, or of their groups, that is kept to score on",
        least=0,
        most=0.9,
    )
    parser.option(
        "group",
        "",
        "regular expression for names without folder and suffix; recordings with the same match go to the same set",
    )
    parser.option("seed", 0, "random seed of the split")
    parser.option(
        "max-bad",
        20.0,
        "refuse when more than this percentage of the recordings cannot be read, is silent or shorter than 0.1 s",
        least=0,
        most=100,
    )
    parser.option(
        "max-dropped",
        10.0,
        "refuse when more than this percentage of the events do not fit their recordings (sed/data/events.py)",
        least=0,
        most=100,
    )
    parser.option("nj", 2, "number of recordings processed at once", least=1)
    return parser


@entry
def main() -> None:
    """Check, split, cut."""
    args = _parser().parse_args()
    setup_logging()
    from sed.data.annotations.registry import label_files
    from sed.data.prepare.own_recordings import lay_out

    if not args.recordings.is_dir():
        raise UserError(f"{args.recordings}: no such folder of recordings (check the path)")
    written = args.downloads.resolve()
    for folder in (args.recordings, *([Path(args.events)] if args.events else [])):
        if folder.resolve() in (written, *written.parents):
            raise UserError(
                f"{args.downloads}: in {folder}, of which all files are read: another run would read what this one "
                "writes (choose a folder outside of it: --work of run.sh)"
            )
    if not (args.events or args.tags):  # label files must be beside the recordings
        try:
            label_files(args.recordings)
        except UserError as error:
            raise UserError(f"no annotation (give --events or --tags): {error}") from None
        args.events = str(args.recordings)
    try:
        re.compile(args.group)
    except re.error as error:
        raise UserError(f"--group {args.group}: not a regular expression: {error} (see Python's re)") from None

    from sed.checkpoints.packed import read_facts
    from sed.files import lock

    with lock(args.downloads):
        lay_out(
            args.recordings,
            args.downloads,
            events=Path(args.events) if args.events else None,
            tags=Path(args.tags) if args.tags else None,
            seconds=args.seconds,
            share=args.validation,
            group=args.group,
            seed=args.seed,
            jobs=args.nj,
            max_bad=args.max_bad,
            max_dropped=args.max_dropped,
            known=read_facts(Path(model))["labels"] if (model := vars(args)["from"]) else (),
        )


if __name__ == "__main__":
    main()
