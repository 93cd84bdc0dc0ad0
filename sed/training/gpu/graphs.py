"""Accelerated training steps: compiled encoders, the teacher's decoder on a second stream, and CUDA graphs.

Run eagerly, the recurrent decoder takes a thousand kernel launches per layer and direction, whatever the batch size.
Two CUDA graphs avoid this: one from augmentation to gradients, which is replayed for each share of the batch, and one
from clipping to the teacher's average. All-reduce runs between them. The outputs of the first graph are compared with
those of the eager models before the first step, and again at a later one.
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

from sed.gpu.joined_gelu import joined_gelus
from sed.models.detector import Detector, DetectorOutput
from sed.models.encoders import Encoder, SplitEncoder
from sed.training import losses
from sed.training.gpu.classifier import classified_in_float32, split_linear
from sed.training.gpu.gru_backend import beside_equal, by_cudnn, run_by, use_bf16, use_persistent
from sed.training.inputs import StepInputs
from sed.training.interpolation import mix_posteriors
from sed.training.step import Prepared, StepValues, TrainingStep

log = logging.getLogger("sed.train")


class CompiledStep(TrainingStep):
    """`TrainingStep` with compiled encoders; on a GPU the teacher's decoder runs concurrently, on a second stream."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._encode_student = compiled(self.student)
        joins = self.precision == "bf16" and self.device.type == "cuda"
        self._encode_teacher = (compiled_joined if joins else compiled)(self.teacher)
        self._side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # the teacher's decoder
        self._persistent = self.precision == "bf16" and all(map(use_persistent, (self.student, self.teacher)))
        if self.precision == "bf16":
            for model in (self.student, self.teacher):
                model.run_classifier = split_linear

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
                with torch.no_grad():
                    teacher = self.teacher.decode(frames)
                return self.student.decode(self._encode_student(prepared.student)), teacher
            current = torch.cuda.current_stream()
            self._side.wait_stream(current)
            student_frames = self._encode_student(prepared.student)
            teacher, free = self._decode_teacher(frames, len(student_frames), current.record_event())
            current.wait_event(free)
            student = self.student.decode(student_frames)
        current.wait_stream(self._side)  # before `frames` is freed, so that its memory is not reused too early
        return student, teacher

    def _decode_teacher(
        self, frames: Tensor, clips: int, encoded: torch.cuda.Event
    ) -> tuple[DetectorOutput, torch.cuda.Event]:
        """Decode the teacher's frames on the second stream.

        It runs at the same time as the student's encoder, except for the GRU's last launches: these run at the same
        time as the student's GRU, which leaves some multiprocessors idle. Persistent kernels that do not fit on the GPU
        together could deadlock, each waiting for the other's multiprocessors: then the student's decoder begins after
        the teacher's.

        Args:
            frames: output of the teacher's encoder (clips, patches, dim), with interpolation consistency (slots, ...),
                as in `Prepared`.
            clips: number of clips of the student.
            encoded: the end of the student's encoder.

        Returns:
            The output, and the event after which the student's decoder may begin.
        """
        assert self._side is not None
        side = self._side
        room: list[torch.cuda.Event] = []  # with last launches: their start, from which on the student's GRU has room

        def before_last() -> None:
            room.append(side.record_event())
            side.wait_event(encoded)

        run = run_by(self.teacher, beside_equal(clips, before_last)) if self._persistent else nullcontext()
        with torch.no_grad(), torch.cuda.stream(side), run:
            teacher = self.teacher.decode(frames)
            ended = side.record_event() if self._persistent else encoded
        return teacher, room[0] if room else ended


def compiled(detector: Detector) -> Callable[[Tensor], Tensor]:
    """Compile `detector.encode`, except for the embedding of a `SplitEncoder` (an AST's patches).

    PyTorch 2.11 fuses the embedding with the first LayerNorm into a kernel that reads what other warps have stored
    without a barrier; with a block size that autotuning sometimes chooses, it reads too early (pytorch issue 190517).
    """
    encoder = detector.encoder
    if not isinstance(encoder, SplitEncoder):
        return torch.compile(detector.encode, dynamic=False)
    rest = torch.compile(lambda x: detector.pool(encoder.from_embedded(x)), dynamic=False)
    return lambda x: rest(encoder.embed(x))


def compiled_joined(detector: Detector) -> Callable[[Tensor], Tensor]:
    """Compile `detector.encode` as `compiled` does, for bf16 without gradients: with `joined_gelus`."""
    encode = compiled(detector)

    def run(x: Tensor) -> Tensor:
        with joined_gelus(detector):
            return encode(x)

    return run


def compiled_frozen(detector: Detector) -> Callable[[Tensor], Tensor]:
    """Compile `detector.encode` for a frozen encoder: the encoder without gradients, and the pooling separately."""
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
    """`CompiledStep` replayed from CUDA graphs. Shapes of inputs must not change.

    The graphs are captured at the first call, and again when the encoder has been frozen or unfrozen.
    Compiled code can be silently wrong, and in some processes only: before `compiled` left out the embedding, 17 of 141
    trainings on H200s had a teacher whose outputs changed from call to call. So the models' replayed outputs are
    checked against eager execution, once at capture and once 99 calls later. If they differ, the graphs are captured
    again without compiled encoders and without the second stream; if they still differ, the step runs without graphs.
    Models with dropout or batch norm cannot be compared.
    """

    _WARM_UP = 3  # eager calls before the capture, as PyTorch requires: they compile and allocate
    _SECOND_CHECK = 100  # number of the call, from 1 at the capture, before which replays are checked again
    _REPLAYS = 3  # replays per check
    _backward: torch.cuda.CUDAGraph
    _update: torch.cuda.CUDAGraph
    _logged: Tensor
    _norm: Tensor

    _MOST = 0.2
    """`disagreement` above which graphs count as wrong: bf16 causes 0.02 to 0.06, logits of another clip more than 1"""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._static: StepInputs | None = None  # input tensors of the captured graphs; None before the capture
        self._plain = False  # True: graphs were wrong, steps run eagerly
        self._calls = 0  # since the encoder was last frozen or unfrozen
        # Logits of the student and, if it is evaluated, the teacher: memory that each replay overwrites.
        self._seen: list[Tensor] = []

    def freeze(self, frozen: bool) -> None:
        super().freeze(frozen)
        self._static = None  # captured with the encoder in the other state
        self._calls = 0

    def __call__(self, inputs: list[StepInputs], values: StepValues) -> Tensor:
        self.set_values(values)
        self._calls += 1
        if self._static is None and not self._plain:
            self._prepare(inputs[0], 1 / len(inputs))
        elif self._calls == self._SECOND_CHECK and not self._plain:
            self._check(1 / len(inputs))
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
        """Capture both graphs and check the models' outputs; restore random state and buffers, which this changes."""
        self._static = StepInputs(**{f.name: getattr(inputs, f.name).clone() for f in fields(StepInputs)})
        buffers = [b for model in (self.student, self.teacher) for b in model.buffers()]
        saved = [b.clone() for b in buffers]
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            self._capture(share)
            self._check(share)
        for buffer, value in zip(buffers, saved, strict=True):
            buffer.copy_(value)

    def _check(self, share: float) -> None:
        """Compare replays with the eager models; if they differ, disable compilation and second stream, then graphs."""
        if (error := self._error(share)) > self._MOST:
            log.warning("CUDA graphs are wrong: captured again, encoders not compiled")
            self._side = None
            self._encode_student, self._encode_teacher = self.student.encode, self.teacher.encode
            self._capture(share)
            error = self._error(share)
        if error > self._MOST:
            log.warning("CUDA graphs are wrong: the step runs without them, slower")
            self._plain = True
            self.release()
            if self.precision == "bf16":
                for model in (self.student, self.teacher):
                    use_bf16(model)  # as in an eager step, instead of the persistent kernel

    def _error(self, share: float) -> float:
        """Return the largest `disagreement` of replays and models; infinite if the logged consistency loss is wrong.

        It is 0 for models that cannot be compared, or for lack of memory. `share` is that of `backward`.
        """
        if any(map(_cannot_be_compared, self.student.modules())):
            return 0.0
        # Several replays: the first one of a wrong graph differed by only 0.05, and by 2 once its memory was reused.
        logits, losses_right = zip(*(self._compared(share) for _ in range(self._REPLAYS)), strict=True)
        compared = [errors for errors in logits if errors]
        if len(compared) < self._REPLAYS:
            missing = self._REPLAYS - len(compared)
            log.info(
                "CUDA graphs: the GPU's memory is full, %d of %d replays are not compared with the eager models",
                *(missing, self._REPLAYS),
            )
        largest = [max(errors) for errors in zip(*compared, strict=True)]
        if largest:
            log.info(
                "CUDA graphs: logits differ from those of the eager models by %s of their spread (wrong above %g)",
                " and ".join(
                    f"{error:.3f} ({name})" for error, name in zip(largest, ("student", "teacher"), strict=False)
                ),
                self._MOST,
            )
        if not all(losses_right):
            log.info("CUDA graphs: the consistency loss that was logged is not that of the logits")
            return math.inf
        return max(largest, default=0.0)

    def _compared(self, share: float) -> tuple[list[float], bool]:
        """Replay and compare the logits with the eager models', and the logged consistency loss with the logits'.

        Inputs are rolled over the batch first, so that outputs left from the previous replay count as errors.

        Returns:
            The disagreement of the student and, if it is evaluated, of the teacher, empty if the GPU's memory is full;
            whether the loss is right, True without a teacher.
        """
        assert self._static is not None
        right = True
        for tensor in (self._static.features, self._static.valid):
            tensor.copy_(tensor.roll(1, 0))
        self._backward.replay()  # its gradients are zeroed before the next step
        with torch.no_grad():
            try:
                errors = self._disagreements()
            except torch.OutOfMemoryError:
                errors = []
            if len(self._seen) == 2:
                student, teacher = (logits.float().sigmoid() for logits in self._seen)
                if self.preparation.interpolated:
                    teacher = mix_posteriors(teacher, *self.preparation.mixing(self._static))
                now = losses.consistency(student, teacher)
                # `_logged` begins with the loss, before its parts; all are times `share` (see `backward`)
                logged = self._logged[1 + losses.PARTS.index("frame_consistency")] / share
                right = torch.allclose(logged, now, rtol=0.01, atol=1e-6)
        return errors, right

    def _disagreements(self) -> list[float]:
        """Return the disagreement of the student and, if it is evaluated, of the teacher, on at most four clips.

        The eager models use another attention kernel, so that an error of the fused one is found as well.
        """
        assert self._static is not None
        prepared = self.preparation(self._static)
        errors = []
        # not strict: `_seen` has no teacher if it is not evaluated
        for model, x, seen in zip((self.student, self.teacher), prepared[:2], self._seen, strict=False):
            some = slice(None, None, math.ceil(len(x) / 4))
            cudnn_gru = by_cudnn(model) if self.precision == "bf16" else nullcontext()
            attention = sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
            with cudnn_gru, classified_in_float32(model), attention, self.autocast():
                errors.append(disagreement(seen[some], model(x[some]).logits))
        return errors

    def _capture(self, share: float) -> None:
        """Compile and warm up on a separate stream, then capture both graphs."""
        assert self._static is not None
        self.release()
        # of higher priority than what runs beside the GRU's kernel (`second_stream` of sed/gpu/persistent_gru.py)
        stream = torch.cuda.Stream(self.device, priority=-1)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self._WARM_UP):
                self.backward(self._static, share)
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize(self.device)
        torch.cuda.empty_cache()  # the graphs allocate from their own memory pool
        self._backward, self._update = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._backward, stream=stream):
            self._logged = self.backward(self._static, share)
        with torch.cuda.graph(self._update, pool=self._backward.pool(), stream=stream):
            self._norm = self.update()
        torch.cuda.synchronize(self.device)


def _cannot_be_compared(module: nn.Module) -> bool:
    """Return whether a module's output depends on random numbers or on the other clips of the batch."""
    if isinstance(module, nn.Dropout):
        return module.p > 0
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return module.training  # frozen ones are in evaluation mode
    return isinstance(module, nn.RNNBase) and module.dropout > 0


def disagreement(found: Tensor, expected: Tensor) -> float:
    """Return the RMS difference of two sets of logits (clips, frames, classes), relative to their spread.

    The difference is that of the worst clip, the spread is the standard deviation of the expected logits around the
    means of their classes.

    Returns:
        0: equal; about 1 or more: unrelated; infinite: some logit is not finite.
    """
    spread = (expected - expected.mean((0, 1))).square().mean().sqrt()
    worst = (found - expected).square().mean((1, 2)).sqrt().max()
    return torch.nan_to_num(worst / spread.clamp_min(1e-6), nan=math.inf, posinf=math.inf).item()


STEPS: dict[str, type[TrainingStep]] = {"eager": TrainingStep, "compile": CompiledStep, "graph": GraphedStep}


def choose(accelerate: str, device: torch.device) -> type[TrainingStep]:
    """Return the class of steps that `accelerate` names; auto: graphs on a GPU, eager on a CPU.

    On a CPU, compilation takes long compared with what it saves; graph there means compile.
    """
    if accelerate == "auto":
        accelerate = "graph" if device.type == "cuda" else "eager"
    if accelerate == "graph" and device.type != "cuda":
        accelerate = "compile"
    return STEPS[accelerate]
