"""How fast prediction is here: the whole of it, sound to posteriors, beside transformers' AST forward alone.

usage: python3 -m sed.bin.benchmark_prediction --conf conf/ast_sed.yaml --cpu-threads 2

Random weights unless --model is given; noise of the model's clip length. After a round that does not count, every
round runs each contender once, in turn, so that what else the machine does falls on all. Ratios are taken round by
round: their median, lowest and highest are shown, of wall-clock and of processor time. Differences are to our float32.
"""

from __future__ import annotations

import os
import time

from sed.cli import entry, setup_logging
from sed.config import Parser, words
from sed.errors import UserError


def parser() -> Parser:
    """The command line."""
    p = Parser(__doc__.split("\n", 1)[0], config=True)
    p.option("model", None, "experiment, checkpoint or packed model, in place of random weights of the options below")
    p.option("cpu-threads", 2, "processor threads", least=1)
    p.option("clips", 4, "clips a batch", least=1)
    p.option("rounds", 5, "times that each contender runs", least=1)
    p.option("precisions", ["float32", "bfloat16", "int8"], "of ours, to compare", type=words)
    p.option("peer", True, "compare with transformers' AST in float32 (12 blocks of 768)")
    p.option("classes", 10, "labels of the random model", least=1)
    p.options_of("sed.models.detector")
    p.options_of("sed.features.logmel")
    p.options_of("sed.training.build")  # a config has training's keys too
    p.options_of("sed.config.recipe_options")
    return p


@entry
def main() -> None:
    """Build, take turns, print."""
    p = parser()
    args = p.parse_args()
    logger = setup_logging()
    import copy
    from collections.abc import Callable

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
        try:
            from transformers import ASTConfig, ASTModel
        except ImportError:
            raise UserError("the peer needs transformers (pip install transformers, or --no-peer)") from None
        peer = ASTModel(ASTConfig()).eval()
        features = torch.randn(args.clips, 1024, 128)
        contenders["transformers AST, forward alone"] = lambda: peer(features)
    for precision in args.precisions:
        predictor = TorchPredictor(
            detector=lower(copy.deepcopy(detector), precision, "cpu", args.cpu_threads),
            front_end=front_end,
            labels=labels,
        )
        contenders[f"ours, {precision}, whole"] = lambda predictor=predictor: predictor(clips)
    outputs = {}
    times = {name: np.zeros((args.rounds, 2)) for name in contenders}
    with torch.inference_mode():
        for name, run in contenders.items():
            logger.info("warming up: %s", name)
            run()
        for number in range(args.rounds):
            for name, run in contenders.items():
                began, used = time.perf_counter(), time.process_time()
                outputs[name] = run()
                times[name][number] = time.perf_counter() - began, time.process_time() - used
                logger.info("round %d: %s: %.2f s, %.2f s of processor", number + 1, name, *times[name][number])
    base, first = next(iter(contenders)), f"ours, {args.precisions[0]}, whole"
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    size = f"{args.clips} clips of {front_end.clip_seconds:g} s, {args.cpu_threads} threads"
    print(f"{size}, {args.rounds} rounds, load average {load}; to the first: median [lowest, highest]")
    print(f"{'':33} {'wall':>7} {'to the first':>20} {'cpu':>7} {'to the first':>20} {'x real':>7}  difference")
    for name in contenders:
        line = f"{name:33}"
        for column in (0, 1):
            own = times[name][:, column]
            ratio = own / times[base][:, column]
            line += (
                f" {np.median(own) / args.clips:6.3f}s  {np.median(ratio):5.3f} [{ratio.min():.3f}, {ratio.max():.3f}]"
            )
        line += f" {front_end.clip_seconds * args.clips / np.median(times[name][:, 0]):7.1f}"
        if name.startswith("ours"):
            difference = np.abs(outputs[name].frame - outputs[first].frame)
            line += f"  max {difference.max():.5f}, mean {difference.mean():.5f}"
        print(line)


if __name__ == "__main__":
    main()
