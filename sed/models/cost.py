"""Cost of a detector: multiply-accumulates per clip, by torch's count of its operations."""

from __future__ import annotations

import copy

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sed.models.detector import Detector

BACKWARD = 2
"""cost of a backward pass in forward passes: each product has a gradient of its weights and one of its inputs"""


def multiply_accumulates(detector: Detector, mel_bins: int, *, training: bool = False) -> int:
    """Count the multiply-accumulates of a forward pass: matrix products and convolutions.

    Attention counts as its two matrix products: the math backend runs them separately. Front end, normalisation and
    activations are not counted. FDY-CRNN is counted as a CPU computes it: on a GPU, which convolves with each kernel,
    its published size has 11.9 instead of 3.7 G.

    Args:
        detector: the detector, on any device; a copy of it is run on the CPU.
        mel_bins: mel bins of its features.
        training: count the pass of a training step, in which FB-CRNN's GRUs run once over the clip instead of also over
            a window around every frame.

    Returns:
        The number per clip.
    """
    model = copy.deepcopy(detector).cpu().float().train(training)
    clip = torch.zeros(1, detector.input_frames, mel_bins)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(clip)
    return int(counter.get_total_flops()) // 2


def of_training(forward: int, clips: int, *, consistent: bool) -> int:
    """Estimate the multiply-accumulates of a training.

    The student runs forward and backward, the teacher forward if there is a consistency loss. A frozen encoder is
    counted as if it were trained, and recomputed activations are counted once.

    Args:
        forward: multiply-accumulates of a forward pass of training per clip.
        clips: number of clips over all steps.
        consistent: whether the teacher is evaluated.

    Returns:
        The multiply-accumulates.
    """
    return forward * clips * (1 + BACKWARD + consistent)
