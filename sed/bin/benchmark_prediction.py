"""Measure prediction on this machine, from audio to posteriors, beside the forward pass of transformers' AST.

usage: python3 -m sed.bin.benchmark_prediction --conf conf/ast_sed.yaml --cpu-threads 2

Weights are random unless --model is given; the audio is noise of the model's clip length. After a warm-up, each round
runs every contender once, in turn, so that other load affects all alike. Printed are the median seconds per clip (wall
clock, and processor time of all threads) and the median, lowest and highest ratio to the first contender, computed per
round. "whole" is all from audio to posteriors. "x real" is the seconds of audio per second of wall clock. "difference"
is that of our posteriors from those of our first precision. The peer, transformers' AST, always takes 1024 frames
(10.24 s): ratios to it and its "x real" are only meant for models of ten-second clips.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sed.cli import entry, setup_logging
from sed.config import Parser, words
from sed.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    Times = dict[str, np.ndarray]

logger = logging.getLogger("sed")
PRECISIONS = ["float32", "bfloat16", "int8"]


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0], config=True)
    p.option("model", None, "experiment, checkpoint or packed model, instead of random weights of the options below")
    p.option("cpu-threads", 2, "processor threads", least=1, most=1024)
    p.option("clips", 4, "clips per batch", least=1)
    p.option("rounds", 5, "number of measurements of each contender", least=1)
    p.option("precisions", PRECISIONS, "precisions of our model to compare, comma-separated", type=words)
    p.option("peer", True, "compare with transformers' AST in float32 (12 blocks of width 768)")
    p.option("classes", 10, "labels of the random model", least=1)
    p.options_of("sed.models.detector")
    p.options_of("sed.features.logmel")
    p.options_of("sed.training.build")  # a config also has training's keys
    p.options_of("sed.config.recipe_options")
    return p


def transformers_ast(clips: int) -> Callable[[], object]:
    """Return the forward pass of transformers' AST, of the published size with random weights, for a batch of clips."""
    import torch

    try:
        from transformers import ASTConfig, ASTModel
    except ImportError:
        raise UserError("the peer needs transformers (pip install transformers, or --no-peer)") from None
    peer = ASTModel(ASTConfig()).eval()
    features = torch.randn(clips, 1024, 128)
    return lambda: peer(features)


def take_turns(contenders: Mapping[str, Callable[[], object]], rounds: int) -> tuple[Times, dict[str, object]]:
    """Run each contender once per round; return {name: (rounds, 2) wall and processor seconds} and the last outputs."""
    import numpy as np
    import torch

    outputs = {}
    times = {name: np.zeros((rounds, 2)) for name in contenders}
    with torch.inference_mode():
        for name, run in contenders.items():
            logger.info("warming up: %s", name)
            run()
        for number in range(rounds):
            for name, run in contenders.items():
                began, used = time.perf_counter(), time.process_time()
                outputs[name] = run()
                times[name][number] = time.perf_counter() - began, time.process_time() - used
                logger.info("round %d: %s: %.2f s, %.2f s of processor", number + 1, name, *times[name][number])
    return times, outputs


def report(times: Times, outputs: Mapping[str, object], clips: int, clip_seconds: float) -> None:
    """Print one line per contender: times per clip, ratios to the first, and differences of the outputs of our models.

    Args:
        times: {contender: (rounds, 2) wall-clock and processor seconds}.
        outputs: {contender: last output}; those of our models are `Output`, the others are not compared.
        clips: number of clips per batch, one batch per round and contender.
        clip_seconds: length of a clip.
    """
    import numpy as np

    from sed.prediction.predictor import Output

    ours = {name: output.frame for name, output in outputs.items() if isinstance(output, Output)}
    base = times[next(iter(times))]
    print(f"{'':33} {'wall':>7} {'to the first':>20} {'cpu':>7} {'to the first':>20} {'x real':>7}  difference")
    for name, own in times.items():
        ratio = own / base
        line = f"{name:33}"
        for clock in (0, 1):  # wall clock, processor
            spread = f"[{ratio[:, clock].min():.3f}, {ratio[:, clock].max():.3f}]"
            line += f" {np.median(own[:, clock]) / clips:6.3f}s  {np.median(ratio[:, clock]):5.3f} {spread}"
        line += f" {clip_seconds * clips / np.median(own[:, 0]):7.1f}"
        if name in ours:
            difference = np.abs(ours[name] - next(iter(ours.values())))
            line += f"  max {difference.max():.5f}, mean {difference.mean():.5f}"
        print(line)


@entry
def main() -> None:
    """Build, take turns, print."""
    args = parser().parse_args()
    if unknown := [precision for precision in args.precisions if precision not in PRECISIONS]:
        raise UserError(f"--precisions {unknown[0]}: not one of {', '.join(PRECISIONS)} (choose some of them)")
    setup_logging()
    import copy

    import numpy as np
    import torch

    from sed.features.logmel import FrontEnd
    from sed.models.detector import build_detector
    from sed.prediction.cpu import lower
    from sed.prediction.model import open_model
    from sed.prediction.predictor import TorchPredictor

    torch.set_num_threads(args.cpu_threads)
    torch.manual_seed(0)
    if args.model:
        opened = open_model(args.model).model
        detector, front_end, labels = opened.detector, opened.front_end, opened.labels
    else:
        labels = [f"label {i}" for i in range(args.classes)]
        detector, front_end = build_detector(vars(args), len(labels)).eval(), FrontEnd.from_config(vars(args))
    rng = np.random.default_rng(0)
    clips = [(0.1 * rng.standard_normal(front_end.clip_samples)).astype(np.float32) for _ in range(args.clips)]
    contenders: dict[str, Callable[[], object]] = {}
    if args.peer:
        contenders["transformers AST, forward alone"] = transformers_ast(args.clips)
    for precision in args.precisions:
        predictor = TorchPredictor(
            detector=lower(copy.deepcopy(detector), precision, "cpu", args.cpu_threads),
            front_end=front_end,
            labels=labels,
        )
        contenders[f"ours, {precision}, whole"] = functools.partial(predictor, clips)
    times, outputs = take_turns(contenders, args.rounds)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    size = f"{args.clips} clips of {front_end.clip_seconds:g} s, {args.cpu_threads} threads"
    print(f"{size}, {args.rounds} rounds, load average {load}; to the first: median [lowest, highest]")
    report(times, outputs, args.clips, front_end.clip_seconds)


if __name__ == "__main__":
    main()
