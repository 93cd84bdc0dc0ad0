"""Fast inference of a detector on a GPU: the persistent kernel for its Bi-GRU, and a CUDA graph of the forward pass.

Run eagerly, a detector launches some thousand kernels per batch, which takes a CPU longer than a GPU computes a small
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sed.gpu.persistent_gru import bi_gru, exact_gru, plan_for
from sed.models.decoders import is_gru_based
from sed.models.detector import Detector, DetectorOutput
from sed.models.gru_decoder import run_gru

EAGER = 2  # first calls without a graph, whose capture takes as long as four of them
GRAPHED = {"cuda"}  # device types that have graphs


class GpuDetector(nn.Module):
    """A detector in evaluation mode, called like a `Detector`; the original is changed, so do not use it any more.

    Under bf16 autocast the Bi-GRU computes in bf16, else in float32. All calls must be of the same kind, and without
    gradients. A batch smaller than the largest so far is filled with zeros up to that.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.num_frames, self.frame_seconds = detector.num_frames, detector.frame_seconds
        self.encoder_seconds = detector.encoder_seconds
        self.input_frames, self.mel_bins = detector.input_frames, detector.mel_bins
        self.input_padding = detector.input_padding
        if is_gru_based(detector.decoder):
            detector.decoder.run_gru = fast_gru
        self._body = detector
        self._calls = 0
        self._input: Tensor | None = None  # of the graph; None before its capture
        self._output = DetectorOutput(torch.empty(0), torch.empty(0))  # of the graph, overwritten by each replay
        self._replay: Callable[[], object] | None = None

    def forward(self, x: Tensor) -> DetectorOutput:
        self._calls += 1
        if self._calls <= EAGER or x.device.type not in GRAPHED:
            output: DetectorOutput = self._body(x)
            return output
        if self._input is None or len(x) > len(self._input):
            self._capture(x)
        assert self._input is not None and self._replay is not None
        self._input.zero_()
        self._input[: len(x)].copy_(x)
        self._replay()
        return first_clips(self._output, len(x))

    def _capture(self, x: Tensor) -> None:
        """Capture the forward pass for batches of up to len(x) clips."""
        self._replay = None  # frees the memory of an earlier graph
        self._input = x.clone()

        def call() -> None:
            # Weights that autocast has cast are not kept from the capture to a replay.
            with torch.autocast(x.device.type, torch.bfloat16, enabled=_autocast(x.device), cache_enabled=False):
                self._output = self._body(self._input)

        self._replay = graphed(call, x.device)


def accelerated(detector: Detector, device: torch.device) -> nn.Module:
    """Return a detector's fast form on a GPU, the detector itself on a CPU; use only what is returned."""
    return GpuDetector(detector).eval() if device.type == "cuda" else detector


def _autocast(device: torch.device) -> bool:
    return torch.is_autocast_enabled(device.type)


def first_clips(output: DetectorOutput, clips: int) -> DetectorOutput:
    """Return copies of the outputs of the first clips of a batch."""
    directions = None if output.directions is None else output.directions[:, :clips].clone()
    return DetectorOutput(output.logits[:clips].clone(), output.clip[:clips].clone(), directions)


def fast_gru(gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
    """Run a GRU by the persistent kernel if it can, else by torch; see `sed.models.decoders.RunGru`.

    Args:
        gru: the layers.
        x: (clips, frames, dim).
        repeat: how many times each frame is repeated.

    Returns:
        (clips, frames * repeat, directions * units).
    """
    exact = not _autocast(x.device)
    plan = plan_for(gru, len(x), x.device, exact=exact)
    if plan is None:
        return run_gru(gru, x, repeat)
    run: Any = exact_gru if exact else bi_gru
    with torch.autocast(x.device.type, enabled=False):
        states: Tensor = run(gru, x, repeat=repeat, plan=plan)
    return states


def graphed(call: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    """Capture a call without arguments as a CUDA graph, and return the function that replays it."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # warm-up, as in `sed.training.gpu.graphs.GraphedStep`
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay
