"""Sound event detection with a pretrained Audio Spectrogram Transformer (AST-SED).

`sed.load("model").detect("clip.wav")` returns the events of a recording; `sed.api` describes the interface, and is
imported when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sed.api import DetectedEvent, Event, Model, UserError, load, read_events, score

__version__ = "0.2.0"
__all__ = ["DetectedEvent", "Event", "Model", "UserError", "load", "read_events", "score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sed' has no attribute '{name}'")
    from sed import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
