"""Detect sound events in recordings: files, folders, globs, standard input, a watched folder or a live stream.

usage: python3 -m sed.bin.predict --model exp/ast_sed recording.wav > events.tsv
       python3 -m sed.bin.predict --model model/ --format jsonl,audacity --out-dir out/ --html out/page.html recordings/
       python3 -m sed.bin.predict --model model/ --watch recordings/ --format jsonl --out events.jsonl
       arecord -t raw -r 16000 -f S16_LE | python3 -m sed.bin.predict --model model/ --live
       python3 -m sed.bin.predict --onnx model.onnx recording.flac

Recordings may have any length and rate, and any format that libsndfile reads, or ffmpeg or PyAV if one is installed;
memory does not grow with the length. The post-processing is that stored with the model, unless options change it. If a
recording cannot be read, the others are still processed; its name and the reason are printed at the end, and the exit
status is 1.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, words
from sed.errors import UserError
from sed.evaluation.postprocessing.options import add_arguments
from sed.files import check_outputs
from sed.parallel import MOST_THREADS, default_jobs, free_processors
from sed.prediction.live import KINDS
from sed.prediction.recording import BATCH, BATCH_ON_GPU
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows
from sed.prediction.writers import FORMATS, output_file


def _file_or_standard_output(text: str) -> Path | str:
    """Parse the option --out."""
    return text if text == "-" else output_file(text)


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("recordings", nargs="*", help="files, folders, globs; - reads a file from standard input")
    p.option("model", None, "experiment folder, checkpoint (.pt), packed model, or hf://organisation/name")
    p.option("onnx", None, "exported model (.onnx), run by ONNX Runtime, instead of --model")
    p.option("which", "teacher", "network of the mean-teacher pair to use", choices=["teacher", "student"])
    p.section("output")
    p.option(
        "format",
        "tsv",
        f"one of {', '.join(FORMATS)}; with --out-dir several, comma-separated. tsv: DESED's columns; events-tsv and "
        "events-csv: also paths, scores and times of day; csv: posteriors of all frames; others: docs/own-sounds.md",
        type=words,
    )
    p.option("out", "-", "file for all recordings together; -: standard output", type=_file_or_standard_output)
    p.option("out-dir", None, "folder for one file per recording and format, instead of --out", type=Path)
    p.option("html", None, "HTML page to write: spectrogram, events and player of each recording", type=output_file)
    p.option("html-audio", True, "put the audio into the page")
    p.section("computation")
    add_window_arguments(p)
    p.option("batch-size", 0, f"windows per batch (0: {BATCH}, on a GPU {BATCH_ON_GPU})", least=0)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option(
        "precision",
        "float32",
        "number format of the matrix products; bfloat16 is recommended for speed",
        choices=["float32", "bfloat16", "int8"],
    )
    p.option(
        "threads", 0, "processor threads (0: OMP_NUM_THREADS, else all idle processors)", least=0, most=MOST_THREADS
    )
    p.section("watching")
    p.option(
        "watch", None, "predict on each recording that is written into this folder, once; Ctrl-C ends it", type=Path
    )
    p.option(
        "watch-state", None, "file with the recordings done (default: beside --out, or in --out-dir)", type=output_file
    )
    p.option("watch-settle", 2.0, "seconds without a change after which a recording is complete", least=0)
    p.option("watch-patience", 60.0, "seconds without a change after which an unreadable file is given up", least=0)
    p.option("watch-interval", 1.0, "seconds between two listings of the folder", least=0.01, most=86400)
    p.option("watch-idle", 0.0, "end after this many seconds without a new recording (0: never)", least=0)
    p.section("live")
    p.option("live", False, "read raw PCM from standard input, print events as they are decided")
    p.option("live-rate", 16000, "samples per second of the stream", least=1000)
    p.option("live-channels", 1, "channels of the stream", least=1)
    p.option("live-kind", "s16", "type of the stream's samples, little-endian", choices=list(KINDS))
    p.option("live-hop", 1.0, "seconds between two runs of the model", least=0.01)
    p.option("live-lookahead", 0.5, "seconds of later audio before a posterior counts; filters wait longer", least=0)
    add_arguments(p)
    return p


def _idle_threads() -> int:
    """Return the value of OMP_NUM_THREADS if it is 1 to MOST_THREADS, else the number of idle processors; log it."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() and 0 < int(given) <= MOST_THREADS else free_processors()
    logging.getLogger("sed.predict").info("%d of %d processors (--threads N changes it)", threads, default_jobs())
    return threads


@entry
def main() -> int:
    """Predict and write."""
    args = parser().parse_args()
    logger = setup_logging()
    if (args.model is None) == (args.onnx is None):
        raise UserError("give either --model or --onnx (one of them, not both)")
    if args.live and (args.recordings or args.html or args.out_dir):
        raise UserError(
            "--live reads standard input and writes to --out: no recordings, --html or --out-dir (leave them out)"
        )
    if args.watch and (args.live or args.recordings or args.html):
        raise UserError("--watch takes the recordings of its folder: no others, no --live or --html (leave them out)")
    if args.out_dir is not None and args.out != "-":
        raise UserError("give either --out or --out-dir (one of them)")
    check_outputs([args.out, args.html, args.watch_state])
    if not args.live and not args.watch and not args.recordings:
        raise UserError("no recordings given (files, folders, globs, or - for standard input)")
    threads = args.threads or _idle_threads()

    from sed.prediction import session
    from sed.prediction.watch import watch

    predictor, post, source = session.open_predictor(
        model=args.model,
        onnx=args.onnx,
        which=args.which,
        device=args.device,
        precision=args.precision,
        threads=threads,
        options=args,
    )
    logger.info("%s: %d labels, post-processing of %s", args.model or args.onnx, len(predictor.labels), source)
    windows = resolve_windows(args, predictor.windows)
    if windows.tuned_on and not args.live:  # --live has windows of its own
        logger.info("recordings longer than a window, as chosen for this model: %s", windows)
    with ExitStack() as stack:
        if args.live:
            return session.live(args, predictor, post, stack)
        if args.watch:
            return watch(args, predictor, post, stack)
        return session.recordings(args, predictor, post, stack)


if __name__ == "__main__":
    main()
