"""The steps of post-processing by name; a new step is a module of this package and a line here."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from sed.evaluation.postprocessing.step import Step, Tunable

CLASSES = {  # {module of this package, which is the step's name: its class}
    "weak_mask": "WeakMask",
    "median": "Median",
    "maximum": "Maximum",
    "csebbs": "Csebbs",
}
STEPS: dict[str, type[Step]] = {
    name: getattr(import_module(f"{__package__}.{name}"), class_name) for name, class_name in CLASSES.items()
}
TUNABLE = {name: cast("type[Tunable]", step) for name, step in STEPS.items() if getattr(step, "grid", ())}
"""the steps with a grid of parameters, which `tuning` can choose from"""
