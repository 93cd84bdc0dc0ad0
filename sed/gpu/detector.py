"""Fast inference of a detector on a GPU: the persistent kernel for its Bi-GRU, and a CUDA graph of the forward pass.

Run eagerly, a detector launches some thousand kernels per batch, which takes a CPU longer than a GPU computes a small
batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sed.gpu.joined_gelu import join_gelus
from sed.gpu.persistent_gru import LayerWeights, bi_gru, exact_gru, plan_for, weights_of
from sed.gpu.split_products import SplitProducts
from sed.models.decoders import is_gru_based
from sed.models.detector import Detector, DetectorOutput
from sed.models.gru_decoder import run_gru

EAGER = 2  # first calls without a graph, whose capture takes as long as four of them
GRAPHED = {"cuda"}  # device types that have graphs


class GpuDetector(nn.Module):
    """A detector in evaluation mode, called like a `Detector`; the original is changed, so do not use it any more.

    Calls must be without gradients, and either all or none under bf16 autocast. Without it everything is computed in
    float32, with the products of linear layers as in `SplitProducts`. Under it the Bi-GRU computes in bf16, and so does
    the whole encoder, of which autocast alone would compute norms and residual sums in float32; an encoder with batch
    norms is left to autocast, since bf16 is too coarse for their statistics. A batch smaller than the largest so far is
    filled with zeros up to that.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.num_frames, self.frame_seconds = detector.num_frames, detector.frame_seconds
        self.encoder_seconds = detector.encoder_seconds
        self.input_frames, self.mel_bins = detector.input_frames, detector.mel_bins
        self.input_padding = detector.input_padding
        if is_gru_based(detector.decoder):
            detector.decoder.run_gru = FastGru()
        self._body = detector
        parts = detector.encoder, detector.norm, detector.pooling
        self._before_decoder = [part for part in parts if isinstance(part, nn.Module)]
        modules = itertools.chain.from_iterable(part.modules() for part in self._before_decoder)
        self._can_halve = not any(isinstance(module, _BatchNorm) for module in modules)
        self.halved = False  # whether the parts before the decoder are in bf16
        self._split = SplitProducts()
        self._calls = 0
        self._input: Tensor | None = None  # of the graph; None before its capture
        self._output = DetectorOutput(torch.empty(0), torch.empty(0))  # of the graph, overwritten by each replay
        self._replay: Callable[[], object] | None = None

    def forward(self, x: Tensor) -> DetectorOutput:
        self._calls += 1
        if not self.halved and self._can_halve and _autocast(x.device):
            self._halve()
        if self._calls <= EAGER or x.device.type not in GRAPHED:
            return self._compute(x)
        if self._input is None or len(x) > len(self._input):
            self._capture(x)
        assert self._input is not None and self._replay is not None
        self._input.zero_()
        self._input[: len(x)].copy_(x)
        self._replay()
        return first_clips(self._output, len(x))

    def _halve(self) -> None:
        for part in self._before_decoder:
            part.to(torch.bfloat16)
            join_gelus(part)
        self.halved = True

    def _compute(self, x: Tensor) -> DetectorOutput:
        if not _autocast(x.device):
            with self._split:
                return self._body.decode(self._body.encode(x))
        if not self.halved:
            return self._body.decode(self._body.encode(x))
        with torch.autocast(x.device.type, enabled=False):
            frames = self._body.encode(x.to(torch.bfloat16))
        return self._body.decode(frames)

    def _capture(self, x: Tensor) -> None:
        """Capture the forward pass for batches of up to len(x) clips."""
        self._replay = None  # frees the memory of an earlier graph
        self._input = x_of_graph = x.clone()

        def call() -> None:
            # Without autocast's cache of cast weights: it is freed with the caller's autocast, and a replay would still
            # read from it.
            with torch.autocast(x.device.type, torch.bfloat16, enabled=_autocast(x.device), cache_enabled=False):
                self._output = self._compute(x_of_graph)

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


class FastGru:
    """Run GRUs by the persistent kernel if it can, else by torch; see `sed.models.decoders.RunGru`.

    Weights must not change, since they are prepared for the kernel once.
    """

    def __init__(self) -> None:
        self._weights: dict[tuple[nn.GRU, bool], list[LayerWeights]] = {}

    def __call__(self, gru: nn.GRU, x: Tensor, repeat: int) -> Tensor:
        """Map (clips, frames, dim) to states (clips, frames * repeat, directions * units)."""
        exact = not _autocast(x.device)  # in float32 instead of bf16
        plan = plan_for(gru, len(x), x.device, exact=exact)
        if plan is None:
            return run_gru(gru, x, repeat)
        if (gru, exact) not in self._weights:
            self._weights[gru, exact] = weights_of(gru, exact=exact)
        run = exact_gru if exact else bi_gru
        with torch.autocast(x.device.type, enabled=False):
            return run(x, self._weights[gru, exact], repeat=repeat, plan=plan)


def graphed(call: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    """Capture a call without arguments as a CUDA graph, and return the function that replays it."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):  # warm-up, as in `sed.training.gpu.graphs.GraphedStep`
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay
