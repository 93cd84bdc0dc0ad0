"""Options that give events where no recording has one, each tried on the recordings beforehand.

The highest posteriors alone do not say what an option gives: with a lower threshold there are events that windows
share, on which the model runs again (`sed.prediction.centring`), and these may vanish. So an option is only named with
the events that prediction with it has found.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sed.data.labels import some_labels
from sed.data.recordings import shown
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.threshold import Threshold
from sed.evaluation.postprocessing.weak_mask import WeakMask
from sed.prediction.recording import BaseSink, Result
from sed.prediction.sources import is_stream

logger = logging.getLogger("sed.predict")
TRIED = 300.0
"""options are tried on recordings of at most this many seconds in all, those with the highest posteriors first"""
LISTED = 5
"""largest number of labels in a list"""

Try = Callable[[PostProcessing, bool, Sequence[str]], Mapping[str, Counter[str]]]
"""predicts with post-processing, with or without centring, on files; returns each file's number of events by label"""


class Candidate(NamedTuple):
    """A recording that options may be tried on."""

    highest: float
    """highest posterior after post-processing"""
    seconds: float
    name: str
    """its file"""


class Nearest:
    """Highest posteriors of all recordings, before and after post-processing, and advice if none has an event."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._raw, self._processed = (np.zeros(len(labels), np.float32) for _ in range(2))
        self._candidates: list[Candidate] = []
        self._events = 0
        self.advice = ""
        """what to do, in one line; empty if a recording has an event"""
        self.found: dict[str, str] = {}
        """{name of a recording, as shown: what the options of `advice` find in it; '' for nothing}"""

    def sink(self, name: str) -> BaseSink:
        """Return a sink for a recording; `name`: its file."""
        return _Peaks(self, name)

    def add(self, raw: np.ndarray, processed: np.ndarray, candidate: Candidate, events: int) -> None:
        """Take a recording's results.

        Args:
            raw: (classes,) its highest posteriors before post-processing.
            processed: (classes,) the same after it.
            candidate: the recording.
            events: number of its events.
        """
        self._raw, self._processed = np.maximum(self._raw, raw), np.maximum(self._processed, processed)
        self._candidates.append(candidate)
        self._events += events

    def advise(self, post: PostProcessing, centred: bool, attempt: Try) -> None:
        """Set `advice` and `found`, unless a recording has an event or none could be read.

        Args:
            post: the post-processing that gave no event.
            centred: whether events that windows share were centred.
            attempt: predicts with other options.
        """
        if self._events or not self._candidates:
            return
        self.advice = f"no events; the highest posteriors were {self._listed(self._processed)}"
        if post.names:
            steps = " and ".join(step.title for step in post.steps)
            self.advice += f" after {steps}, and {self._listed(self._raw)} before"
        names, threshold = self._to_try(), _just_below(float(self._processed.max()))
        if not names:
            lower = f"--threshold {threshold} may give some"
            self.advice += f" ({lower}; not tried, since no recording is a file of less than {TRIED / 60:g} minutes)"
            return
        logger.info("no events: trying other options on %d of %d recordings", len(names), len(self._candidates))
        given = {text: found for text, found in self._attempts(post, threshold, centred, names, attempt) if found}
        if given:
            options = "; ".join(f"{text} ({_counted(sum(by.values(), Counter()))})" for text, by in given.items())
            part = f", in {len(names)} of {len(self._candidates)} recordings" * (len(names) < len(self._candidates))
            self.advice += f". Options that give events{part}: {options}"
        for name in names:
            finds = [f"{text} ({_counted(found[name])})" for text, found in given.items() if found.get(name)]
            self.found[shown(name)] = "; ".join(finds)

    def _to_try(self) -> list[str]:
        """Return the files to try options on."""
        names, seconds = [], 0.0
        for candidate in sorted(self._candidates, reverse=True):
            if not is_stream(candidate.name) and seconds + candidate.seconds <= TRIED:
                names.append(candidate.name)
                seconds += candidate.seconds
        return names

    def _attempts(
        self, post: PostProcessing, threshold: str, centred: bool, names: Sequence[str], attempt: Try
    ) -> list[tuple[str, dict[str, Counter[str]]]]:
        """Return (options as typed, events by label of each file that has any).

        Args:
            post: the post-processing.
            threshold: the lower threshold, as typed.
            centred: whether events that windows share are centred.
            names: the files.
            attempt: predicts with other options.

        Returns:
            The attempts in the order in which the advice names them.
        """

        def events(other: PostProcessing, centre: bool) -> dict[str, Counter[str]]:
            return {name: found for name, found in attempt(other, centre, names).items() if found}

        lower = replace(post, threshold=Threshold(dict.fromkeys(self._labels, float(threshold))))
        attempts = [(f"--threshold {threshold}", events(lower, centred))]
        # of the steps, the one that removes all events of a label, however long and sure they are
        steps = [step for step in post.steps if not isinstance(step, WeakMask)]
        if len(steps) < len(post.steps):
            text = f"--post-processing {','.join(step.name for step in steps) or 'none'}"
            attempts.append((text, events(replace(post, steps=steps), centred)))
        found = {label for counts in attempts[0][1].values() for label in counts}
        near = {self._labels[k] for k in np.flatnonzero(self._processed > float(threshold))}
        if centred and near - found:  # perhaps events vanished when the model ran again on them
            attempts.append((f"--threshold {threshold} --no-centre-events", events(lower, False)))
        return attempts

    def _listed(self, highest: np.ndarray) -> str:
        return ", ".join(f"{self._labels[k]} {highest[k]:.2f}" for k in np.argsort(-highest)[:LISTED])


class _Peaks(BaseSink):
    """Sink of one recording, which passes its highest posteriors to `Nearest` at the recording's end."""

    def __init__(self, nearest: Nearest, name: str) -> None:
        self._nearest, self._name = nearest, name
        self._raw: np.ndarray | float = 0.0
        self._processed: np.ndarray | float = 0.0

    def posteriors(self, frames: np.ndarray) -> None:
        self._raw = np.maximum(self._raw, frames.max(0, initial=0))

    def processed(self, frames: np.ndarray) -> None:
        self._processed = np.maximum(self._processed, frames.max(0, initial=0))

    def finish(self, result: Result) -> None:
        raw, processed = np.asarray(self._raw), np.asarray(self._processed)
        candidate = Candidate(float(processed.max()), result.seconds, self._name)
        self._nearest.add(raw, processed, candidate, len(result.detections))


def _counted(events: Counter[str]) -> str:
    """Return the numbers of events, such as `dog 7, alarm 1`."""
    return some_labels([f"{label} {count}" for label, count in events.most_common()], LISTED)


def _just_below(posterior: float) -> str:
    """Return a threshold of one digit, 10 to 55 % below a posterior but at least 0.001: 0.3 for 0.39."""
    most = max(0.9 * posterior, 1e-3)
    digit = 10 ** np.floor(np.log10(most))
    return f"{np.floor(most / digit + 1e-9) * digit:.1g}"
