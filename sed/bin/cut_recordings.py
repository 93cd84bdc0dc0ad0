"""Cut a split of long annotated recordings into clips of one length, in DESED's layout.

usage: python3 -m sed.bin.cut_recordings [options] <split> <audio> <tsv>

<split> has audio/, a CSV of its recordings and a CSV of their events (the first of --annotations that is there; of
several annotators, what at least half of them heard). Writes clips into <audio> and, last, their events to <tsv>.
"""

from __future__ import annotations

import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from sed.config import Parser, words
from sed.data.directory import EVENT_COLUMNS, write_tsv
from sed.data.windows import Columns, csv_rows, cut_recording, read_events, window_events
from sed.files import lock
from sed.log import UserError, entry, setup_logging

log = logging.getLogger("sed.cut")


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("split", type=Path, help="folder of one split")
    parser.add_argument("audio", type=Path, help="folder for the clips")
    parser.add_argument("tsv", type=Path, help="events of the clips, in DESED's columns")
    parser.option("clips", "metadata.csv", "CSV that names every recording of the split")
    parser.option("annotations", ["annotations.csv"], "CSVs of events, comma-separated; the first there is", type=words)
    for column in ("filename", "onset", "offset"):
        parser.option(f"{column}_column", column, f"column of the {column}")
    parser.option("label_column", "class", "column of the label")
    parser.option("annotator_column", "", "column of who heard it, in a table of several annotators")
    parser.option("status_column", "", "column of what a review said of it")
    parser.option("seconds", 10.0, "length of a clip", least=1.0)
    parser.option("max_bad", 5.0, "refuse when more than this percentage of the recordings is bad", least=0, most=100)
    parser.option("nj", 2, "recordings at once", least=1)
    args = parser.parse_args()
    setup_logging()
    found = [args.split / name for name in args.annotations if (args.split / name).exists()]
    if not found:
        raise UserError(f"{args.split}: no {' or '.join(args.annotations)} (its layout is not the one known here)")
    table, inputs = found[0], [found[0], args.split / args.clips]
    if args.tsv.exists() and all(path.stat().st_mtime < args.tsv.stat().st_mtime for path in inputs if path.exists()):
        log.info("%s: there already", args.tsv)
        return
    several = table != args.split / args.annotations[0]  # the raw table, which has the columns of a review
    columns = Columns(
        filename=args.filename_column,
        onset=args.onset_column,
        offset=args.offset_column,
        label=args.label_column,
        annotator=args.annotator_column if several else "",
        status=args.status_column if several else "",
    )
    names = list(dict.fromkeys(name for _, (name,) in csv_rows(inputs[1], [args.filename_column])))
    if len({Path(name).stem for name in names}) < len(names):
        raise UserError(f"{inputs[1]}: two recordings whose names differ in the suffix only (rename one)")
    events = read_events(table, columns)
    if unknown := sorted(set(events) - set(names)):
        raise UserError(f"{table}: {len(unknown)} recordings that {args.clips} does not name, as '{unknown[0]}'")
    if several:  # a recording that nobody annotated is not one without events
        log.info("%s: %d of %d recordings are annotated, the others left out", table, len(events), len(names))
        names = [name for name in names if name in events]
    with lock(args.audio):
        found, bad = cut_all(names, args.split / "audio", args.audio, args.seconds, args.nj)
        for name, why in bad.items():
            log.warning("left out: %s: %s", name, why)
        if 100 * len(bad) > args.max_bad * len(names):
            raise UserError(
                f"{args.split}: {len(bad)} of {len(names)} recordings cannot be read (more than --max-bad "
                f"{args.max_bad:g} %): {next(iter(bad.values()))}"
            )
        rows = []
        for clip, heard in sorted(window_events(events, found).items()):
            lines = [(f"{clip}.flac", f"{e.onset:.3f}", f"{e.offset:.3f}", e.label) for e in heard]
            rows += lines or [(f"{clip}.flac", "", "", "")]
        write_tsv(args.tsv, EVENT_COLUMNS, rows)
    clips = sum(map(len, found.values()))
    log.info("%s: %d clips of %d recordings, %d left out", args.tsv, clips, len(found), len(bad))


def cut_all(
    names: list[str], source: Path, folder: Path, seconds: float, jobs: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, str]]:
    """Cut the recordings; {file name: its windows} and {file name: why it was left out}."""
    found: dict[str, list[tuple[float, float]]] = {}
    bad: dict[str, str] = {}

    def one(name: str) -> str:
        try:
            found[name] = cut_recording(source / name, folder, window=seconds)
        except UserError as error:
            bad[name] = str(error)
        return name

    quiet = not sys.stderr.isatty()
    begun = told = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        for done, _ in enumerate(tqdm(pool.map(one, names), total=len(names), unit="file", disable=quiet), 1):
            if quiet and time.monotonic() - told > 10:
                told = time.monotonic()
                left = (len(names) - done) * (told - begun) / done
                log.info("cut %d of %d recordings, %.0f s left", done, len(names), left)
    return {name: found[name] for name in names if name in found}, {name: bad[name] for name in names if name in bad}


if __name__ == "__main__":
    main()
