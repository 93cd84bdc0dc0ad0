"""Parameters of a front end, as stored in dumps, checkpoints and configs; read and compared without torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from sed.compatibility import complete
from sed.config import default_options

STATISTICS = "norm_bins"
"""option that holds the statistics of the training sets"""
AUTO: tuple[Any, ...] = ("auto", 0, 0.0)
"""values of options that the preset of the front end replaces, if it has the option"""
PRESETS: dict[str, dict[str, Any]] = {
    "kaldi": {  # the AST release
        "window": "hann",
        "window_ends": "symmetric",
        "centring": "none",
        "mel_scale": "kaldi",
        "power": 2,
        "log": "ln",
        "log_floor": 2.0**-23,  # float32's epsilon
        "clamp": "none",
    },
    "stft": {  # DESED_task, the DCASE baseline (D in egs/desed/README.md)
        "window": "hamming",
        "window_ends": "symmetric",
        "centring": "reflect",
        "mel_scale": "htk",
        "power": 1,
        "log": "db",
        "log_floor": 1e-5,
        "clamp": "-50,80",
    },
}
"""{front_end: {option: value of `auto` or 0}}; fft_size follows from the window"""


@cache
def defaults() -> Mapping[str, Any]:
    """Return {parameter: default}."""
    return default_options("sed.features.logmel")


def resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with `auto` (or 0) replaced by the values of their front end's preset."""
    preset = dict(PRESETS.get(settings["front_end"], {}))
    with suppress(TypeError, ValueError, OverflowError):  # invalid numbers are refused when the front end is built
        window = round(float(settings["frame_length"]) * float(settings["sample_rate"]))
        preset["fft_size"] = 1 << (window - 1).bit_length() if settings["front_end"] == "kaldi" else window
    return {key: preset.get(key, value) if value in AUTO else value for key, value in settings.items()}


def completed(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored parameters, resolved; those that their version lacked get the values that it implied."""
    return resolved(complete(stored, defaults()))


def difference(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Compare two front ends. Numbers are compared by value; a missing one has the value that its version implied.

    Args:
        found: parameters of a front end, as `FrontEnd.params` returns them.
        wanted: the expected parameters.

    Returns:
        The first parameter that differs, with both values, long ones cut: "mel_bins is 64, not 128"; None if there is
        none.
        Statistics are ignored if one side has none yet: dumps have none, training computes them from its sets.
    """
    actual, expected = completed(found), completed(wanted)
    for key in expected | actual:
        if key == STATISTICS and "" in (actual.get(key), expected.get(key)):
            continue
        if not _equal(actual.get(key), expected.get(key)):
            return f"{key} is {_short(actual.get(key))}, not {_short(expected.get(key))}"
    return None


def mismatch(config: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Compare a config's front end with the settings that an encoder needs.

    Args:
        config: a flat config.
        wanted: {setting: value}.

    Returns:
        The first setting that differs, with both values; None if there is none, or the config has no front end.
    """
    if "front_end" not in config:
        return None
    actual = resolved({key: config.get(key, default) for key, default in defaults().items()})
    wrong = (f"{key} is {actual[key]}, not {value}" for key, value in wanted.items() if not _equal(actual[key], value))
    return next(wrong, None)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."  # statistics are hundreds of numbers


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other) or float(one) == float(other)
    except (TypeError, ValueError, OverflowError):
        return False
