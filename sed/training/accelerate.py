"""The step at a GPU's speed: compiled encoders, the teacher's decoder beside the student, and CUDA graphs.

Run eagerly, the recurrent decoder is a thousand launches a layer and direction, and costs as much as ten transformer
blocks whatever the batch. Two graphs hold the step instead: one from augmentation to gradients, one from clipping to
the teacher's average. Between them lie accumulation and the all-reduce.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from sed.models.detector import Detector, DetectorOutput
from sed.training.inputs import StepInputs
from sed.training.recurrent import use_persistent
from sed.training.step import Prepared, StepValues, TrainingStep


class CompiledStep(TrainingStep):
    """`TrainingStep` with compiled encoders; on a GPU the teacher decodes on a stream of its own meanwhile."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._encode_student = compiled(self.student)
        self._encode_teacher = compiled(self.teacher)
        self._side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._persistent = self.precision == "bf16" and all(map(use_persistent, (self.student, self.teacher)))

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
    """`detector.encode`, compiled."""
    return torch.compile(detector.encode, dynamic=False)


class GraphedStep(CompiledStep):
    """`CompiledStep` replayed from CUDA graphs, captured at the first call. Inputs keep their shapes."""

    _WARM_UP = 3

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._static: StepInputs | None = None

    def __call__(self, inputs: list[StepInputs], values: StepValues) -> Tensor:
        self.set_values(values)
        if self._static is None:
            self._capture(inputs[0], 1 / len(inputs))
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

    def _capture(self, inputs: StepInputs, share: float) -> None:
        """Compile and warm up on the side, put back what that changed, then record both graphs."""
        self._static = StepInputs(**{f.name: getattr(inputs, f.name).clone() for f in fields(StepInputs)})
        buffers = [b for model in (self.student, self.teacher) for b in model.buffers()]
        saved = [b.clone() for b in buffers]
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
        for buffer, value in zip(buffers, saved, strict=True):
            buffer.copy_(value)
        torch.cuda.synchronize(self.device)


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
