"""Imports of the metric packages when they are needed, without the deprecation warnings of their dependencies."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType


def _quietly(*names: str) -> ModuleType:
    """Import a package and submodules of it; return the package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dcase_util imports pkg_resources, whose deprecation is reported on every run
        modules = [importlib.import_module(name) for name in names]
    return modules[0]


def sed_eval() -> ModuleType:
    """Import sed_eval: event- and segment-based counts."""
    return _quietly("sed_eval")


def sed_scores_eval() -> ModuleType:
    """Import sed_scores_eval: threshold-free PSDS, median filters, best F1; segments, which only tests use."""
    parts = (
        "intersection_based",
        "collar_based",
        "segment_based",
        "base_modules.scores",
        "base_modules.postprocessing",
    )
    return _quietly("sed_scores_eval", *(f"sed_scores_eval.{part}" for part in parts))
