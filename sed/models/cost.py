"""What a detector costs: multiply-accumulates of one clip, by torch's own count of its operations."""

from __future__ import annotations

import copy

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sed.models.detector import Detector

BACKWARD = 2
"""forward passes that a backward pass costs: the gradients of the weights and of what they multiply"""


def multiply_accumulates(detector: Detector, mel_bins: int) -> int:
    """Return the multiply-accumulates of a forward pass of one clip: matrix products and convolutions.

    Attention is counted as the products that it is. Front end, normalisation and activations are not counted.

    Args:
        detector: on any device; a copy of it is run on the CPU.
        mel_bins: of its features.
    """
    model = copy.deepcopy(detector).cpu().float().eval()
    clip = torch.zeros(1, detector.input_frames, mel_bins)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(clip)
    return int(counter.get_total_flops()) // 2


def of_training(forward: int, clips: int, *, consistent: bool) -> int:
    """Return an estimate of the multiply-accumulates of training on so many clips.

    The student runs forwards and backwards, the teacher forwards where there is a consistency loss. A frozen encoder
    is counted as if it learned, activations that are computed twice once.

    Args:
        forward: multiply-accumulates of one clip, forwards.
        clips: of all steps.
        consistent: whether the teacher is asked.
    """
    return forward * clips * (1 + BACKWARD + consistent)
