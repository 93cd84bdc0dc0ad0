"""Measure how fast a config trains on this machine, part by part, and how long its training will take.

usage: python3 -m sed.bin.benchmark --conf conf/ast_sed.yaml [--batch-sizes 8,8,16,16] [--parts step,data] [--out FILE]

Clips are random; only the config is read. On a GPU compilation takes some minutes. The parts are:

step          a training step; frozen: with a frozen encoder; eager, fp32: uncompiled, in the config's precision and in
              float32 (on a GPU)
encoder       a mean-teacher step of the encoder alone; peer: for an AST, of Hugging Face's, if installed
convolutions  mixing convolutions of a CNN (FDY and the like) beside plain ones
heads         all after the encoder
gru           the decoder's Bi-GRU; on a GPU by each implementation: the persistent kernel, cuDNN, FlashRNN if installed
data          inputs of a step from HDF5
inference     forward pass of the detector
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from sed.cli import entry, setup_logging
from sed.config import Parser, numbers, output_file, words
from sed.errors import RunError, UserError
from sed.files import write_json
from sed.provenance import command_line, environment, git_hash

if TYPE_CHECKING:
    from sed.training.benchmark import Benchmark, Row

log = logging.getLogger("sed.benchmark")
PARTS = ["step", "frozen", "eager", "fp32", "encoder", "convolutions", "heads", "gru", "data", "inference", "peer"]
STEP, FROZEN = "training step", "training step, encoder frozen"
DESED = {"strong_real": 3470, "strong_synth": 10000, "weak": 1578, "unlabelled": 14412, "pseudo": 1578 + 14412}
"""clips of DESED's sets (egs/desed/README.md); the pseudo-labelled one is made of weak and unlabelled"""


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__.split("\n\n")[0], config=True)
    parser.section("benchmark")
    parser.option("parts", PARTS, f"parts to time, comma-separated: {','.join(PARTS)}", type=words)
    parser.option(
        "repeats", 10, "number of batches over which each part is timed (data: as many as take 3 s, 5 to 200)", least=1
    )
    parser.option(
        "clips",
        None,
        "clips of each training set, to estimate the whole training's time (default: DESED's)",
        type=numbers,
    )
    parser.option("out", None, "JSON file to write the numbers to", type=output_file)
    parser.section("front end")
    parser.options_of("sed.features.logmel")
    parser.section("model")
    parser.options_of("sed.models.detector")
    parser.options_of("sed.training.build")
    parser.options_of("sed.config.recipe_options")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        raise UserError(f"--parts {unknown[0]}: not one of {', '.join(PARTS)} (choose some of them)")
    if len(args.batch_sizes) == 1:  # as in training
        args.batch_sizes *= len(args.train_sets)
    if args.clips is None:
        if others := [name for name in args.train_sets if name not in DESED]:
            raise UserError(f"--clips is missing: DESED has no set '{others[0]}' (give the clips of each training set)")
        args.clips = [DESED[name] for name in args.train_sets]
    for option, given in (("batch-sizes", args.batch_sizes), ("clips", args.clips)):
        if len(given) != len(args.train_sets):
            raise UserError(f"--{option} has {len(given)} numbers for {len(args.train_sets)} sets (give one for each)")
    return args


def timed(benchmark: Benchmark, args: argparse.Namespace, *, precision: str, on_gpu: bool) -> list[Row]:
    """Time the parts of --parts that apply to the model and fit into the GPU's memory.

    Args:
        benchmark: the model and its inputs.
        args: the options.
        precision: name of the precision, for the rows.
        on_gpu: whether to time on a GPU.

    Returns:
        The rows of these parts: two of `convolutions`, one per implementation of `gru`, one of any other part.

    Raises:
        RunError: there are no such parts.
    """
    import torch

    calls: dict[str, Callable[[], Row | list[Row] | None]] = {
        "step": lambda: benchmark.step(STEP, accelerate_as=args.accelerate, precision=precision),
        "frozen": lambda: benchmark.step(FROZEN, accelerate_as=args.accelerate, precision=precision, frozen=True),
        "eager": lambda: benchmark.step(
            f"training step, eager {precision}", accelerate_as="eager", precision=precision
        ),
        "fp32": lambda: benchmark.step("training step, eager fp32", accelerate_as="eager", precision="fp32"),
        "encoder": lambda: benchmark.bare_encoder("bare encoder's step", compiled=on_gpu),
        "convolutions": benchmark.convolutions,
        "heads": lambda: benchmark.heads("heads' step", graph=on_gpu),
        "gru": benchmark.grus,
        "data": lambda: benchmark.data("data from HDF5, one thread"),
        "inference": benchmark.inference,
        "peer": benchmark.peer,
    }
    if not on_gpu:
        calls.pop("fp32")  # on a CPU the step is eager and in fp32 already
        calls.pop("eager")
    rows = []
    for part in args.parts:
        if part not in calls:
            continue
        log.info("timing: %s", part)
        try:
            found = calls[part]()
        except torch.OutOfMemoryError:
            log.info("%s: out of GPU memory at %d clips (lower --batch-sizes)", part, benchmark.clips)
            continue
        rows += found if isinstance(found, list) else [found] if found is not None else []
    if not rows:
        raise RunError(
            f"--parts {','.join(args.parts)}: none could be timed (eager, fp32: on a GPU; convolutions: of a CNN that "
            "mixes kernels; gru: of a decoder with a Bi-GRU; peer: with transformers)"
        )
    return rows


@entry
def main() -> None:
    """Measure, print, and write the numbers to the file of --out."""
    args = parse()
    config = vars(args)

    import torch

    from sed.device import choose_device
    from sed.training.benchmark import Benchmark, table, training_seconds

    setup_logging()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    benchmark = Benchmark(config, device=device, repeats=args.repeats)
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    rows = timed(benchmark, args, precision=benchmark.precision, on_gpu=on_gpu)
    print(f"{name}, torch {torch.__version__}: {benchmark.clips} clips per step of {args.clip_seconds:g} s")
    limits, precision = benchmark.limits, benchmark.precision
    print(f"matrix product {limits.operations / 1e12:.4g} TFLOP/s ({precision}), copy {limits.bytes / 1e9:.4g} GB/s")
    print(table(rows))
    times = {row.name: row.milliseconds for row in rows}
    if STEP in times and FROZEN in times:
        print(f"with a frozen encoder the step is {times[STEP] / times[FROZEN]:.2f} times as fast")
    if STEP in times:
        steps, seconds = training_seconds(config, times[STEP], args.clips, times.get(FROZEN))
        print(f"{args.epochs} epochs, {steps} steps: {seconds / 60:.1f} minutes")
    if args.out:
        write_json(
            args.out,
            {
                "command": command_line(),
                "git": git_hash(),
                "environment": environment(),
                "device": name,
                "clips": benchmark.clips,
                "matmul_tflops": limits.operations / 1e12,
                "copy_gigabytes": limits.bytes / 1e9,
                "rows": [asdict(row) for row in rows],
            },
        )


if __name__ == "__main__":
    main()
