"""Options of how a pre-training run is carried out."""

from __future__ import annotations

from sed.training import logger

# How a run is carried out, not what it learns: may change when it is resumed, and not stored with the weights.
RUNTIME = (*logger.RUNTIME, "threads", "device", "cache", "ahead", "checkpoint_seconds", "accelerate", "nj")

SECTION = "run"
OPTIONS = {
    "seed": {"default": 1, "help": "of weights, batches and augmentation", "least": 0},
    "precision": {"default": "auto", "help": "auto: bf16 on a GPU, else fp32", "choices": ["auto", "bf16", "fp32"]},
    "device": {"default": "auto", "help": "auto: the GPU where there is one", "choices": ["auto", "cpu", "cuda"]},
    "cache": {"default": "auto", "help": "where features are held", "choices": ["auto", "device", "ram", "none"]},
    "ahead": {"default": 2, "help": "batches made ahead by a thread on a GPU, or without a cache", "least": 0},
    "threads": {"default": 0, "help": "CPU threads; 0: as many as there are cores", "least": 0, "most": 1024},
    "nj": {"default": 2, "help": "processes that make sounds by rule at the start", "least": 1},
    "accelerate": {
        "default": "auto",
        "help": "compile the blocks; auto: on a GPU",
        "choices": ["auto", "eager", "compile"],
    },
    "checkpoint_seconds": {"default": 30.0, "help": "seconds between checkpoints", "least": 0},
}
OPTIONS_FROM = ["sed.training.logger"]
