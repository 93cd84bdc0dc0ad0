"""Post-processing as configurable steps, and its options.

`--post-processing` names the steps in order (weak_mask, median, maximum, csebbs), or `none`, or `paper` for the
paper's: weak masking, then its median filters (F). The parameters of a step are options of their own, one value for
all classes or `label=value,...`; or all come from a file that `sed.bin.tune` wrote on another set (`--tuned`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.data.scores import FrameScores
from sed.errors import UserError
from sed.evaluation.postprocessing.csebbs import BoxParameters, bounding_boxes
from sed.evaluation.postprocessing.filters import OTHER_MEDIAN, maximum, median, paper_median, weak_mask
from sed.files import write_json

if TYPE_CHECKING:
    from sed.config import Parser

STEPS = ("weak_mask", "median", "maximum", "csebbs")
PAPER = ("weak_mask", "median")
BOXES = BoxParameters()


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
    parser.option("csebbs-filter", str(BOXES.filter_seconds), "seconds of the step filter of cSEBBs")
    parser.option("csebbs-absolute", str(BOXES.absolute), "cSEBBs: a gap at least so much lower stays")
    parser.option("csebbs-relative", str(BOXES.relative), "cSEBBs: a gap lower by at least this factor stays")
    parser.option("tuned", None, "post-processing from this file of sed.bin.tune, in place of the options above")
    parser.option("threshold", "0.5", "of the F1 decisions: one number, or label=threshold,...")


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """Resolved steps with their parameters by label."""

    steps: Sequence[str] = ()
    median: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    csebbs: Mapping[str, BoxParameters] = field(default_factory=dict)
    threshold: Mapping[str, float] = field(default_factory=dict)
    tuned_on: str | None = None

    def apply(self, scores: FrameScores) -> FrameScores:
        """Run the steps in order."""
        for step in self.steps:
            if step == "weak_mask":
                scores = weak_mask(scores)
            elif step == "median":
                scores = median(scores, self.median)
            elif step == "maximum":
                scores = maximum(scores, self.maximum)
            elif step == "csebbs":
                scores = bounding_boxes(scores, self.csebbs)
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
        if "csebbs" in self.steps:
            used["csebbs"] = {label: box._asdict() for label, box in self.csebbs.items()}
        return used


def resolve(args: argparse.Namespace, labels: Sequence[str], *, ours: bool) -> PostProcessing:
    """From the options; UserError for a label that is not there or a value out of range."""
    if args.tuned:
        return read_tuned(args, labels)
    chosen = list(PAPER if ours else ()) if args.post_processing == ["auto"] else list(args.post_processing)
    if args.median == "paper":
        windows = paper_median(list(labels))
    else:
        windows = _by_label("--median", args.median, labels, OTHER_MEDIAN, 0.0, float("inf"))
    return PostProcessing(
        steps=chosen,
        median=windows,
        maximum=_by_label("--maximum", args.maximum, labels, 0.0, 0.0, float("inf")),
        csebbs=_boxes_by_label(args, labels),
        threshold=_by_label("--threshold", args.threshold, labels, 0.5, 0.0, 1.0),
    )


def _boxes_by_label(args: argparse.Namespace, labels: Sequence[str]) -> dict[str, BoxParameters]:
    columns = [
        _by_label("--csebbs-filter", args.csebbs_filter, labels, BOXES.filter_seconds, 0.0, float("inf")),
        _by_label("--csebbs-absolute", args.csebbs_absolute, labels, BOXES.absolute, 0.0, 1.0),
        _by_label("--csebbs-relative", args.csebbs_relative, labels, BOXES.relative, 1.0, float("inf")),
    ]
    return {label: BoxParameters(*(column[label] for column in columns)) for label in labels}


def write_tuned(path: str | Path, post: PostProcessing, *, clips: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Write tuned post-processing with the clips that it was tuned on, which must never be scored with it."""
    value = {
        "format": 1,
        "tuned_on": post.tuned_on,
        "steps": list(post.steps),
        "median": dict(post.median),
        "maximum": dict(post.maximum),
        "csebbs": {label: list(box) for label, box in post.csebbs.items()},
        "threshold": dict(post.threshold),
        **facts,
        "clips": sorted(clips),
    }
    write_json(path, value)


def read_tuned(args: argparse.Namespace, labels: Sequence[str]) -> PostProcessing:
    """The post-processing of `--tuned FILE`; UserError for another label set, or options that it would override."""
    path = Path(args.tuned)
    if args.post_processing != ["auto"] or args.median != "paper" or args.maximum != "0" or args.threshold != "0.5":
        raise UserError("--tuned brings its own steps, filters and thresholds (leave out those options)")
    value = load_tuned(path)
    odd = sorted(set(value["threshold"]) ^ set(labels))
    if odd:
        raise UserError(f"{path}: tuned for another label set: {', '.join(odd)} differ")
    return PostProcessing(
        steps=value["steps"],
        median=value["median"],
        maximum=value["maximum"],
        csebbs={label: BoxParameters(*box) for label, box in value["csebbs"].items()},
        threshold=value["threshold"],
        tuned_on=f"{value['tuned_on']} ({', '.join(value['tuned'])})",
    )


def load_tuned(path: str | Path) -> dict[str, Any]:
    """A tuned file as it is; UserError when it is none."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (write it with python3 -m sed.bin.tune)") from None
    except (ValueError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict) or value.get("format") != 1 or "clips" not in value:
        raise UserError(f"{path}: not written by sed.bin.tune (tune again)")
    return value


def refuse_own_clips(tuned: str | Path, clips: Sequence[str]) -> None:
    """UserError when any of the clips to be scored took part in the tuning."""
    value = load_tuned(tuned)
    shared = sorted(set(value["clips"]) & set(clips))
    if shared:
        raise UserError(
            f"{tuned}: tuned on {value['tuned_on']}, which holds {len(shared)} of the clips to be scored, such as "
            f"{shared[0]} (tune on another set: what a set chose cannot be measured on it)"
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
