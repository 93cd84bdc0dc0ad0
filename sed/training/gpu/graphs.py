"""The step at a GPU's speed: compiled encoders, the teacher's decoder beside the student, and CUDA graphs.

Run eagerly, the recurrent decoder is a thousand launches a layer and direction, and costs as much as ten transformer
blocks whatever the batch. Two graphs hold the step instead: one from augmentation to gradients, one from clipping to
the teacher's average. Between them lie accumulation and the all-reduce. What they compute is compared with the plain
models before the first step, and once more later.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sed.models.detector import Detector, DetectorOutput
from sed.models.encoders import Encoder, SplitEncoder
from sed.training import losses
from sed.training.gpu.gru_backend import by_cudnn, use_bf16, use_persistent
from sed.training.inputs import StepInputs
from sed.training.step import Prepared, StepValues, TrainingStep

log = logging.getLogger("sed.train")


class CompiledStep(TrainingStep):
    """`TrainingStep` with compiled encoders; on a GPU the teacher decodes on a stream of its own meanwhile."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._encode_student = compiled(self.student)
        self._encode_teacher = compiled(self.teacher)
        self._side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._persistent = self.precision == "bf16" and all(map(use_persistent, (self.student, self.teacher)))

    def freeze(self, frozen: bool) -> None:
        super().freeze(frozen)
        self._encode_student = (compiled_frozen if frozen else compiled)(self.student)

    def student_alone(self, x: Tensor) -> DetectorOutput:
        return self.student.decode(self._encode_student(x))

    def models(self, prepared: Prepared) -> tuple[DetectorOutput, DetectorOutput]:
        with self.autocast():
            with torch.no_grad():
                frames = self._encode_teacher(prepared.teacher)
                if self._side is None:
                    teacher = self.teacher.decode(frames)
                else:
                    here = torch.cuda.current_stream()
                    self._side.wait_stream(here)
                    with torch.cuda.stream(self._side):
                        teacher = self.teacher.decode(frames)
            student_frames = self._encode_student(prepared.student)
            if self._side is not None and self._persistent:
                # Two persistent kernels at once could each hold multiprocessors that the other waits for.
                here.wait_stream(self._side)
            student = self.student.decode(student_frames)
        if self._side is not None:
            here.wait_stream(self._side)  # joined before `frames` goes, so neither stream's memory is reused early
        return student, teacher


def compiled(detector: Detector) -> Callable[[Tensor], Tensor]:
    """`detector.encode`, compiled, but for what a `SplitEncoder` embeds: an AST's patches.

    PyTorch 2.11 makes one kernel of it and the first LayerNorm, which reads back what other warps stored without
    waiting for them; with the block size that tuning sometimes chooses, that is too early (pytorch issue 190517).
    """
    encoder = detector.encoder
    if not isinstance(encoder, SplitEncoder):
        return torch.compile(detector.encode, dynamic=False)
    rest = torch.compile(lambda x: detector.pool(encoder.from_embedded(x)), dynamic=False)
    return lambda x: rest(encoder.embed(x))


def compiled_frozen(detector: Detector) -> Callable[[Tensor], Tensor]:
    """As `compiled`, for a frozen encoder: it is compiled without gradients, and the pooling by itself."""
    encoder: Encoder = detector.encoder
    embed = encoder.embed if isinstance(encoder, SplitEncoder) else None
    rest = torch.compile(encoder.from_embedded if isinstance(encoder, SplitEncoder) else encoder, dynamic=False)
    pool = torch.compile(detector.pool, dynamic=False)

    def encode(x: Tensor) -> Tensor:
        with torch.no_grad():
            grid = rest(embed(x) if embed else x)
        return pool(grid)

    return encode


class GraphedStep(CompiledStep):
    """`CompiledStep` replayed from CUDA graphs, captured at the first call. Inputs keep their shapes.

    Compiled code can be wrong, silently and in some processes only (`compiled` tells of one case: of 141 trainings on
    H200s 17 had a teacher whose answers changed from call to call). So the graphs are held against the plain models,
    twice. Where they differ they are captured once more without what was compiled and without the second stream, and
    where those differ too the step runs without graphs. Models with dropout or batch norm cannot be compared.
    """

    _WARM_UP = 3
    _AGAIN = 100  # the step before which they are compared once more
    _TIMES = 3  # that they are compared, each time
    _backward: torch.cuda.CUDAGraph
    _update: torch.cuda.CUDAGraph
    _logged: Tensor
    _norm: Tensor

    _MOST = 0.2
    """`disagreement` above which graphs are wrong: bf16 makes 0.02 to 0.06, the logits of another clip more than 1"""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._static: StepInputs | None = None
        self._plain = False
        self._calls = 0
        self._seen: list[Tensor] = []

    def freeze(self, frozen: bool) -> None:
        super().freeze(frozen)
        self._static = None  # what was captured is of the other kind of step
        self._calls = 0

    def __call__(self, inputs: list[StepInputs], values: StepValues) -> Tensor:
        self.set_values(values)
        self._calls += 1
        if self._static is None and not self._plain:
            self._prepare(inputs[0], 1 / len(inputs))
        elif self._calls == self._AGAIN and not self._plain:
            self._settle(1 / len(inputs))
        if self._plain:
            return super().__call__(inputs, values)
        assert self._static is not None
        self.flat.zero_gradients()
        logged = torch.zeros_like(self._logged)
        for part in inputs:
            for f in fields(StepInputs):
                getattr(self._static, f.name).copy_(getattr(part, f.name))
            self._backward.replay()
            logged += self._logged
        self.world.average(*self.flat.gradients)
        self._update.replay()
        return torch.cat([logged, self._norm[None]])

    def student_alone(self, x: Tensor) -> DetectorOutput:
        student = self.student(x) if self._plain else super().student_alone(x)
        self._seen = [student.logits.detach()]
        return student

    def models(self, prepared: Prepared) -> tuple[DetectorOutput, DetectorOutput]:
        both = TrainingStep.models(self, prepared) if self._plain else super().models(prepared)
        self._seen = [output.logits.detach() for output in both]
        return both

    def release(self) -> None:
        torch.cuda.synchronize(self.device)
        for name in ("_backward", "_update", "_logged", "_norm"):
            self.__dict__.pop(name, None)
        self._seen = []
        torch.cuda.empty_cache()

    def _prepare(self, inputs: StepInputs, share: float) -> None:
        """Capture both graphs, settle on them or not, and put back what that changed."""
        self._static = StepInputs(**{f.name: getattr(inputs, f.name).clone() for f in fields(StepInputs)})
        buffers = [b for model in (self.student, self.teacher) for b in model.buffers()]
        saved = [b.clone() for b in buffers]
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self._capture(share)
            self._settle(share)
        for buffer, value in zip(buffers, saved, strict=True):
            buffer.copy_(value)

    def _settle(self, share: float) -> None:
        """Go on with graphs that compute what the models do, or with the plain step."""
        if not (error := self._error(share)) <= self._MOST:
            log.warning("CUDA graphs differ from the models by %.2f: captured again, encoders not compiled", error)
            self._side = None
            self._encode_student, self._encode_teacher = self.student.encode, self.teacher.encode
            self._capture(share)
            error = self._error(share)
        if not error <= self._MOST:
            log.warning("CUDA graphs differ from the models by %.2f: the step runs without them, slower", error)
            self._plain = True
            self.release()
            if self.precision == "bf16":
                for model in (self.student, self.teacher):
                    use_bf16(model)

    def _error(self, share: float) -> float:
        """How far the graphs are from the models: the largest `disagreement`, or infinite where the loss saw others."""
        if any(map(_cannot_be_compared, self.student.modules())):
            return 0.0
        # A wrong graph was seen to be 0.05 off at first, and 2 once its memory held something else.
        errors = [max(parts) for parts in zip(*(self._compared(share) for _ in range(self._TIMES)), strict=True)]
        log.info("CUDA graphs differ from the models by %s", ", ".join(f"{error:.3f}" for error in errors))
        return max(errors)

    def _compared(self, share: float) -> list[float]:
        """Of the student, of the teacher and of what the loss saw, where there is a teacher.

        On inputs that the replay before did not have, so that what is left of it is told from what is new.
        """
        assert self._static is not None
        for tensor in (self._static.features, self._static.valid):
            tensor.copy_(tensor.roll(1, 0))
        self._backward.replay()  # its gradients are set to zero before they count
        with torch.no_grad():
            try:
                errors = self._disagreements()
            except torch.OutOfMemoryError:
                log.info("CUDA graphs are not compared with the models: the GPU's memory is full")
                errors = [0.0] * len(self._seen)
            if len(self._seen) == 2:
                now = losses.consistency(*(logits.float().sigmoid() for logits in self._seen))
                told = self._logged[1 + losses.PARTS.index("frame_consistency")] / share
                errors.append(0.0 if torch.allclose(told, now, rtol=0.01, atol=1e-6) else math.inf)
        return errors

    def _disagreements(self) -> list[float]:
        """Of the student, and of the teacher where it is asked, on four clips; attention by another kernel, too."""
        assert self._static is not None
        prepared = self.preparation(self._static)
        errors = []
        for model, x, seen in zip((self.student, self.teacher), prepared[:2], self._seen, strict=False):
            few = slice(None, None, math.ceil(len(x) / 4))
            plain_gru = by_cudnn(model) if self.precision == "bf16" else nullcontext()
            attention = sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
            with plain_gru, attention, self.autocast():
                errors.append(disagreement(seen[few], model(x[few]).logits))
        return errors

    def _capture(self, share: float) -> None:
        """Compile and warm up on the side, then record both graphs."""
        assert self._static is not None
        self.release()
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self._WARM_UP):
                self.backward(self._static, share)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # the graphs have memory of their own
        self._backward, self._update = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._backward, stream=stream):
            self._logged = self.backward(self._static, share)
        with torch.cuda.graph(self._update, pool=self._backward.pool(), stream=stream):
            self._norm = self.update()
        torch.cuda.synchronize(self.device)


def _cannot_be_compared(module: nn.Module) -> bool:
    """Whether chance, or the other clips of a batch, have a say in what a module gives."""
    if isinstance(module, nn.Dropout):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return module.training  # frozen ones do what they do in evaluation
    return isinstance(module, nn.RNNBase) and module.dropout > 0


def disagreement(found: Tensor, expected: Tensor) -> float:
    """The worst clip's distance between two sets of logits (clips, frames, classes), over the expected ones' spread.

    0: equal; about 1 or more: unrelated; infinite where one of them is not finite.
    """
    spread = (expected - expected.mean((0, 1))).square().mean().sqrt()
    worst = (found - expected).square().mean((1, 2)).sqrt().max()
    return torch.nan_to_num(worst / spread.clamp_min(1e-6), nan=math.inf, posinf=math.inf).item()


STEPS: dict[str, type[TrainingStep]] = {"eager": TrainingStep, "compile": CompiledStep, "graph": GraphedStep}


def choose(accelerate: str, device: torch.device) -> type[TrainingStep]:
    """The step that an option names; auto: graphs on a GPU, eager on a CPU, where compiling pays late."""
    if accelerate == "auto":
        accelerate = "graph" if device.type == "cuda" else "eager"
    if accelerate == "graph" and device.type != "cuda":
        accelerate = "compile"
    return STEPS[accelerate]


def graphed(call: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    """A call without inputs as a CUDA graph's replay."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        call()
    return graph.replay
