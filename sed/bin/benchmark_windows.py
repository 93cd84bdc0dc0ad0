"""How well long recordings are predicted by overlapping windows, beside the same sound cut into clips.

usage: python3 -m sed.bin.benchmark_windows --soundbank DIR exp/ast_sed exp/ast_gru

Mixes continuous recordings of one and of ten minutes from the bank's validation sounds (procedural ones without
--soundbank), dense and sparse ones, and prints event-based F1 (mean over labels) as tables in Markdown. "whole":
against the events as they are; "in pieces": events and predictions alike cut where the clips are, which makes borders
that every system finds. The clips' predictions are put back for "whole": what touches at a cut is one event.
Differences have 95 % intervals, of recordings drawn with replacement.
"""

from __future__ import annotations

import argparse
import functools
import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sed.cli import entry, setup_logging
from sed.config import Parser, words
from sed.data.synthesis.signals import RATE
from sed.errors import UserError
from sed.evaluation.confidence.bootstrap import draw, interval
from sed.evaluation.metrics.f1 import Counts
from sed.evaluation.postprocessing.options import options_of
from sed.parallel import default_jobs, free_processors, run_tasks
from sed.prediction.comparison import Recording, Remembered, Scorer, Setting, predict
from sed.prediction.windows import MOST_OVERLAP, OVERLAP

logger = logging.getLogger("sed")
KINDS = {"dense": 10.0, "sparse": 60.0}
"""seconds that hold as many events as a clip"""


def _shares(text: str) -> list[float]:
    try:
        shares = [float(word) for word in words(text)]
    except ValueError:
        shares = []
    if not all(0 <= share <= MOST_OVERLAP for share in shares) or not shares:
        raise argparse.ArgumentTypeError(f"'{text}' are not numbers from 0 to {MOST_OVERLAP:g}, with commas between")
    return shares


def parser() -> Parser:
    """The command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("models", nargs="+", help="experiments, checkpoints or packed models")
    p.option("soundbank", "", "folder of recordings, {train,validation}/{foreground,...}/<label>/ (default: none)")
    p.option("kinds", list(KINDS), f"densities: some of {', '.join(KINDS)}", type=words)
    p.option("short", 60, "recordings of one minute, of each density", least=0)
    p.option("long", 6, "recordings of ten minutes, of each density", least=0)
    p.option("overlaps", [0.0, 0.5, 0.7, 0.9], "of a window, to compare with the default", type=_shares)
    p.option("seed", 0, "random seed", least=0)
    p.option("samples", 1000, "bootstrap samples", least=100)
    p.option("batch-size", 32, "windows a batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto takes a GPU when there is one")
    p.option("jobs", 0, "processes that mix and score (0: as many as processors)", least=0)
    return p


def mix(soundbank: str, seed: int, every: float, minutes: int, number: int) -> Recording:
    """Mix the recording of this number."""
    from sed.data.synthesis.continuous import continuous
    from sed.data.synthesis.soundscape import REAL

    rng = np.random.default_rng((seed, int(every), minutes, number))
    audio, events = continuous(_bank(soundbank), "validation", REAL, rng, seconds=60.0 * minutes, every=every)
    return Recording(audio, events, minutes)


def mixed(args: argparse.Namespace, every: float) -> list[Recording]:
    """Mix all recordings of one density."""
    tasks = {
        f"{minutes} {number}": functools.partial(mix, args.soundbank, args.seed, every, minutes, number)
        for minutes, count in ((10, args.long), (1, args.short))  # the costliest first
        for number in range(count)
    }
    done = run_tasks(tasks, args.jobs or default_jobs())
    return [done[name] for name in tasks]


@functools.cache
def _bank(soundbank: str) -> Any:
    from sed.data.synthesis.procedural_bank import ProceduralBank
    from sed.data.synthesis.soundbank import SoundBank

    return SoundBank(soundbank) if soundbank else ProceduralBank(seed=0)


def compare(name: str, recordings: Sequence[Recording], args: argparse.Namespace) -> list[Setting]:
    """Predict on recordings in every setting; the clips come first, the default second."""
    from sed.data.audio import resampled
    from sed.prediction.session import open_predictor

    predictor, post, _ = open_predictor(
        model=name, onnx=None, which="teacher", device=args.device, precision="float32",
        threads=free_processors(), options=options_of(),
    )  # fmt: skip
    missing = {event.label for recording in recordings for event in recording.events} - set(predictor.labels)
    if missing:
        raise UserError(f"{name}: does not know {', '.join(sorted(missing))} (give the soundbank of its labels)")
    sounds = [np.concatenate(list(resampled([one.audio], RATE, predictor.rate))) for one in recordings]
    size = predictor.samples
    clips = [sound[at : at + size] for sound in sounds for at in range(0, len(sound), size)]
    scorer = Scorer(recordings, predictor.labels, size / predictor.rate)
    predicted = functools.partial(predict, predictor=Remembered(predictor), post=post, batch_size=args.batch_size)
    settings = [scorer.of_clips("cut into clips", predicted(clips, overlap=0.0))]
    shares = [share for share in args.overlaps if share != OVERLAP]
    for title, overlap, centre in (
        ("default", OVERLAP, True),
        ("--no-centre-events", OVERLAP, False),
        *((f"that, --overlap of {share:g}", share, False) for share in shares),
    ):
        logger.info("%s: %s", name, title)
        settings.append(scorer.of_recordings(title, predicted(sounds, overlap=overlap, centre=centre)))
    return settings


def table(settings: Sequence[Setting], recordings: Sequence[Recording], *, samples: int, seed: int) -> str:
    """Return a table in Markdown.

    Args:
        settings: the clips, the default, others.
        recordings: what they are scored on.
        samples: bootstrap samples.
        seed: of the samples.
    """
    minutes = np.array([recording.minutes for recording in recordings])
    groups = [minutes == one for one in sorted(set(minutes.tolist()))]
    weights = np.zeros((samples + 1, len(minutes)))  # recordings of one length are drawn among each other
    for group in groups:
        weights[:, group] = draw(int(group.sum()), samples, seed)
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
    if not args.short + args.long:
        raise UserError("nothing to mix (give --short or --long)")
    for kind in args.kinds:
        if kind not in KINDS:
            raise UserError(f"--kinds {kind}: unknown (some of {', '.join(KINDS)})")
    for kind in args.kinds:
        recordings = mixed(args, KINDS[kind])
        logger.info("%s: %d recordings mixed", kind, len(recordings))
        for model in args.models:
            settings = compare(model, recordings, args)
            events = sum(len(recording.events) for recording in recordings)
            pieces = settings[0].pieces.truth.sum()
            print(f"\n{model}, {kind}: {events} events in {len(recordings)} recordings, {pieces:.0f} in their clips\n")
            print(table(settings, recordings, samples=args.samples, seed=args.seed), flush=True)


if __name__ == "__main__":
    main()
