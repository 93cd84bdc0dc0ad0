"""Long soundscapes (one and ten minutes, dense and sparse in events) on which window settings are compared."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sed.config import words
from sed.data.tables import Event
from sed.errors import UserError
from sed.parallel import default_jobs, run_tasks
from sed.prediction.windows import MOST_OVERLAP

if TYPE_CHECKING:
    from sed.config import Parser

KINDS = {"dense": 10.0, "sparse": 60.0}
"""{density of events: seconds of a soundscape that have as many events as a mixed clip of 10 s}"""


class Recording(NamedTuple):
    """A long recording: a soundscape, or one put together from its clips (`sed.prediction.joined_clips`)."""

    audio: np.ndarray
    """(samples,) at `sed.data.synthesis.signals.RATE`"""
    events: list[Event]
    minutes: float
    """length in minutes"""


class Mix(NamedTuple):
    """Sounds that soundscapes are mixed from, and seed of the mixing.

    Attributes:
        soundbank: folder of a soundbank; empty for synthetic sounds.
        sounds_seed: seed of the synthetic sounds; training (by default) and benchmarks use those of seed 0. Unused with
            a soundbank.
        seed: seed of the mixing.
    """

    soundbank: str
    sounds_seed: int
    seed: int

    def recording(self, every: float, minutes: int, number: int) -> Recording:
        """Mix a recording of validation sounds, with levels, distractors and rooms as for DESED's real sets (`REAL`).

        Args:
            every: seconds that get as many events as a clip, a value of KINDS.
            minutes: length of the recording.
            number: index of the recording, which seeds it.

        Returns:
            The recording with its events.
        """
        from sed.data.synthesis.continuous import continuous
        from sed.data.synthesis.soundscape import REAL

        rng = np.random.default_rng((self.seed, int(every), minutes, number))
        bank = _bank(self.soundbank, self.sounds_seed)
        audio, events = continuous(bank, "validation", REAL, rng, seconds=60.0 * minutes, every=every)
        return Recording(audio, events, minutes)

    def recordings(self, every: float, *, short: int, long: int, jobs: int) -> list[Recording]:
        """Mix recordings of one density.

        Args:
            every: as in `recording`.
            short: number of recordings of one minute.
            long: number of recordings of ten minutes.
            jobs: processes; 0: as many as there are processors.

        Returns:
            The recordings, the long ones first.
        """
        tasks = {
            f"{minutes} {number}": functools.partial(self.recording, every, minutes, number)
            for minutes, count in ((10, long), (1, short))  # the costliest first
            for number in range(count)
        }
        done = run_tasks(tasks, jobs or default_jobs())
        return [done[name] for name in tasks]


def add_arguments(parser: Parser, *, short: int, long: int, seed: int) -> None:
    """Register the options of soundscapes.

    Args:
        parser: parser to add them to.
        short: default number of recordings of one minute.
        long: default number of recordings of ten minutes.
        seed: default seed.
    """
    parser.option(
        "soundbank",
        "",
        "folder of recordings, {train,validation}/{foreground,background,distractor}/<label>/; below background and "
        "distractor any name will do (default: synthetic sounds)",
    )
    kinds = ", ".join(f"{kind} (the events of a mixed clip every {every:g} s)" for kind, every in KINDS.items())
    parser.option("kinds", list(KINDS), f"densities of events, comma-separated: {kinds}", type=words)
    parser.option("short", short, "number of recordings of one minute, per density", least=0)
    parser.option("long", long, "number of recordings of ten minutes, per density", least=0)
    parser.option("seed", seed, "random seed of the mixing", least=0)


def check(*, kinds: list[str], recordings: int) -> None:
    """Refuse unknown densities, and a number of recordings (per density) that leaves nothing to mix."""
    if not recordings:
        raise UserError("nothing to mix (give --short or --long)")
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"--kinds {kind}: unknown (some of {', '.join(KINDS)})")


def shares(text: str) -> list[float]:
    """Parse overlaps of windows as shares of a window, comma-separated."""
    try:
        found = [float(word) for word in words(text)]
    except ValueError:
        found = []
    if not all(0 <= share <= MOST_OVERLAP for share in found) or not found:
        raise argparse.ArgumentTypeError(f"'{text}' are not numbers from 0 to {MOST_OVERLAP:g}, separated by commas")
    return found


@functools.cache
def _bank(soundbank: str, sounds_seed: int) -> Any:
    """Return the bank of a `Mix`: a soundbank, or synthetic sounds of seed `sounds_seed`."""
    from sed.data.synthesis.procedural_bank import ProceduralBank
    from sed.data.synthesis.soundbank import SoundBank

    return SoundBank(soundbank) if soundbank else ProceduralBank(seed=sounds_seed)
