"""Post-processing as configurable steps, and its options.

`--post-processing` names the steps in order (weak_mask, median, maximum), or `none`, or `paper` for the paper's:
weak masking, then its median filters (F). The parameters of a step are options of their own, one value for all
classes or `label=value,...`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sed.data.scores import FrameScores
from sed.evaluation.postprocess import OTHER_MEDIAN, maximum, median, paper_median, weak_mask
from sed.log import UserError

if TYPE_CHECKING:
    from sed.config import Parser

STEPS = ("weak_mask", "median", "maximum")
PAPER = ("weak_mask", "median")


def per_class(text: str) -> dict[str, float]:
    """An option's type: `0.5`, or `Speech=0.4,Dog=0.6` with `*=0.5` for the labels not named."""
    values: dict[str, float] = {}
    for part in text.split(","):
        label, equals, value = part.strip().rpartition("=")
        try:
            values[label if equals else "*"] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{part}' is neither a number nor label=number") from None
    return values


def steps(text: str) -> list[str]:
    """An option's type: `auto`, `none`, `paper`, or steps with commas between."""
    if text in ("auto", "none", "paper"):
        return {"auto": ["auto"], "none": [], "paper": list(PAPER)}[text]
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in STEPS:
            raise argparse.ArgumentTypeError(f"'{name}' is no step (none, paper, or some of {', '.join(STEPS)})")
    return names


def add_arguments(parser: Parser) -> None:
    """Options of post-processing and decision."""
    parser.section("post-processing")
    parser.option(
        "post-processing", "auto", "steps in order; auto: paper for our scores.h5, none for anyone else's", type=steps
    )
    parser.option("median", "paper", "seconds of the median filters: paper, one number, or label=seconds,...")
    parser.option("maximum", "0", "seconds of the maximum filters: one number, or label=seconds,...")
    parser.option("threshold", "0.5", "of the F1 decisions: one number, or label=threshold,...")


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Resolved steps with their parameters by label."""

    steps: Sequence[str] = ()
    median: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    threshold: Mapping[str, float] = field(default_factory=dict)

    def apply(self, scores: FrameScores) -> FrameScores:
        """Run the steps in order."""
        for step in self.steps:
            if step == "weak_mask":
                scores = weak_mask(scores)
            elif step == "median":
                scores = median(scores, self.median)
            elif step == "maximum":
                scores = maximum(scores, self.maximum)
        return scores

    def thresholds(self, labels: Sequence[str]) -> list[float]:
        """The decision threshold of each label."""
        return [self.threshold[label] for label in labels]

    def as_dict(self) -> dict[str, Any]:
        """For result.json: the steps with the parameters that they used."""
        used: dict[str, Any] = {"steps": list(self.steps)}
        if "median" in self.steps:
            used["median_seconds"] = dict(self.median)
        if "maximum" in self.steps:
            used["maximum_seconds"] = dict(self.maximum)
        return used


def resolve(args: argparse.Namespace, labels: Sequence[str], *, ours: bool) -> PostProcessing:
    """From the options; UserError for a label that is not there or a value out of range."""
    chosen = list(PAPER if ours else ()) if args.post_processing == ["auto"] else list(args.post_processing)
    if args.median == "paper":
        windows = paper_median(list(labels))
    else:
        windows = _by_label("--median", args.median, labels, OTHER_MEDIAN, 0.0, float("inf"))
    return PostProcessing(
        steps=chosen,
        median=windows,
        maximum=_by_label("--maximum", args.maximum, labels, 0.0, 0.0, float("inf")),
        threshold=_by_label("--threshold", args.threshold, labels, 0.5, 0.0, 1.0),
    )


def _by_label(
    option: str, text: str, labels: Sequence[str], default: float, least: float, most: float
) -> dict[str, float]:
    try:
        values = per_class(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{option}: {error}") from None
    for label, value in values.items():
        if label != "*" and label not in labels:
            raise UserError(f"{option}: unknown label '{label}' (known: {', '.join(labels)})")
        if not least <= value <= most:
            raise UserError(f"{option}: {value} is out of range ({least} to {most})")
    return {label: values.get(label, values.get("*", default)) for label in labels}
