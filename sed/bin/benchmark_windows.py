"""Compare event-based F1 on long recordings: overlapping windows against the same audio cut into clips.

usage: python3 -m sed.bin.benchmark_windows --soundbank DIR exp/ast_sed exp/ast_gru

Mixes recordings of one and of ten minutes, dense and sparse in events, from the bank's validation sounds (synthetic
sounds without --soundbank), and prints the macro-averaged event-based F1 as Markdown tables. "whole": against the
events of the recordings; the predictions of adjacent clips are joined where they touch. "in pieces": events and
predictions are both cut at the clips' borders, which adds onsets and offsets that every system finds. Differences have
95 % bootstrap intervals over recordings.
"""

from __future__ import annotations

import argparse
import functools
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.confidence.bootstrap import draw, interval
from sed.evaluation.metrics.f1 import Counts
from sed.prediction import soundscapes
from sed.prediction.comparison import Remembered, Scorer, Setting, open_for, predict, sounds_at
from sed.prediction.soundscapes import KINDS, Mix, Recording
from sed.prediction.window_settings import WindowSettings
from sed.prediction.windows import OVERLAP

if TYPE_CHECKING:
    from sed.evaluation.postprocessing.pipeline import PostProcessing
    from sed.prediction.predictor import Predictor

logger = logging.getLogger("sed")


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("models", nargs="+", help="experiments, checkpoints or packed models")
    soundscapes.add_arguments(p, short=60, long=6, seed=0)
    p.option(
        "overlaps",
        [0.0, 0.5, 0.7, 0.9],
        "overlaps to compare with the default, comma-separated, as shares of a window",
        type=soundscapes.shares,
    )
    p.option("samples", 1000, "number of bootstrap samples", least=100)
    p.option("batch-size", 32, "windows per batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    p.option("jobs", 0, "processes that mix (0: as many as there are processors)", least=0)
    return p


def opened(name: str, recordings: Sequence[Recording], args: argparse.Namespace) -> tuple[Predictor, PostProcessing]:
    """Open a model for these recordings.

    Args:
        name: the model.
        recordings: soundscapes, whose labels must all be labels of the model.
        args: the options.

    Returns:
        The model and its post-processing.

    Raises:
        UserError: the model cannot be used or lacks a label, or its windows were chosen on the same soundscapes.
        RunError: the model is on a hub that does not answer.
    """
    predictor, post = open_for(recordings, name, args.device)
    if predictor.windows.was_tuned_on(args.soundbank, args.seed):
        raise UserError(
            f"{name}: soundscapes of this bank and --seed {args.seed} chose its windows (take another seed)"
        )
    return predictor, post


def compare(name: str, recordings: Sequence[Recording], args: argparse.Namespace) -> list[Setting]:
    """Predict on recordings in every setting.

    Args:
        name: the model.
        recordings: soundscapes with their true events.
        args: the options.

    Returns:
        The settings with the counts of their detections: first that of separate clips, second the model's default.
    """
    predictor, post = opened(name, recordings, args)
    stored = predictor.windows
    sounds = sounds_at(predictor.rate, recordings)
    size = predictor.samples
    clips = [sound[at : at + size] for sound in sounds for at in range(0, len(sound), size)]
    scorer = Scorer(recordings, predictor.labels, size / predictor.rate)
    # Settings share many windows: Remembered caches the posteriors of each.
    predicted = functools.partial(predict, predictor=Remembered(predictor), post=post, batch_size=args.batch_size)
    settings = [scorer.of_clips("cut into clips", predicted(clips, windows=WindowSettings(overlap=0.0)))]
    for title, windows in _compared(stored, args.overlaps, predictor.frames * predictor.frame_seconds):
        logger.info("%s: %s", name, title)
        settings.append(scorer.of_recordings(title, predicted(sounds, windows=windows)))
    return settings


def _compared(stored: WindowSettings, shares: Sequence[float], window: float) -> list[tuple[str, WindowSettings]]:
    """Return (title, settings): those stored in the model, then others, titled by the options that choose them.

    `shares` are overlaps as shares of a window, `window` its length in seconds.
    """
    default = OVERLAP * window if stored.overlap is None else stored.overlap
    seconds = [share * window for share in dict.fromkeys([OVERLAP, *shares]) if abs(share * window - default) > 1e-6]
    settings = [("default", stored)]
    # None leaves the stored overlap, and only centre_events differs from the default.
    for flag, overlap in (("", None), *((f" --overlap {one:g}", one) for one in seconds)):
        for centre in (True, False):
            if flag or centre != stored.centre_events:
                title = f"{'--centre-events' if centre else '--no-centre-events'}{flag}"
                settings.append((title, stored.changed(overlap=overlap, centre_events=centre)))
    return settings


def table(settings: Sequence[Setting], recordings: Sequence[Recording], *, samples: int, seed: int) -> str:
    """Return a table in Markdown.

    Args:
        settings: separate clips, the default, then others.
        recordings: the recordings that they are scored on.
        samples: number of bootstrap samples.
        seed: random seed of the samples.

    Returns:
        The table: F1 by length and of all recordings, differences, F1 in pieces, number of detections (`events`).
    """
    minutes = np.array([recording.minutes for recording in recordings])
    groups = [minutes == one for one in sorted(set(minutes.tolist()))]
    # (samples + 1, recordings): how often each is drawn; row 0 is the set itself, every recording once. Each length
    # keeps its number of recordings in every sample, and has a seed of its own: with the same seed, two lengths with
    # equal numbers of recordings would have the same draws.
    weights = np.zeros((samples + 1, len(minutes)))
    for number, group in enumerate(groups):
        weights[:, group] = draw(int(group.sum()), samples, seed + number)
    cut, default = settings[0], settings[1]

    def difference(a: Counts, b: Counts) -> str:
        values = a.resampled(weights).macro() - b.resampled(weights).macro()
        low, high = interval(values[1:]) or (math.nan, math.nan)
        return f"{values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"

    lengths = [f"{minutes[group][0]} min" for group in groups]
    heads = ["", *lengths, "all, whole", "to the default", "to the clips", "in pieces", "to the clips", "events"]
    lines = [heads, ["---"] * len(heads)]
    for one in settings:
        of_lengths = [one.whole.resampled(group[None].astype(float)).macro()[0] for group in groups]
        lines.append([
            one.name, *(f"{value:.3f}" for value in of_lengths), f"{one.whole.total().macro():.3f}",
            "" if one is default else difference(one.whole, default.whole),
            "" if one is cut else difference(one.whole, cut.whole),
            f"{one.pieces.total().macro():.3f}", "" if one is cut else difference(one.pieces, cut.pieces),
            f"{one.whole.system.sum():.0f}",
        ])  # fmt: skip
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@entry
def main() -> None:
    """Mix, predict, print."""
    args = parser().parse_args()
    setup_logging()
    soundscapes.check(kinds=args.kinds, recordings=args.short + args.long)
    for model in args.models:  # before mixing, which takes minutes
        opened(model, [], args)
    mix = Mix(args.soundbank, sounds_seed=0, seed=args.seed)
    for kind in args.kinds:
        recordings = mix.recordings(KINDS[kind], short=args.short, long=args.long, jobs=args.jobs)
        logger.info("%s: %d recordings mixed", kind, len(recordings))
        for model in args.models:
            settings = compare(model, recordings, args)
            events = sum(len(recording.events) for recording in recordings)
            pieces = settings[0].pieces.truth.sum()
            print(f"\n{model}, {kind}: {events} events in {len(recordings)} recordings, {pieces:.0f} in their clips\n")
            print(table(settings, recordings, samples=args.samples, seed=args.seed), flush=True)


if __name__ == "__main__":
    main()
