"""A folder of recordings and a table of events or tags, laid out as DESED is, split by recording.

usage: python3 -m sed.bin.own_data --events events.tsv recordings/ downloads/

events.tsv has the columns filename, onset, offset, event_label (seconds; a row with a file name alone: nothing to
hear); tags.tsv filename, event_labels (commas between). Writes downloads/{audio,metadata} for local/prepare.sh.
With --from, the labels are those of a packed model and those of the tables: for events of that model which were
corrected on predict's page, so that a fine-tuned model still detects what the corrections happen not to have.
"""

from __future__ import annotations

import re
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError


@entry
def main() -> None:
    """Check, split, cut."""
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path, help="folder of audio, any depth, format and rate")
    parser.add_argument("downloads", type=Path, help="folder to write")
    parser.option("events", "", "table of events: DESED's TSV, or another tool's labels, file or folder")
    parser.option("tags", "", "TSV of tags, of recordings without events")
    parser.option("from", "", "packed model whose labels are kept besides those of the tables")
    parser.option("seconds", 10.0, "length of a clip: the model's", least=1)
    parser.option("validation", 0.2, "share of the annotated recordings that is kept for validation", least=0, most=0.9)
    parser.option("group", "", "regular expression: recordings in whose names it finds the same stay together")
    parser.option("seed", 0, "of the split")
    parser.option("max-bad", 20.0, "refuse when more of the recordings, in per cent, cannot be read", least=0, most=100)
    parser.option(
        "max-dropped", 10.0, "refuse when more of the events, in per cent, do not fit them", least=0, most=100
    )
    parser.option("nj", 2, "recordings at once", least=1)
    args = parser.parse_args()
    setup_logging()
    from sed.data.annotations.registry import label_files
    from sed.data.prepare.own_recordings import lay_out

    if not args.recordings.is_dir():
        raise UserError(f"{args.recordings}: no such folder of recordings (check the path)")
    if not (args.events or args.tags):  # labels lie beside the recordings
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
