"""Measure how fast a config pre-trains on this machine, part by part, and how long its pre-training will take.

usage: python3 -m sed.bin.benchmark_pretraining --config conf/mini/pretrain.yaml <soundbank or dump/set>

On a GPU compilation takes a minute. The parts are:

inputs    draws and targets, on the host (for a GPU, a thread makes them while it computes)
clips     the batch on the device: soundscapes are mixed and their features computed, those of a dumped set are copied
features  of soundscapes only: what their features take of `clips`
update    augmentation, forward and backward pass, and optimiser
step      all of these, as in pre-training
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sed.cli import entry
from sed.config import Parser


@entry
def main() -> None:
    parser = Parser(__doc__.split("\n\n")[0], config=True)
    parser.add_argument("source", type=Path, help="dumped set with events.tsv, soft.tsv or tags.tsv, or a soundbank")
    parser.option("timed", 10, "number of batches over which each part is timed", least=1, in_config=False)
    parser.section("front end")
    parser.options_of("sed.features.logmel")
    parser.section("model")
    parser.options_of("sed.models.detector")
    parser.options_of("sed.training.pretraining.pretraining")
    args = parser.parse_args()
    config = parser.settings(args)

    import torch

    from sed.device import choose_device
    from sed.training.benchmark import matmul_rate, table
    from sed.training.pretraining.benchmark import measure
    from sed.training.pretraining.build import build_pretraining, source_labels

    if config["threads"]:
        torch.set_num_threads(config["threads"])
    device = choose_device(config["device"])
    with tempfile.TemporaryDirectory() as folder:
        run = build_pretraining(config, args.source, Path(folder, "out.pth"), source_labels(args.source), device=device)
        rows = measure(run, args.timed)
    dtype = torch.bfloat16 if run.precision == "bf16" else torch.float32
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"{name}, torch {torch.__version__}: {run.maker.clips} clips per step of {args.clip_seconds:g} s")
    print(f"matrix product {matmul_rate(device, dtype) / 1e12:.4g} TFLOP/s ({run.precision})")
    print(table(rows))
    steps = run.schedule.steps
    print(f"{steps} steps: {steps * rows[-1].milliseconds / 6e4:.1f} minutes")


if __name__ == "__main__":
    main()
