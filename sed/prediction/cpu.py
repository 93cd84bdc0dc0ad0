"""Fast inference of a detector on a CPU.

If torch has oneDNN, weights are packed once for its matrix products, which on some processors are a quarter faster than
torch's linear layers. The Bi-GRU's thousand steps spend their time on reading recurrent weights, of which each
direction has its own: the two directions run on two threads. Its first layer projects the encoder's frames before they
are repeated to the decoder's frame rate.

With bfloat16, inputs and outputs of matrix products are rounded; all other operations are in float32. With int8, the
matrix products of the encoder alone are quantised: weights once in advance, activations at each call.
"""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from sed.errors import UserError
from sed.gpu.detector import GpuDetector
from sed.models.decoders import is_gru_based
from sed.models.detector import Detector, DetectorOutput
from sed.prediction.recurrence import compiled

ROWS = 4096
"""number of input rows for which weights are packed, the same for all layers (chosen by hand)

The encoder gets one clip at a time, 1,214 tokens in AST-SED's AST; the input products of the Bi-GRU's two layers get
a batch, 100 and 1,000 rows per clip.
"""


class Product:
    """Function that maps x (..., inputs) to x @ weight.T + bias (..., outputs), float32."""

    def __init__(self, weight: Tensor, bias: Tensor, rows: int, dtype: torch.dtype) -> None:
        """
        Args:
            weight: (outputs, inputs).
            bias: (outputs,).
            rows: if oneDNN is available, the weight is packed in the layout that is best for about this many rows of x.
            dtype: x, weight and bias are rounded to it, and so is the product.
        """
        self.packed = _has_onednn(dtype)
        self.weight, self.bias = weight.detach().to(dtype), bias.detach().to(dtype)
        if self.packed:
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), rows)

    def __call__(self, x: Tensor) -> Tensor:
        x = x.to(self.bias.dtype)
        if self.packed:
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "").float()
        return nn.functional.linear(x, self.weight, self.bias).float()


def _has_onednn(dtype: torch.dtype) -> bool:
    ops = torch.ops.mkldnn
    if not (torch.backends.mkldnn.is_available() and hasattr(ops, "_reorder_linear_weight")):
        return False
    return dtype == torch.float32 or bool(ops._is_mkldnn_bf16_supported())


class PackedLinear(nn.Module):
    """A linear layer for inference, whose weights are kept only in packed form."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        bias = linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
        self._product = Product(linear.weight, bias, ROWS, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self._product(x)


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""a layer's parameters in torch.nn.GRU, whose names go on with the number of the layer: `weight_ih_l0`"""


class PackedGRU:
    """A Bi-GRU (batch first, no dropout) for inference; in float32 equal to torch's up to rounding.

    With bfloat16 the state stays float32.
    """

    def __init__(self, gru: nn.GRU, threads: int, dtype: torch.dtype = torch.float32) -> None:
        """
        Args:
            gru: the layers to pack.
            threads: above 1, the two directions run at the same time.
            dtype: precision of the matrix products.
        """
        self._inputs, self._recurrent = [], []
        for layer in range(gru.num_layers):
            directions = [[getattr(gru, f"{name}_l{layer}{suffix}") for name in NAMES] for suffix in ("", "_reverse")]
            self._inputs.append([Product(weight_in, bias_in, ROWS, dtype) for weight_in, _, bias_in, _ in directions])
            self._recurrent.append([(weight.detach(), bias.detach()) for _, weight, _, bias in directions])
        self._units, self._dtype = gru.hidden_size, dtype
        self._steps = compiled()  # here and not in the two threads, of which each would compile
        self._pool = ThreadPoolExecutor(2, initializer=_use_one_thread) if threads > 1 else None
        if self._pool:  # start both threads: one that started later could restore an outdated number of threads
            both = threading.Barrier(2)
            list(self._pool.map(lambda _: both.wait(), range(2)))
        self._products: dict[tuple[int, int, int], Product] = {}

    def __call__(self, x: Tensor, repeat: int) -> Tensor:
        """Map (batch, frames, dim), each frame repeated `repeat` times, to (batch, frames * repeat, 2 * units)."""
        for layer, products in enumerate(self._inputs):
            tasks = [(layer, direction, x, product, repeat) for direction, product in enumerate(products)]
            outputs = list((self._pool.map if self._pool else map)(self._run, tasks))
            x, repeat = torch.cat(outputs, 2), 1
        return x

    def _run(self, task: tuple[int, int, Tensor, Product, int]) -> Tensor:
        """Run one direction of one layer."""
        layer, direction, x, project, repeat = task
        with torch.inference_mode():
            product = self._product(layer, direction, x.shape[0])
            gates, new = project(x).split((2 * self._units, self._units), 2)
            return self._steps(gates, new, product.weight, product.bias, repeat, bool(direction), product.packed, [])

    def _product(self, layer: int, direction: int, batch: int) -> Product:
        """Return the product with the recurrent weights, packed for this batch size."""
        key = (layer, direction, batch)  # with as few rows as a batch, oneDNN's best layout depends on their number
        if key not in self._products:
            self._products[key] = Product(*self._recurrent[layer][direction], batch, self._dtype)
        return self._products[key]


_LOCK = threading.Lock()


def _use_one_thread() -> None:
    """Limit torch to one thread in the calling thread alone."""
    with _LOCK:
        threads = torch.get_num_threads()  # without a first call here, a later one would undo the limit
        torch.set_num_threads(1)
        # The limit is now that of all threads that start later, too, until another thread sets it.
        restoring = threading.Thread(target=torch.set_num_threads, args=(threads,))
        restoring.start()
        restoring.join()


class CpuDetector(nn.Module):
    """A detector with faster layers, called like a `Detector`; the original is changed, so do not use it any more."""

    def __init__(self, detector: Detector, precision: str, threads: int) -> None:
        """
        Args:
            detector: in evaluation mode, on the CPU.
            precision: `float32`, `bfloat16` or `int8`.
            threads: torch's number of threads, which the caller sets; above 1, the two directions of a Bi-GRU run at
                the same time.
        """
        super().__init__()
        self.num_frames, self.frame_seconds = detector.num_frames, detector.frame_seconds
        self.encoder_seconds = detector.encoder_seconds
        self.input_frames, self.mel_bins = detector.input_frames, detector.mel_bins
        self.input_padding = detector.input_padding
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        if is_gru_based(detector.decoder):
            gru = PackedGRU(detector.decoder.gru, threads, dtype)
            detector.decoder.run_gru = lambda _, x, repeat: gru(x, repeat)
        if precision == "int8":
            detector.add_module("encoder", _int8(detector.get_submodule("encoder")))
        _pack(detector.get_submodule("encoder"), dtype)
        _pack(detector.get_submodule("pooling"), dtype)
        self._body = detector

    def forward(self, x: Tensor) -> DetectorOutput:
        # Clip by clip: activations of one clip stay in the processor's cache, and malloc reuses their memory.
        frames = torch.cat([self._body.encode(clip) for clip in x.split(1)])
        return self._body.decode(frames)


def _pack(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace torch's linear layers by packed ones, except those whose weights the module reads itself.

    The module itself, not a module in it, lists the latter as `reads_weights_of`.
    """
    kept = [id(linear) for linear in getattr(module, "reads_weights_of", ())]
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and id(child) not in kept:
                setattr(parent, name, PackedLinear(child, dtype))


def _int8(module: nn.Module) -> nn.Module:
    """Quantise the weights of linear layers to int8, one scale per output, and activations dynamically."""
    engines = torch.backends.quantized.supported_engines
    # oneDNN first, as for the other products; the last is for ARM
    torch.backends.quantized.engine = next(e for e in ("onednn", "x86", "fbgemm", "qnnpack") if e in engines)
    config = {nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated in favour of a separate package
        return torch.ao.quantization.quantize_dynamic(module, config, dtype=torch.qint8)


def lower(detector: Detector, precision: str, device: str, threads: int) -> Any:
    """Convert a detector for fast inference; the given one must not be used any more.

    Args:
        detector: in evaluation mode.
        precision: `float32`, `bfloat16` or `int8`.
        device: where it runs.
        threads: see `CpuDetector`.

    Returns:
        A module with the same inputs and outputs.

    Raises:
        UserError: `int8` on a GPU.
    """
    if device != "cpu":
        if precision == "int8":
            raise UserError("--precision int8: only on the CPU (on a GPU, choose bfloat16)")
        return GpuDetector(detector).eval()  # a GPU's bfloat16 is autocast, which the caller applies
    return CpuDetector(detector, precision, threads).eval()
