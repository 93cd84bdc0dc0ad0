"""Choose which unlabelled recordings to label next: those that the model is unsure of, and unlike one another.

usage: python3 -m sed.bin.choose --model model/ --count 20 --html page.html recordings/ > list.tsv
       python3 -m sed.bin.choose --model model/ --labelled corrected.tsv --html page.html recordings/ > next.tsv

The list has the chosen recordings in order, each with its uncertainty (in its most uncertain second, the mean over
frames of the highest entropy of any label's decision, in bits, 0 to 1), its distance from the nearest recording that
was chosen or labelled before (empty if there is none), and the start (s) of that second and the label of the highest
mean entropy in it. The page shows the recordings in that order, to correct and export their events.
`sed/prediction/choice.py` describes the measures and names their sources.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.postprocessing.options import add_arguments
from sed.files import check_outputs
from sed.prediction.recording import BATCH, BATCH_ON_GPU
from sed.prediction.sources import find_recordings, is_stream
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.writers import output_file

if TYPE_CHECKING:
    from sed.prediction.choice import Doubt

COLUMNS = ("filename", "uncertainty", "distance", "onset", "event_label")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("recordings", nargs="+", help="files, folders, globs")
    p.option("model", None, "experiment folder, checkpoint (.pt) or packed model")
    p.option("onnx", None, "exported model (.onnx), run by ONNX Runtime, instead of --model")
    p.option("which", "teacher", "network of the mean-teacher pair to use", choices=["teacher", "student"])
    p.option("count", 10, "number of recordings to choose", least=1)
    p.option("labelled", "", "table of events of the recordings that are labelled: neither they nor copies are chosen")
    p.option("out", None, "TSV to write the list to (default: standard output)", type=output_file)
    p.option("html", None, "HTML page of the chosen recordings to write, for corrections", type=output_file)
    p.option("html-audio", True, "put the audio into the page")
    p.section("computation")
    add_window_arguments(p)
    p.option("batch-size", 0, f"windows per batch (0: {BATCH}, on a GPU {BATCH_ON_GPU})", least=0)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option("precision", "float32", "number format of the matrix products", choices=["float32", "bfloat16", "int8"])
    p.option("threads", 1, "processor threads", least=1, most=1024)
    add_arguments(p)
    return p


@entry
def main() -> int:
    """Measure, choose, write."""
    args = parser().parse_args()
    logger = setup_logging()
    if (args.model is None) == (args.onnx is None):
        raise UserError("give either --model or --onnx (one of them, not both)")
    check_outputs([args.out, args.html], [args.labelled, *args.recordings])
    if "-" in args.recordings:
        raise UserError("-: standard input is one recording, there is nothing to choose (give files or folders)")
    if args.html and (pipe := next(filter(is_stream, args.recordings), None)):
        raise UserError(f"{pipe}: a pipe, and --html reads chosen recordings again (give files, or leave --html out)")

    from sed.data.events import FULL_NAMES, read_rows
    from sed.files import write_text
    from sed.prediction import session

    # before the work: a table that is not there, or of other recordings, would else be missed only after hours of them
    known = {row.clip for row in read_rows(Path(args.labelled), FULL_NAMES)} if args.labelled else set()
    _labelled(args, known, find_recordings(args.recordings)[0])
    predictor, post, _ = session.open_predictor(
        model=args.model,
        onnx=args.onnx,
        which=args.which,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        options=args,
    )
    names, doubts, problems = session.doubts(args, predictor, post)
    rows, chosen = _choice(args, known, names, doubts, logger)
    text = "".join("\t".join(row) + "\n" for row in [COLUMNS, *rows])
    write_text(args.out, text) if args.out else sys.stdout.write(text)
    status = 0
    if args.html and not chosen:
        logger.warning("%s: not written, since no recording was chosen", args.html)
    elif args.html:
        # Write only the page: no formats, and events go to standard output only if `out_dir` is None.
        page = {"recordings": chosen, "format": [], "out_dir": Path()}
        with ExitStack() as stack:
            status = session.recordings(argparse.Namespace(**vars(args) | page), predictor, post, stack)
    return session.name_problems(problems) or status


def _labelled(args: argparse.Namespace, known: Collection[str], names: Sequence[str]) -> list[int]:
    """Return the indices of the recordings in --labelled; the arguments are those of `_choice`.

    Raises UserError if there are recordings, but none of them is in a table that names some.
    """
    from sed.prediction.choice import labelled_among

    labelled = labelled_among(names, known)
    if known and names and not labelled:
        raise UserError(f"{args.labelled}: none of its {len(known)} recordings is among those given (check the names)")
    return labelled


def _choice(
    args: argparse.Namespace,
    known: Collection[str],
    names: Sequence[str],
    doubts: Sequence[Doubt],
    logger: logging.Logger,
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Return the rows of the list (see COLUMNS), and the chosen recordings.

    Args:
        args: the command line.
        known: names of recordings in --labelled.
        names: paths of the recordings.
        doubts: their measurements.
        logger: where a choice of fewer recordings than --count is explained.
    """
    import numpy as np

    from sed.data.recordings import shown
    from sed.prediction.choice import choose

    labelled = _labelled(args, known, names)
    descriptors = np.stack([doubt.descriptor for doubt in doubts])
    chosen = choose([doubt.uncertainty for doubt in doubts], descriptors, args.count, labelled)
    if len(labelled) == len(names):
        logger.info("none chosen: all recordings are labelled")
    elif len(chosen) < min(args.count, len(names) - len(labelled)):
        logger.info("%d chosen: all others are copies of these or of labelled recordings", len(chosen))
    rows: list[tuple[str, ...]] = []
    for index, distance in chosen:
        doubt = doubts[index]
        away = "" if math.isnan(distance) else f"{distance:.4f}"
        rows.append((shown(names[index]), f"{doubt.uncertainty:.4f}", away, f"{doubt.onset:.3f}", doubt.label))
    return rows, [names[index] for index, _ in chosen]


if __name__ == "__main__":
    main()
