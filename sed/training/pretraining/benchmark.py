"""Speed of a pre-training on this machine, part by part, for `sed.bin.benchmark_pretraining`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sed.training.benchmark import Row, measured
from sed.training.inputs import inputs_from
from sed.training.pretraining.pretraining import Pretraining
from sed.training.pretraining.soundscape_inputs import SoundscapeMaker


def measure(run: Pretraining, repeats: int) -> list[Row]:
    """Time the parts of a pre-training's step, and the whole step last, each over `repeats` batches.

    `sed.bin.benchmark_pretraining` explains the parts. That of features is only timed on soundscapes: a dumped set has
    its features stored.
    """
    maker, device = run.maker, run.device
    made = maker.make(0)
    inputs = maker.fetched(made)
    front_end = run.preparation.front_end
    waveforms = torch.randn(maker.clips, front_end.clip_samples, device=device)
    # endless steps, each of all clips, which are share 0 of 1
    source = inputs_from(maker, range(1 << 30), [0], ahead=run.options.ahead if device.type == "cuda" else 0)

    def step() -> None:
        number, (part,) = next(source)
        run.take(number % run.schedule.steps, [maker.fetched(part)])

    parts: dict[str, Callable[[], Any]] = {
        "inputs": lambda: maker.make(0),
        "clips": lambda: maker.fetched(made),
        "features": lambda: front_end(waveforms),
        "update": lambda: run.take(0, [inputs]),
        "step": step,
    }
    if not isinstance(maker, SoundscapeMaker):
        del parts["features"]
    return [measured(name, call, clips=maker.clips, device=device, repeats=repeats) for name, call in parts.items()]
