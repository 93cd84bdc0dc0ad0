"""Options of post-processing, and the post-processing that they give.

`--post-processing` names the steps in order, or `none`, or `paper` for those of the AST-SED paper: weak masking, then
median filters (FDY-SED's). Each step has options for its parameters, one value for all classes or `label=value,...`;
`--tuned` takes steps and parameters from a file of `sed.bin.tune` instead. For an option that is not given, and for
labels that `label=value,...` does not name, the value stored with the model applies, if the command reads a model for
prediction, else the default: for median filters the paper's. The parsed value of an option that is not given is None.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sed.errors import UserError
from sed.evaluation.postprocessing.pipeline import PostProcessing
from sed.evaluation.postprocessing.registry import STEPS, TUNABLE
from sed.evaluation.postprocessing.step import Component
from sed.evaluation.postprocessing.stored import read_tuned
from sed.evaluation.postprocessing.threshold import Threshold

if TYPE_CHECKING:
    from sed.config import Parser

log = logging.getLogger("sed")
PAPER = ("weak_mask", "median")
OF_SCORES = "paper for our scores.h5, none for the scores of other systems"
OF_MODEL = "as stored with the model (an experiment's: in its newest result.json), else paper"
"""what `auto` is for scores, and for a model, in the help"""
TUNED = (*TUNABLE, Threshold.name)
"""names of what can be tuned"""


def steps(text: str) -> list[str] | None:
    """Parse `auto` (None, as if not given), `none`, `paper`, or steps separated by commas."""
    if text in ("auto", "none", "paper"):
        return {"auto": None, "none": [], "paper": list(PAPER)}[text]
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in STEPS:
            raise argparse.ArgumentTypeError(f"'{name}' is no step (auto, none, paper, or some of {', '.join(STEPS)})")
    return names


def tuned_parts(text: str) -> list[str]:
    """Parse names of `TUNED`, separated by commas."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in TUNED:
            raise argparse.ArgumentTypeError(f"'{name}' cannot be tuned (some of {', '.join(TUNED)})")
    return names


def check_tuned(option: str, names: Sequence[str], post: PostProcessing) -> None:
    """Refuse to tune a step that is not applied.

    Args:
        option: the option that names the steps, for the message.
        names: steps to tune, of `TUNED`.
        post: the post-processing that is applied.

    Raises:
        UserError: `post` lacks one of the steps.
    """
    for name in names:
        if name in TUNABLE and name not in post.names:
            raise UserError(
                f"{option} {name}: that step is not in --post-processing ({', '.join(post.names) or 'none'})"
            )


def add_arguments(parser: Parser, *, auto: str = OF_MODEL, stored: bool = True) -> None:
    """Add the options of post-processing and its thresholds.

    Args:
        parser: the parser of a command.
        auto: the command's steps by default, for the help.
        stored: whether the command takes parameters that are stored with a model, for the help.
    """
    parser.section("post-processing")
    parser.option(
        "post-processing",
        None,
        f"steps in order: some of {', '.join(STEPS)}; none; paper: {','.join(PAPER)}; auto: {auto} (default: auto)",
        type=steps,
    )
    for step in STEPS.values():
        for option in step.options:
            option.register(parser, stored=stored)
    parser.option("tuned", None, "file of sed.bin.tune whose post-processing is used instead of these options")
    for option in Threshold.options:
        option.register(parser, stored=stored)


def _components() -> list[type[Component]]:
    return [*STEPS.values(), Threshold]


def given(args: argparse.Namespace) -> list[str]:
    """Return the options of post-processing that are given, as typed: `--median`."""
    options = [option for component in _components() for option in component.options]
    named = ["--post-processing"] if args.post_processing is not None else []
    return named + [option.flag for option in options if option.text(args) is not None]


def origin(args: argparse.Namespace, stored: str) -> str:
    """Return for messages where the result of `resolve` is from; `stored`: the file or paper that options change."""
    changes = given(args)
    return args.tuned or stored + (f", changed by {', '.join(changes)}" if changes else "")


def options_of(*, post_processing: str | None = None, threshold: str | None = None) -> argparse.Namespace:
    """Return the options as parsed from a command line that gives these alone; UserError for an unknown step."""
    from sed.config import Parser

    title = "post-processing"
    parser = Parser(title)
    add_arguments(parser)
    try:
        named = None if post_processing is None else steps(post_processing)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{title}: {error}") from None
    return argparse.Namespace(**{**parser.defaults(), "post_processing": named, "threshold": threshold})


def resolve(
    args: argparse.Namespace, labels: Sequence[str], *, ours: bool = True, stored: PostProcessing | None = None
) -> PostProcessing:
    """Build post-processing from options; what they do not give is as stored with the model, else the default.

    A warning names the options of steps that are not applied, and filters that do not run on the model's frames.

    Args:
        args: parsed options.
        labels: the classes.
        ours: whether the scores are of this project's models, which are post-processed as in the paper by default.
        stored: the post-processing that comes with the model, if any.

    Returns:
        Steps with parameters for all labels.

    Raises:
        UserError: an option's text or the file of `--tuned` is invalid or has other labels, or `--tuned`, which brings
            its own steps, is given with other options.
    """
    if args.tuned:
        if odd := given(args):
            raise UserError(f"--tuned brings its own steps, filters and thresholds (leave out {', '.join(odd)})")
        return read_tuned(args.tuned, labels)
    kept = {step.name: step for step in stored.steps} if stored else {}
    made = {name: step.resolve(args, labels, kept.get(name)) for name, step in STEPS.items()}
    names = args.post_processing
    if names is None:
        names = stored.names if stored else PAPER if ours else ()
    for name, step in STEPS.items():
        unused = [] if name in names else [option.flag for option in step.options if option.text(args) is not None]
        if unused:
            log.warning(
                "%s: no effect, since %s is not among the steps: %s (--post-processing names them)",
                ", ".join(unused),
                name,
                ", ".join(names) or "none",
            )
    # Steps that are neither masks nor filters, such as csebbs, return frames of their own: the spans between borders.
    own_frames = [name for name in names if not (STEPS[name].needs_clip or STEPS[name].is_rank_filter)]
    for name in names[names.index(own_frames[0]) :] if own_frames else ():
        if STEPS[name].is_rank_filter:
            log.warning(
                "%s after %s takes the spans between borders of boxes for frames, so its length in seconds does not "
                "hold (--post-processing: name %s first)",
                name,
                own_frames[0],
                name,
            )
    return PostProcessing(
        steps=[made[name] for name in names],
        threshold=Threshold.resolve(args, labels, stored.threshold if stored else None),
    )
