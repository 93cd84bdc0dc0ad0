"""Prediction on recordings that a recorder writes into a folder: each exactly once, even if prediction is killed.

A file, the ledger (`sed.prediction.ledger`), names the recordings that are done.
"""

from __future__ import annotations

import argparse
import errno
import io
import itertools
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from sed.data.recordings import find_recordings, shown
from sed.errors import UserError
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.files import open_replacing
from sed.prediction.arrivals import Arrivals
from sed.prediction.formats import Format
from sed.prediction.ledger import Ledger, open_ledger
from sed.prediction.predictor import Predictor, window_geometry
from sed.prediction.recording import Sink, Track, run
from sed.prediction.session import Sinks, keep_labels, read_samples
from sed.prediction.window_settings import resolve as resolve_windows
from sed.prediction.windows import Window, WindowPlan
from sed.prediction.writers import FormatSink, check_formats

logger = logging.getLogger("sed.predict")
STATE = "watch.jsonl"
"""name of the ledger: in --out-dir after a leading dot, or appended to the name of --out (events.tsv.watch.jsonl)"""


def watch(args: argparse.Namespace, predictor: Predictor, post: PostProcessing, stack: ExitStack) -> int:
    """Predict on files that arrive in a folder, until none has been predicted for `--watch-idle` seconds (0: for ever).

    As long as a recording is incomplete, or unreadable but not given up, prediction goes on.

    Args:
        args: the command line.
        predictor: the model.
        post: its post-processing.
        stack: context that closes the ledger and the output at the end.

    Returns:
        The exit status: 1 if a recording was given up, else 0.

    Raises:
        UserError: there is no such folder, the formats do not fit into the output or what an earlier run wrote there,
            windows cannot overlap as asked, the ledger cannot be used, or a first run would replace label files beside
            their recordings.
    """
    folder = Path(args.watch)
    if not folder.is_dir():
        raise UserError(f"{folder}: no folder to watch (make it, or check the path)")
    formats = check_formats(args.format, together=args.out_dir is None, recordings=2)  # 2: more than one may come
    table = sys.stdout if args.out == "-" else Path(args.out)
    ledger = stack.enter_context(open_ledger(state_of(args), None if args.out_dir else table))
    header = formats[0].header(predictor.labels)
    arrivals = Arrivals(folder, settle=args.watch_settle, patience=args.watch_patience)
    predict = _Predicting(args, predictor, post, formats, arrivals, ledger)
    if not state_of(args).stat().st_size:  # later on, a label file that is not in the ledger may be of a killed run
        predict.keep_labels()
    ledger.begin(header)
    if ledger.table is not None and (ledger.table is sys.stdout or ledger.table.tell() == 0):
        ledger.table.write(header)
        ledger.table.flush()
    logger.info("watching %s: %d recordings are done already (Ctrl-C ends it)", folder, len(ledger.done))
    failures, last_work = 0, time.monotonic()
    while True:
        if names := arrivals.look(ledger.done):
            predict(names)
            last_work = time.monotonic()
        for name, problem in arrivals.given_up().items():
            ledger.add(name, problem=problem)
            print(f"{problem}; given up: a corrected file needs another name", file=sys.stderr)
            failures += 1
        idle = time.monotonic() - last_work
        if args.watch_idle and idle >= args.watch_idle and not arrivals.waiting(ledger.done):
            return 1 if failures else 0
        time.sleep(args.watch_interval)


def state_of(args: argparse.Namespace) -> Path:
    """Return the ledger's path; UserError where standard output leaves no place for it."""
    if args.watch_state is not None:
        return Path(args.watch_state)
    if args.out_dir is not None:
        return Path(args.out_dir) / f".{STATE}"
    if args.out == "-":
        raise UserError("--watch to standard output: no place to note what is done (give --out or --watch-state)")
    return Path(f"{args.out}.{STATE}")


class _Predicting:
    """Function that runs the model on complete recordings, and notes each in the ledger when its events are written."""

    def __init__(
        self,
        args: argparse.Namespace,
        predictor: Predictor,
        post: PostProcessing,
        formats: list[Format],
        arrivals: Arrivals,
        ledger: Ledger,
    ) -> None:
        self._args, self._predictor, self._post, self._formats = args, predictor, post, formats
        self._arrivals, self._ledger = arrivals, ledger
        self._windows = resolve_windows(args, predictor.windows)
        self._plan = WindowPlan.overlapping(**window_geometry(predictor), overlap=self._windows.overlap)
        self._stems = {name: str(line["stem"]) for name, line in ledger.done.items() if "stem" in line}
        self._taken = {output for stem in self._stems.values() for output in self._outputs(stem)}

    def keep_labels(self) -> None:
        """Raise UserError if an output of a recording that is there already would replace a label file beside it."""
        if self._ledger.table is None:
            suffixes = [format.suffix for format in self._formats if not format.together]
            folder, out = self._arrivals.folder, Path(self._args.out_dir)
            names = {path: path.relative_to(folder).as_posix() for path in find_recordings(folder).paths}
            keep_labels(
                {str(path): [out / (self._stem(name) + one) for one in suffixes] for path, name in names.items()}
            )

    def __call__(self, names: list[str]) -> None:
        of_track: dict[Track, tuple[str, dict[str, str]]] = {}

        def tracks() -> Iterator[tuple[Track, Callable[[Track], Iterator[Window]]]]:
            for name in names:
                stem = self._stem(name) if self._args.out_dir else ""
                try:
                    sinks = self._sinks(name, stem)
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG:
                        raise
                    self._arrivals.failed(name, f"{shown(name)}: too long a name for its outputs (rename it)")
                    continue
                track = Track.of(
                    shown(name),
                    self._predictor,
                    self._post,
                    self._plan,
                    sink=sinks,
                    centre=self._windows.centre_events,
                )
                of_track[track] = name, {"stem": stem} if stem else {}
                yield track, partial(self._cut, str(self._arrivals.folder / name))

        def report(track: Track, problem: str | None) -> None:
            name, facts = of_track.pop(track)
            if problem is not None:
                self._arrivals.failed(name, problem)
                return
            result = track.result
            self._ledger.add(name, **facts, events=len(result.detections), seconds=round(result.seconds, 3))
            logger.info("%s: %d events in %.1f s", shown(name), len(result.detections), result.seconds)

        run(tracks(), self._predictor, batch_size=self._args.batch_size, report=report)

    def _cut(self, path: str, track: Track) -> Iterator[Window]:
        return self._plan.cut(track.passed_on(read_samples(path, self._predictor.rate)))

    def _stem(self, name: str) -> str:
        """Return the path of a recording's outputs below --out-dir, without suffix: its own path, unless taken."""
        if name in self._stems:  # from `keep_labels`, or from an attempt in which the recording could not be read
            return self._stems[name]
        text = shown(name)
        numbered = (f"{text} ({number})" for number in itertools.count(2))
        stems = itertools.chain([Path(text).with_suffix("").as_posix(), text], numbered)
        stem = self._stems[name] = next(stem for stem in stems if not self._outputs(stem) & self._taken)
        self._taken |= self._outputs(stem)
        return stem

    def _outputs(self, stem: str) -> set[str]:
        """Return the paths of a recording's outputs below --out-dir, without case, which some file systems ignore."""
        return {(stem + format.suffix).casefold() for format in self._formats}

    def _sinks(self, name: str, stem: str) -> Sinks:
        sinks: list[Sink] = []
        with ExitStack() as files:  # closes them here only after an error
            for format in self._formats:
                if self._ledger.table is None:
                    file = files.enter_context(open_replacing(Path(self._args.out_dir) / (stem + format.suffix)))
                    file.write(format.header(self._predictor.labels))
                else:
                    file = files.enter_context(_appended(self._ledger.table))
                sinks.append(FormatSink(file, format, shown(name), frame_seconds=self._predictor.frame_seconds))
            return Sinks(sinks, files.pop_all())


@contextmanager
def _appended(table: IO[str]) -> Iterator[IO[str]]:
    """Yield a file whose text is appended to a table on success, and dropped on an error."""
    text = io.StringIO()
    yield text
    table.write(text.getvalue())
    table.flush()
