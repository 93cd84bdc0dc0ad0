"""A detector made fast on a processor: packed Bi-GRU in float32, bfloat16 transformer, int8 weights.

The Bi-GRU's thousand steps are bound by reading its recurrent weights, so these are laid out once for products with few
rows, its two directions run on two threads, and its first layer projects the frames before they are repeated.
"""

from __future__ import annotations

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from sed.log import UserError
from sed.models.detector import Detector, DetectorOutput


class PackedGRU:
    """The function of a Bi-GRU (batch first, no dropout) for inference in float32; equal but for rounding."""

    def __init__(self, gru: nn.GRU, threads: int) -> None:
        self._layers = []
        for layer in range(gru.num_layers):
            ends = [f"l{layer}{end}" for end in ("", "_reverse")]
            weights = [[getattr(gru, f"{name}_{end}").detach() for name in NAMES] for end in ends]
            self._layers.append(weights)
        self._units = gru.hidden_size
        self._pool = ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) if threads > 1 else None
        self._packed: dict[tuple[int, int, int], Any] = {}

    def __call__(self, x: Tensor, repeat: int) -> Tensor:
        """(batch, frames, dim), each frame `repeat` times, to (batch, frames * repeat, 2 * units)."""
        for layer in range(len(self._layers)):
            tasks = [(layer, end, x, repeat) for end in (0, 1)]
            ends = list((self._pool.map if self._pool else map)(self._run, tasks))
            x, repeat = torch.cat(ends, 2), 1
        return x

    def _run(self, task: tuple[int, int, Tensor, int]) -> Tensor:
        layer, end, x, repeat = task
        with torch.inference_mode():
            weight_in, weight, bias_in, bias = self._layers[layer][end]
            units, batch = self._units, x.shape[0]
            given = nn.functional.linear(x, weight_in, bias_in).transpose(0, 1).contiguous()
            product = self._product(layer, end, weight, bias, batch)
            gates, new = given.split([2 * units, units], 2)
            frames = given.shape[0]
            out = x.new_empty(frames * repeat, batch, units)
            state = x.new_zeros(batch, units)
            order = range(frames * repeat)
            for i in reversed(order) if end else order:
                own = product(state)
                gate = torch.sigmoid_(own[:, : 2 * units].add_(gates[i // repeat]))
                candidate = torch.addcmul(new[i // repeat], gate[:, :units], own[:, 2 * units :]).tanh_()
                state = torch.lerp(candidate, state, gate[:, units:], out=out[i])
            return out.transpose(0, 1)

    def _product(self, layer: int, end: int, weight: Tensor, bias: Tensor, batch: int) -> Any:
        """state -> state @ weight.T + bias, the weight laid out for `batch` rows where oneDNN can."""
        if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")):
            return lambda state: nn.functional.linear(state, weight, bias)
        key = (layer, end, batch)
        if key not in self._packed:
            self._packed[key] = torch.ops.mkldnn._reorder_linear_weight(weight, batch)
        packed = self._packed[key]
        return lambda state: torch.ops.mkldnn._linear_pointwise(state, packed, bias, "none", [], "")


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class CpuDetector(nn.Module):
    """A detector with its parts replaced by faster ones; called like a `Detector`."""

    def __init__(self, detector: Detector, precision: str, threads: int) -> None:
        super().__init__()
        self._body = detector
        self.num_frames, self.frame_seconds = detector.num_frames, detector.frame_seconds
        self.input_frames, self.mel_bins = detector.input_frames, detector.mel_bins
        self._bfloat16 = precision == "bfloat16"
        if precision == "float32":
            gru = PackedGRU(detector.decoder.gru, threads)
            decoder = detector.decoder
            decoder.recur = lambda x: gru(x[:, : decoder.frames], decoder.upsample)
        else:
            self._body = body = copy.deepcopy(detector)
            body.decoder.gru = _int8(nn.Sequential(body.decoder.gru), {nn.GRU})[0]
            if self._bfloat16:
                for part in (body.encoder, body.norm, body.pooling):
                    part.bfloat16()
            else:
                body.encoder = _int8(body.encoder, {nn.Linear})

    def forward(self, x: Tensor) -> DetectorOutput:
        frames = self._body.encode(x.bfloat16() if self._bfloat16 else x)
        return self._body.decode(frames.float())


def _int8(module: Any, kinds: set[type]) -> Any:
    """Weights of `kinds` as int8, activations quantised as they come."""
    engines = torch.backends.quantized.supported_engines
    torch.backends.quantized.engine = next(e for e in ("onednn", "x86", "fbgemm", "qnnpack") if e in engines)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a package of its own
        return torch.ao.quantization.quantize_dynamic(module, kinds, dtype=torch.qint8)


def lower(detector: Detector, precision: str, device: str, threads: int) -> Any:
    """The detector computing in `precision` on `device`, as fast as is known here."""
    if device != "cpu":
        if precision == "int8":
            raise UserError("--precision int8: on the CPU only (bfloat16 is what a GPU has)")
        return detector  # bfloat16 by autocast
    if not isinstance(getattr(detector.decoder, "gru", None), nn.GRU):
        return detector
    return CpuDetector(detector, precision, threads).eval()
