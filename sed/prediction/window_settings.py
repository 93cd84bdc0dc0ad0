"""Settings, stored with a model, for recordings longer than its window.

Which settings are best depends on the model: centring helps a model that finds too many events, and harms one that
misses events. `sed.bin.tune_windows` compares settings and writes the best as WINDOWS into an experiment's folder;
packed models and ONNX files store its content. Models without it, such as those of earlier versions, use the defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.errors import UserError
from sed.files import write_json
from sed.input_files import misfit, read_json
from sed.prediction.windows import OVERLAP

if TYPE_CHECKING:
    from sed.config import Parser

WINDOWS = "windows.json"
"""file in an experiment's folder"""
FORMAT = 1
"""version of the file's format"""
LONGEST_OVERLAP = 10_000
"""seconds; longer than any model's window, and a stored integer may be more than a float holds"""
_SHAPE = {"overlap": (int, float, type(None)), "centre_events": bool, "tuned_on": (dict, type(None))}
"""types of the stored entries, for `misfit`"""


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """The overlap of windows, and whether events that windows share are centred.

    Attributes:
        overlap: overlap of consecutive windows in seconds; None: OVERLAP times the window's length.
        centre_events: whether the model runs again on events that windows share, each in the middle of a window.
        tuned_on: what the settings were chosen on: soundscapes (soundbank, '' for synthetic sounds; seed, minutes) or
            recordings put together from clips (recordings: their number; minutes). None if not tuned.
    """

    overlap: float | None = None
    centre_events: bool = True
    tuned_on: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        overlap = f"{OVERLAP:g} of one" if self.overlap is None else f"{self.overlap:g} s"
        centring = "centred" if self.centre_events else "not centred"
        return f"windows overlap by {overlap}, events that they share are {centring}"

    def changed(self, *, overlap: float | None = None, centre_events: bool | None = None) -> WindowSettings:
        """Return the settings with the given values replaced (None: unchanged); if any is given, `tuned_on` is None."""
        if overlap is None and centre_events is None:
            return self
        return WindowSettings(
            overlap=self.overlap if overlap is None else overlap,
            centre_events=self.centre_events if centre_events is None else centre_events,
        )

    def to_stored(self) -> dict[str, Any]:
        """Return the settings as a JSON object, which `from_stored` reads."""
        tuned_on = dict(self.tuned_on) if self.tuned_on else None
        return {"overlap": self.overlap, "centre_events": self.centre_events, "tuned_on": tuned_on}

    def was_tuned_on(self, soundbank: str, seed: int) -> bool:
        """Return whether the settings were tuned on soundscapes mixed from this soundbank with this seed.

        Banks are compared by the name of their folder. Without one (''), equal seeds count as the same soundscapes:
        tuning synthesises other sounds than the benchmark, but with the same seed their events lie at the same times.
        """
        tuned = self.tuned_on or {}
        return tuned.get("seed") == seed and tuned.get("soundbank") == bank_name(soundbank)


def bank_name(soundbank: str) -> str:
    """Return the name of a soundbank's folder, without its path, which models must not reveal; '' for ''."""
    return Path(soundbank).resolve().name if soundbank else ""


def from_stored(stored: Any, where: str, *, again: str) -> WindowSettings:
    """Read the stored form.

    Args:
        stored: from `WindowSettings.to_stored`; None in files of earlier versions, which did not store it.
        where: the file, for messages.
        again: what to do if the file is broken, for messages.

    Returns:
        The settings.

    Raises:
        UserError: the stored form is broken.
    """
    if stored is None:
        return WindowSettings()
    wrong = misfit(stored, _SHAPE, "windows") or ", ".join(f"no {name}" for name in _SHAPE if name not in stored)
    if wrong or not 0 <= (stored["overlap"] or 0) < LONGEST_OVERLAP:
        wrong = wrong or f"an overlap that is negative or of {LONGEST_OVERLAP} s or more"
        raise UserError(f"{where}: broken settings of windows: {wrong} ({again})")
    return WindowSettings(**{name: stored[name] for name in _SHAPE})


def of_experiment(folder: Path) -> WindowSettings:
    """Return what `sed.bin.tune_windows` chose for an experiment, or the defaults; UserError for a broken file."""
    path = folder / WINDOWS
    if not path.is_file():
        return WindowSettings()
    stored = read_json(path, remedy="tune again")
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise UserError(f"{path}: not what this version of sed.bin.tune_windows writes (tune again)")
    return from_stored(stored, str(path), again="tune again")


def write(path: Path, settings: WindowSettings, facts: Mapping[str, Any]) -> None:
    """Write a choice of windows as JSON.

    Args:
        path: the file.
        settings: the choice.
        facts: further entries: how the choice was made.
    """
    write_json(path, {"format": FORMAT, **settings.to_stored(), **facts})


def add_arguments(parser: Parser) -> None:
    """Register the options of windows; one that is not given is None, and the model's stored setting applies."""
    parser.option(
        "overlap",
        None,
        "overlap of windows in seconds, for recordings longer than a window; at most 0.9 of a window; not in live "
        f"prediction (default: the model's, else {OVERLAP:g} of a window)",
        type=float,
        least=0,
    )
    parser.option(
        "centre-events",
        None,
        "run the model again on events that windows share, with the event in the middle of a window: fewer false "
        "events, and borders that do not depend on an event's position; not in live prediction (default: as stored "
        "with the model, else yes)",
        type=bool,
    )


def resolve(args: argparse.Namespace, stored: WindowSettings) -> WindowSettings:
    """Return the model's stored settings, replaced by the options that were given."""
    return stored.changed(overlap=args.overlap, centre_events=args.centre_events)
