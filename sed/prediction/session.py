"""The work of sed.bin.predict and sed.bin.choose: open a model, process recordings or a stream, write and report."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from sed.cli import explained
from sed.data.audio import duration, resampled
from sed.data.recordings import shown
from sed.errors import UserError
from sed.evaluation.postprocessing.options import origin, resolve
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.files import open_replacing
from sed.prediction.choice import Doubt, DoubtSink
from sed.prediction.decisions import Detection
from sed.prediction.formats import Format
from sed.prediction.libraries import loading, loads
from sed.prediction.live import read_pcm, until_broken
from sed.prediction.nearest import Nearest
from sed.prediction.page import Page, PageSink, legend
from sed.prediction.predictor import Predictor, TorchPredictor, window_geometry
from sed.prediction.recording import BaseSink, Result, Sink, Track, run
from sed.prediction.sources import find_recordings, is_stream, read_recording, standard_input
from sed.prediction.window_settings import WindowSettings
from sed.prediction.window_settings import resolve as resolve_windows
from sed.prediction.windows import Window, WindowPlan
from sed.prediction.writers import FormatSink, check_formats, file_stems, table_names
from sed.progress import Progress
from sed.progress import duration as human_duration

logger = logging.getLogger("sed.predict")
LONGEST_NAME = 255
"""bytes of a file's name that most file systems take"""


def open_predictor(
    *,
    model: str | None,
    onnx: str | None,
    which: str,
    device: str,
    precision: str,
    threads: int,
    options: argparse.Namespace,
) -> tuple[Predictor, PostProcessing, str]:
    """Open the model of a command line.

    Args:
        model: experiment, checkpoint or packed model; None: `onnx` is given.
        onnx: exported model; None: `model` is given.
        which: network of the mean-teacher pair: `teacher` or `student`; as `device` and `precision`, unused for an
            exported model, with a warning.
        device: `cpu`, `cuda`, `cuda:1` or `auto`.
        precision: `float32`, `bfloat16` or `int8`.
        threads: processor threads.
        options: options of post-processing, which override the model's.

    Returns:
        The model, its post-processing, and in words the origin of the post-processing: the file of `--tuned`; else the
        model's file or `sed.prediction.model.PAPER`, with the options that change it.

    Raises:
        UserError: the model or the device is not there or cannot be used, or an option of post-processing is wrong.
        RunError: the hub does not answer.
    """
    if onnx is not None:
        from sed.prediction.onnx import OnnxPredictor

        given = [
            ("which", which, ("teacher",)),
            ("device", device, ("auto", "cpu")),
            ("precision", precision, ("float32",)),
        ]
        for name, value, fits in given:
            if value not in fits:
                logger.warning(
                    "--%s %s is not used: an exported model has one network, in float32 on the CPU", name, value
                )
        predictor = OnnxPredictor(onnx, threads=threads)
        post = resolve(options, predictor.labels, stored=predictor.post_processing)
        return predictor, post, origin(options, onnx)
    import torch

    from sed.device import choose_device
    from sed.prediction.cpu import lower
    from sed.prediction.model import open_model

    assert model is not None, "either a model or an ONNX file"
    torch.set_num_threads(threads)
    device = str(choose_device(device))
    amp = precision == "bfloat16" and device != "cpu"
    with loading(loads(device, bf16=amp)):  # a GPU's libraries, in a thread beside
        opened = open_model(model, which=which, device=device)
    detector = lower(opened.model.detector, precision, device, threads)
    torch_predictor = TorchPredictor(
        detector=detector,
        front_end=opened.model.front_end,
        labels=opened.model.labels,
        device=device,
        amp=amp,
        windows=opened.windows,
    )
    post = resolve(options, torch_predictor.labels, stored=opened.post_processing)
    return torch_predictor, post, origin(options, opened.source)


class Sinks(BaseSink):
    """Sink that passes everything to others; their files get their names only when the recording is complete."""

    def __init__(self, sinks: Sequence[Sink], files: ExitStack) -> None:
        self._sinks, self._files = list(sinks), files
        self.uses_logmel = any(sink.uses_logmel for sink in sinks)

    def audio(self, samples: np.ndarray) -> None:
        for sink in self._sinks:
            sink.audio(samples)

    def logmel(self, frames: np.ndarray) -> None:
        for sink in self._sinks:
            sink.logmel(frames)

    def posteriors(self, frames: np.ndarray) -> None:
        for sink in self._sinks:
            sink.posteriors(frames)

    def processed(self, frames: np.ndarray) -> None:
        for sink in self._sinks:
            sink.processed(frames)

    def detections(self, detections: Sequence[Detection]) -> None:
        for sink in self._sinks:
            sink.detections(detections)

    def finish(self, result: Result) -> None:
        for sink in self._sinks:
            sink.finish(result)
        self._files.close()

    def abandon(self) -> None:
        for sink in self._sinks:
            sink.abandon()
        # The files' contexts end as after an exception, so that the files are removed; the caller reports the problem.
        error = UserError("abandoned (its reason is reported)")
        self._files.__exit__(type(error), error, None)


class Tally:
    """Numbers of recordings and seconds of audio that are done, with a bar or progress lines."""

    def __init__(self, names: Sequence[str]) -> None:
        # The total length is needed for the time left; reading thousands of headers would delay the first line.
        total = sum(map(_seconds, names)) if len(names) <= 2000 else 0.0
        self.recordings, self.done, self.seconds = len(names), 0, 0.0
        self.progress = Progress(total or None, "s", logger=logger, describe=self._line, scaled=True)

    def add(self, seconds: float) -> None:
        """Count a recording of this length as done."""
        self.done += 1
        self.seconds += seconds

    def close(self) -> None:
        """Log what was done."""
        self.progress.close()
        taken = self.progress.seconds
        logger.info(
            "%d of %d recordings, %.1f s of audio in %.1f s: %.2f recordings/s, %.1f x real time",
            *(self.done, self.recordings, self.seconds, taken, self.done / taken, self.seconds / taken),
        )

    def _line(self, progress: Progress) -> str:
        left = "" if progress.left is None else f", {human_duration(progress.left)} left"
        return (
            f"{self.done} of {self.recordings} recordings, {progress.done:.0f} s of audio, "
            f"{progress.rate:.1f} x real time{left}"
        )


def _seconds(name: str) -> float:
    """Return a recording's length from its header; 0 if it is unknown."""
    try:
        return 0.0 if is_stream(name) else duration(name) or 0.0
    except (UserError, OSError):
        return 0.0


def recordings(args: argparse.Namespace, predictor: Predictor, post: PostProcessing, stack: ExitStack) -> int:
    """Predict on files.

    Args:
        args: the command line.
        predictor: the model.
        post: its post-processing.
        stack: context that closes the output files at the end.

    Returns:
        The exit status: 1 if some files could not be read, else 0.

    Raises:
        UserError: no recording is found, the formats do not fit into the output, or windows cannot overlap as asked.
    """
    names, problems = find_recordings(args.recordings)
    if not names:
        raise UserError("; ".join(problems))
    nearest, settings = Nearest(predictor.labels), resolve_windows(args, predictor.windows)
    open_sinks = _outputs(args, predictor, post, names, nearest, problems, stack)
    _predict_files(args, predictor, post, names, problems, open_sinks)
    # if no recording has events: the options that would give some
    nearest.advise(post, settings.centre_events, partial(_count_events, predictor, settings, args.batch_size))
    if nearest.advice:
        logger.info("%s", nearest.advice)
    return name_problems(problems)


def _count_events(
    predictor: Predictor,
    settings: WindowSettings,
    batch_size: int,
    post: PostProcessing,
    centre: bool,
    names: Sequence[str],
) -> dict[str, Counter[str]]:
    """Predict on files with other options.

    Args:
        predictor: the model.
        settings: settings of windows; `centre` replaces whether events are centred.
        batch_size: windows per batch, as `run` takes it.
        post: the post-processing.
        centre: whether events that windows share are centred.
        names: the files; those that cannot be read any more are left out.

    Returns:
        For each file, the number of events of each label.
    """
    found: dict[str, Counter[str]] = {}

    class Count(BaseSink):
        """Sink that counts one file's events."""

        def __init__(self, name: str) -> None:
            self._name = name

        def finish(self, result: Result) -> None:
            found[self._name] = Counter(one.event.label for one in result.detections)

    tracks = _tracks(predictor, post, names, Count, settings.changed(centre_events=centre))
    run(tracks, predictor, batch_size=batch_size)
    return found


def doubts(
    args: argparse.Namespace, predictor: Predictor, post: PostProcessing
) -> tuple[list[str], list[Doubt], list[str]]:
    """Measure files for the choice of the recordings to label next (`sed.prediction.choice`).

    Args:
        args: the command line.
        predictor: the model.
        post: its post-processing.

    Returns:
        The files that could be read, their measurements, and the problems of the others.

    Raises:
        UserError: no recording is found or can be read, or windows cannot overlap as asked.
    """
    names, problems = find_recordings(args.recordings)
    if not names:
        raise UserError("; ".join(problems))
    sinks: dict[str, DoubtSink] = {}

    def open_sink(name: str) -> DoubtSink:
        sinks[name] = DoubtSink(predictor.labels, post.thresholds(predictor.labels), predictor.frame_seconds)
        return sinks[name]

    _predict_files(args, predictor, post, names, problems, open_sink)
    measured = {name: sink.doubt for name, sink in sinks.items() if sink.doubt is not None}
    if not measured:
        raise UserError("; ".join(problems))
    return list(measured), list(measured.values()), problems


def name_problems(problems: Sequence[str]) -> int:
    """Print the recordings that could not be read, each with its reason; return the exit status."""
    if problems:
        logger.info("%d could not be read:", len(problems))
        for problem in problems:
            print(problem, file=sys.stderr)
    return 1 if problems else 0


def _predict_files(
    args: argparse.Namespace,
    predictor: Predictor,
    post: PostProcessing,
    names: Sequence[str],
    problems: list[str],
    open_sinks: Callable[[str], Sink],
) -> None:
    """Run the model on files and pass its output to the sinks that `open_sinks` returns for each.

    Lines on files that cannot be read are appended to `problems`.
    """
    tally = Tally(names)
    tracks = _tracks(predictor, post, names, open_sinks, resolve_windows(args, predictor.windows))

    def report(track: Track, problem: str | None) -> None:
        if problem is None:
            tally.add(track.result.seconds)
        else:
            problems.append(problem)

    run(tracks, predictor, batch_size=args.batch_size, report=report, advance=tally.progress.advance)
    tally.close()


def _tracks(
    predictor: Predictor,
    post: PostProcessing,
    names: Sequence[str],
    open_sinks: Callable[[str], Sink],
    settings: WindowSettings,
) -> Iterator[tuple[Track, Callable[[Track], Iterator[Window]]]]:
    """Yield a track for each file, with a function that cuts it into windows.

    Args:
        predictor: the model.
        post: its post-processing.
        names: the files.
        open_sinks: returns the sink of a file.
        settings: overlap of windows, and whether events are centred.
    """
    plan = WindowPlan.overlapping(**window_geometry(predictor), overlap=settings.overlap)

    def windows(name: str, track: Track) -> Iterator[Window]:
        return plan.cut(track.passed_on(read_samples(name, predictor.rate)))

    for name in names:
        sink = open_sinks(name)
        track = Track.of(shown(name), predictor, post, plan, sink=sink, centre=settings.centre_events)
        yield track, partial(windows, name)


def read_samples(name: str, rate: int) -> Iterator[np.ndarray]:
    """Yield a recording's samples at `rate`; a fault of its disk is a UserError, so that other recordings are read."""
    try:
        yield from read_recording(name, rate)
    except OSError as error:
        raise UserError(f"{shown(name)}: {explained(error)}") from None


def _outputs(
    args: argparse.Namespace,
    predictor: Predictor,
    post: PostProcessing,
    names: Sequence[str],
    nearest: Nearest,
    problems: Sequence[str],
    stack: ExitStack,
) -> Callable[[str], Sinks]:
    """Open the outputs that all recordings share; return a function that opens a recording's sinks.

    At the end, the page names the recordings of which `problems` has lines by then.
    """
    formats = check_formats(args.format, together=args.out_dir is None, recordings=len(names))
    seconds, labels = predictor.frame_seconds, predictor.labels
    shared: IO[str] | None = None
    if args.out_dir is None:
        shared = sys.stdout if args.out == "-" else stack.enter_context(open_replacing(args.out))
        shared.write(formats[0].header(labels))
    stems, short_names = file_stems(names), table_names(names)
    if args.out_dir is not None:
        _check_outputs(args, formats, stems)
    page: Page | None = None
    if args.html:
        file = stack.enter_context(open_replacing(args.html))
        about = f"{args.model or args.onnx} · {len(names)} recording{'s' * (len(names) != 1)}"
        page = Page(file, f"{about} · {legend(post)}")
        # After an error the file is dropped.
        stack.push(lambda kind, *_: page.close(nearest.advice, nearest.found, problems) if kind is None else None)

    def open_sinks(name: str) -> Sinks:
        files = ExitStack()
        sinks: list[Sink] = [nearest.sink(name)]
        for format in formats:
            file = shared
            if file is None:
                file = files.enter_context(open_replacing(Path(args.out_dir) / (stems[name] + format.suffix)))
                file.write(format.header(labels))
            written = short_names[name] if format.short else shown(name)
            sinks.append(FormatSink(file, format, written, frame_seconds=seconds))
        if page is not None:
            sinks.append(
                PageSink(
                    page,
                    rate=predictor.rate,
                    feature_seconds=predictor.feature_seconds,
                    frame_seconds=seconds,
                    labels=labels,
                    thresholds=post.thresholds(labels),
                    hertz=predictor.bin_hertz,
                    audio=args.html_audio,
                    file=short_names[name],
                )
            )
        return Sinks(sinks, files)

    return open_sinks


def _check_outputs(args: argparse.Namespace, formats: Sequence[Format], stems: Mapping[str, str]) -> None:
    """Raise UserError unless all files below --out-dir can be written without a loss.

    Args:
        args: the command line.
        formats: its formats.
        stems: {recording: name of its outputs without suffix}.
    """
    outputs, folder = [stem + format.suffix for stem in stems.values() for format in formats], Path(args.out_dir)
    counts = Counter(map(str.casefold, outputs))
    if twice := [output for output, count in counts.items() if count > 1]:
        raise UserError(
            f"--format {','.join(args.format)}: two outputs are named {twice[0]} (give one format at a time)"
        )
    if too_long := [output for output in outputs if len(os.fsencode(output)) > LONGEST_NAME]:
        raise UserError(f"{too_long[0]}: an output's name of more than {LONGEST_NAME} bytes (rename the recording)")
    # Formats whose files hold one recording each are those of other tools' label files, and subtitles.
    keep_labels({name: [folder / (stem + f.suffix) for f in formats if not f.together] for name, stem in stems.items()})


def keep_labels(outputs: Mapping[str, Sequence[Path]]) -> None:
    """Raise UserError if an output would replace a label file beside its recording: it may be made by hand.

    `outputs` are, for each recording, its outputs in formats that other tools read and write, too.
    """
    there = [
        path
        for name, paths in outputs.items()
        for path in paths
        if name != "-" and path.exists() and path.parent.resolve() == Path(name).parent.resolve()
    ]
    if there:
        others = f", as {len(there) - 1} more" * (len(there) > 1)
        raise UserError(
            f"{there[0]}: a label file that is beside its recording already{others}: not replaced, since it may be"
            " made by hand (move it away, or give another --out-dir)"
        )


def _growing(path: Path) -> IO[str]:
    """Open an output that has its name from the start: most streams end by Ctrl-C, after which their events stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", errors="backslashreplace")  # as `open_replacing`


def live(args: argparse.Namespace, predictor: Predictor, post: PostProcessing, stack: ExitStack) -> int:
    """Predict on a stream.

    Args:
        args: the command line.
        predictor: the model.
        post: its post-processing.
        stack: context that closes the output file at the end.

    Returns:
        The exit status: 1 if the stream had no samples or broken ones, else 0.

    Raises:
        UserError: there are several formats, the format needs a recording's end, or hop and lookahead do not fit the
            model's window.
    """
    (format,) = check_formats(args.format, together=True, recordings=1)
    if format.whole:
        raise UserError(
            f"--format {args.format[0]}: written only at a recording's end, which a stream lacks (take another)"
        )
    plan = WindowPlan.live(
        **window_geometry(predictor),
        min_samples=predictor.min_samples,
        hop=args.live_hop,
        lookahead=args.live_lookahead,
    )
    file = sys.stdout if args.out == "-" else stack.enter_context(_growing(Path(args.out)))
    file.write(format.header(predictor.labels))
    file.flush()
    filters = post.reach(predictor.frame_seconds) * predictor.frame_seconds  # delay by post-processing in seconds
    block = min(0.1, args.live_hop)  # largest number of seconds that are read from the stream at a time
    logger.info(
        "latency: an event is printed at most %.2f s after its end (hop %g + lookahead %g + post-processing %.2f + "
        "block %g) and the time of a run of the model",
        args.live_hop + args.live_lookahead + filters + block, args.live_hop, args.live_lookahead, filters, block,
    )  # fmt: skip
    problems: list[str] = []
    pcm = read_pcm(standard_input(), args.live_kind, args.live_channels, block, args.live_rate)
    blocks = resampled(until_broken(pcm, problems), args.live_rate, predictor.rate)
    sink = FormatSink(file, format, "-", frame_seconds=predictor.frame_seconds, live=True)
    track = Track.of("-", predictor, post, plan, sink=sink, live=True)

    def report(_track: Track, problem: str | None) -> None:
        if problem is not None:
            problems.append(problem.replace("-:", "standard input:", 1))

    tracks = [(track, lambda track: plan.grow(track.passed_on(blocks)))]
    run(tracks, predictor, batch_size=1, ahead=False, report=report)
    if not track.result.seconds and not problems:
        problems.append("standard input: no samples")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
