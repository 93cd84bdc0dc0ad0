"""Runtime options of pre-training, and the seed and precision."""

from __future__ import annotations

from sed.training import logger

# Options that may change on resume and are not stored with the weights: how and where the same training is computed.
# `device`, `accelerate` and `threads` change the rounding (`device` also the precision, if that is auto), the others
# nothing.
RUNTIME = (*logger.RUNTIME, "threads", "device", "cache", "ahead", "checkpoint_seconds", "accelerate", "nj")

SECTION = "run"
# `cache` is for a dumped set, `nj` for a soundbank, whose soundscapes are mixed on the device as they are needed.
OPTIONS = {
    "seed": {
        "default": 1,
        "help": "random seed of initial weights, batches and augmentation",
        "least": 0,
        "most": 9223372036854775807,  # 2^63 - 1, the largest integer of 64 bits with a sign
    },
    "precision": {
        "default": "auto",
        "help": "numeric precision; auto: bf16 on a GPU, else fp32",
        "choices": ["auto", "bf16", "fp32"],
    },
    "device": {"default": "auto", "help": "auto: the GPU if available", "choices": ["auto", "cpu", "cuda"]},
    "cache": {
        "default": "auto",
        "help": "cache of features: GPU memory (device), RAM, or none: read at each step; auto: the first with room",
        "choices": ["auto", "device", "ram", "none"],
    },
    "ahead": {
        "default": 2,
        "help": "batches that a thread prefetches when training on a GPU, or without a cache",
        "least": 0,
    },
    "threads": {
        "default": 0,
        "help": "CPU threads; 0: OMP_NUM_THREADS if set, else one per core",
        "least": 0,
        "most": 1024,
    },
    "nj": {"default": 2, "help": "processes that synthesise procedural sounds at the start", "least": 1},
    "accelerate": {
        "default": "auto",
        "help": "compile: torch.compile of the encoder (of an AST: of each block); auto: compile on a GPU",
        "choices": ["auto", "eager", "compile"],
    },
    "checkpoint_seconds": {
        "default": 30.0,
        "help": "seconds between checkpoints; 0: whenever losses are read, each step on a CPU, every 50 on a GPU",
        "least": 0,
    },
}
OPTIONS_FROM = ["sed.training.logger"]
