"""How fast prediction is here: the whole of it, sound to posteriors, beside transformers' AST forward alone.

usage: python3 -m sed.bin.benchmark_prediction --conf conf/ast_sed.yaml --cpu-threads 2

Random weights unless --model is given; noise of the model's clip length. Every round runs each contender once, in turn,
so that what else the machine does falls on all; the best round counts. Differences are to our float32.
"""

from __future__ import annotations

import time

from sed.config import Parser, words
from sed.log import UserError, entry, setup_logging


def parser() -> Parser:
    """The command line."""
    from sed.features import logmel
    from sed.models import detector
    from sed.training import build

    p = Parser(__doc__.split("\n", 1)[0], config=True)
    p.option("model", None, "experiment, checkpoint or packed model, in place of random weights of the options below")
    p.option("cpu-threads", 2, "processor threads", least=1)
    p.option("clips", 4, "clips a batch", least=1)
    p.option("rounds", 3, "times that each contender runs", least=1)
    p.option("precisions", ["float32", "bfloat16", "int8"], "of ours, to compare", type=words)
    p.option("peer", True, "compare with transformers' AST in float32 (12 blocks of 768)")
    p.option("classes", 10, "labels of the random model", least=1)
    detector.add_arguments(p, shared=False)
    logmel.add_arguments(p)
    build.add_arguments(p)  # a config has training's keys too
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
    from sed.prediction.packed import open_model
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
    outputs, wall, cpu = {}, {}, {}
    with torch.inference_mode():
        for number in range(args.rounds):
            for name, run in contenders.items():
                began, used = time.perf_counter(), time.process_time()
                outputs[name] = run()
                wall[name] = min(wall.get(name, np.inf), time.perf_counter() - began)
                cpu[name] = min(cpu.get(name, np.inf), time.process_time() - used)
                logger.info("round %d: %s: %.2f s", number + 1, name, time.perf_counter() - began)
    base, first = next(iter(contenders)), f"ours, {args.precisions[0]}, whole"
    print(f"{args.clips} clips of {front_end.clip_seconds:g} s, {args.cpu_threads} threads, best of {args.rounds}")
    print(
        f"{'':34} {'s/clip':>8} {'of first':>8} {'cpu s':>8} {'of first':>8} {'x real':>7}  posteriors: max, mean diff"
    )
    for name in contenders:
        per, own = wall[name] / args.clips, cpu[name] / args.clips
        line = f"{name:34} {per:8.3f} {wall[name] / wall[base]:8.2f} {own:8.3f} {cpu[name] / cpu[base]:8.2f}"
        line += f" {front_end.clip_seconds / per:7.1f}"
        if name.startswith("ours"):
            difference = np.abs(outputs[name].frame - outputs[first].frame)
            line += f"  {difference.max():.5f}, {difference.mean():.5f}"
        print(line)


if __name__ == "__main__":
    main()
