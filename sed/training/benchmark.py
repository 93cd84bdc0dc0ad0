"""Training speed of a config on this machine, component by component, for `sed.bin.benchmark`."""

from __future__ import annotations

import copy
import gc
import itertools
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from sed.data.batches import FeaturePool, Features, Supervision, TrainingSet, arrange
from sed.data.statistics import fitted
from sed.data.store import FeatureStore, FeatureWriter
from sed.errors import first_lines
from sed.features.logmel import FrontEnd
from sed.gpu.detector import accelerated, graphed
from sed.models.convolutions import Mixing
from sed.models.decoders import RunGru, is_gru_based
from sed.models.detector import Detector, build_detector
from sed.training.augment import AugmentOptions
from sed.training.build import make_schedule, make_step
from sed.training.distributed import World
from sed.training.gpu import gru_backend
from sed.training.gpu.gru_backend import use_bf16, use_persistent
from sed.training.inputs import InputMaker, inputs_from
from sed.training.mean_teacher import MovingAverage, make_teacher
from sed.training.parameters import FlatParameters, build_optimiser, parameter_groups
from sed.training.roofline import Limits, Work, forward_work, update_work
from sed.training.step import StepValues, choose_precision

log = logging.getLogger("sed.benchmark")
CLASSES = 10
KINDS: tuple[Supervision, ...] = ("strong", "strong", "weak", "unlabelled")
"""kinds of a config's sets by their position alone, whatever its `train_sets` are; later ones are like the last"""
VALUES = StepValues(encoder_lr=5e-6, head_lr=1e-4, ema_weight=1e-3, loss_weights=(1.0, 0.5, 2.0, 2.0, 0.0, 0.0))
"""scheduled values of every timed step, not the config's: of these only an `encoder_lr` of 0 changes a step's speed"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Measurement of one component."""

    name: str
    clips_per_second: float
    milliseconds: float
    """median time per batch; in `Benchmark.data` the mean"""
    gigabytes: float
    """peak memory on the GPU; 0 on a CPU"""
    work: Work | None = None
    """operations and bytes that it needs at least; None if they are not counted"""
    limit_milliseconds: float | None = None
    """shortest time for `work` on this device in the config's precision"""


class RandomStore:
    """Random features with the interface of a `FeatureStore`, in the shapes of the config's front end."""

    path = Path("random features")

    def __init__(self, front_end: FrontEnd, clips: int) -> None:
        self.clips = [f"random_{i}" for i in range(clips)]
        self.frames, self.bins = front_end.clip_frames, front_end.mel_bins
        self.front_end = front_end.params()
        self.valid = np.full(clips, self.frames)
        rng = np.random.default_rng(0)
        # mean and spread like those of log-mel features; clips beyond 256 have the features of earlier ones
        self._data = rng.normal(-6, 3, (min(clips, 256), self.frames, self.bins)).astype(np.float16)

    def read(self, rows: Any) -> np.ndarray:
        return self._data[np.asarray(rows) % len(self._data)]


def timed(call: Callable[[], Any], *, device: torch.device, repeats: int, warm_up: int = 3) -> tuple[float, float]:
    """Time a function.

    Args:
        call: the function to time.
        device: device that it runs on.
        repeats: number of timed calls.
        warm_up: number of calls before the timed ones.

    Returns:
        The median time of a call in milliseconds, and the peak GPU memory in GB (0 on a CPU).
    """
    for _ in range(warm_up):
        call()
    if device.type != "cuda":
        times = []
        for _ in range(repeats):
            started = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - started))
        return statistics.median(times), 0.0
    torch.cuda.synchronize(device)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        call()
        event.record()
    torch.cuda.synchronize(device)
    times = [a.elapsed_time(b) for a, b in itertools.pairwise(events)]
    return statistics.median(times), torch.cuda.max_memory_allocated(device) / 1e9


def measured(
    name: str, call: Callable[[], Any], *, clips: int, device: torch.device, repeats: int, warm_up: int = 3
) -> Row:
    """Measure a function that processes one batch.

    Args:
        name: name of the row.
        call: the function.
        clips: clips per batch.
        device: device that it runs on.
        repeats: number of timed calls.
        warm_up: number of calls before the timed ones.

    Returns:
        The measurement, without counted operations.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    milliseconds, gigabytes = timed(call, device=device, repeats=repeats, warm_up=warm_up)
    return Row(name=name, clips_per_second=1e3 * clips / milliseconds, milliseconds=milliseconds, gigabytes=gigabytes)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the floating-point operations per second of a large square matrix product of random numbers."""
    # large enough for full speed, small enough to be quick
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    milliseconds, _ = timed(lambda: a @ b, device=device, repeats=10)
    return 2 * size**3 / (milliseconds / 1e3)


def copy_rate(device: torch.device) -> float:
    """Measure the bytes per second, read and written, of a copy that is too large for caches."""
    values = 1 << (29 if device.type == "cuda" else 25)
    a, b = (torch.ones(values, device=device) for _ in range(2))
    milliseconds, _ = timed(lambda: b.copy_(a), device=device, repeats=10)
    return 2 * 4 * values / (milliseconds / 1e3)


def timed_precision(precision: str, device: torch.device) -> str:
    """Resolve the option `precision` for a benchmark: on a GPU as in training, on a CPU always fp32."""
    return choose_precision(precision, device) if device.type == "cuda" else "fp32"


class Benchmark:
    """Benchmark of the components of a config; batches are random clips of the config's batch sizes."""

    def __init__(self, config: Mapping[str, Any], *, device: torch.device, repeats: int = 20) -> None:
        self.config = dict(config)
        self.device, self.repeats = device, repeats
        front_end = FrontEnd.from_config(config)
        # statistics that some normalisers take from the training sets are those of random features
        self.front_end = fitted(front_end, [RandomStore(front_end, 16)]).to(device)
        self.clips = sum(config["batch_sizes"])
        self.precision = timed_precision(config["precision"], device)
        self.bf16 = self.precision == "bf16"
        self._allow_tf32()
        rate = matmul_rate(device, torch.bfloat16 if self.bf16 else torch.float32)
        self.limits = Limits(rate, copy_rate(device))
        self._counted: dict[str, tuple[Work, int]] = {}

    def sets(self, detector: Detector, store: Features | None = None) -> list[TrainingSet]:
        """Make sets of `KINDS` with random targets for the config's batch sizes.

        Features are from `store`; None: random ones in memory.
        """
        shapes: dict[str, tuple[int, ...]] = {"strong": (detector.num_frames, CLASSES), "weak": (CLASSES,)}
        rng = np.random.default_rng(1)
        sets = []
        for i, size in enumerate(self.config["batch_sizes"]):
            if not size:
                continue
            kind = KINDS[min(i, 3)]
            data = store or RandomStore(self.front_end, max(2 * size, 16))
            shape = shapes.get(kind)
            targets = None
            if shape:
                targets = (rng.random((len(data.clips), *shape)) < 0.1).astype(np.uint8)
            sets.append(TrainingSet(name=f"{kind}_{i}", store=data, supervision=kind, targets=targets, batch_size=size))
        return arrange(sets)

    def maker(self, detector: Detector, sets: list[TrainingSet], cache: str) -> InputMaker:
        """Build the input maker.

        Args:
            detector: defines the label frames.
            sets: the sets of `sets`.
            cache: where features are cached: device, ram or none.

        Returns:
            The input maker, with the config's augmentation and as many shares as it accumulates.

        Raises:
            UserError: the clips of a batch cannot be divided into these shares.
        """
        return InputMaker(
            sets,
            FeaturePool(sets, cache=cache, device=self.device),
            seed=0,
            options=AugmentOptions.from_config(self.config),
            frames=detector.num_frames,
            frame_seconds=detector.frame_seconds,
            classes=CLASSES,
            shares=self.config["accumulate"],
            interpolated=self.config["interpolation_consistency"],
        )

    def row(self, name: str, call: Callable[[], Any], *, work: Work | None = None, warm_up: int = 3) -> Row:
        """Time a function that processes one batch.

        Args:
            name: name of the row.
            call: the function.
            work: what a call needs at least; None: unknown.
            warm_up: number of calls before the timed ones.

        Returns:
            The measurement.
        """
        row = measured(name, call, clips=self.clips, device=self.device, repeats=self.repeats, warm_up=warm_up)
        return replace(row, work=work, limit_milliseconds=self.limits.milliseconds(work) if work else None)

    def work(self, part: str) -> Work:
        """Return the work of a forward pass of the `detector` or its `encoder`."""
        return self._count(part)[0]

    def _count(self, part: str) -> tuple[Work, int]:
        """Count the forward pass and the parameters of the `detector` or its `encoder`, on the CPU, once."""
        if part not in self._counted:
            detector = build_detector(self.config, CLASSES)
            module = detector if part == "detector" else detector.get_submodule(part)
            clip = torch.zeros(1, self.config["input_frames"], self.config["mel_bins"])
            work = forward_work(module, lambda m: m(clip), clips=self.clips, value_bytes=2 if self.bf16 else 4)
            self._counted[part] = work, sum(p.numel() for p in module.parameters())
        return self._counted[part]

    def step_work(self, part: str, *, frozen: bool = False) -> Work:
        """Return the work of a mean-teacher step of the `detector` or its `encoder`.

        In forward passes: the student's forward 1 and backward 2, the teacher's forward 1 (counted even if
        `consistency_weight` 0 leaves it out). A frozen encoder has no backward pass and no update.
        """
        work, trained = self._count(part)
        work *= 4
        if frozen:
            encoder, fixed = self._count("encoder")
            work, trained = work + encoder * -2, trained - fixed
        return work + update_work(trained)

    def _allow_tf32(self) -> None:
        """Let PyTorch round to TF32 if that is the config's precision; a step in another one changes this setting."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == "tf32"

    def _detector(self) -> Detector:
        release()  # memory of the previous component
        self._allow_tf32()
        torch.manual_seed(0)
        return build_detector(self.config, CLASSES).to(self.device)

    def step(self, name: str, *, accelerate_as: str, precision: str, cache: str = "auto", frozen: bool = False) -> Row:
        """Time the whole training step, with prefetched inputs and cached features like in training.

        Args:
            name: name of the row.
            accelerate_as: value of the option `accelerate`.
            precision: value of the option `precision`.
            cache: where features are cached: device, ram, none, or auto (device on a GPU, else ram).
            frozen: whether the encoder is frozen, like during `frozen_epochs`.

        Returns:
            The measurement. Its `work` is None if the precision is not that of `self.limits`.
        """
        detector, precision = self._detector(), timed_precision(precision, self.device)
        config = {**self.config, "accelerate": accelerate_as, "precision": precision}
        step = make_step(config, detector, self.front_end, device=self.device, world=World())
        cache = ("device" if self.device.type == "cuda" else "ram") if cache == "auto" else cache
        maker = self.maker(detector, self.sets(detector), cache)
        ahead = self.config["ahead"] if self.device.type == "cuda" else 0
        source = inputs_from(maker, range(1 << 30), range(maker.shares), ahead=ahead)
        values = replace(VALUES, encoder_lr=0.0) if frozen else VALUES

        def call() -> None:
            _, shares = next(source)
            step([maker.fetched(inputs) for inputs in shares], values)

        work = self.step_work("detector", frozen=frozen) if precision == self.precision else None
        return self.row(name, call, work=work)

    def bare_encoder(self, name: str = "bare encoder, compiled", *, compiled: bool = True) -> Row:
        """Time a mean-teacher step of the encoder alone: student forward and backward, teacher, AdamW, average."""
        student = self._detector().get_submodule("encoder")
        teacher = make_teacher(student)
        flat = FlatParameters(parameter_groups(student, student), gradients=True)
        average = MovingAverage(student, flat, teacher)
        optimiser = build_optimiser(flat, weight_decay=1e-4, betas=(0.9, 0.999), device=self.device)
        x = torch.randn(self.clips, self.config["input_frames"], self.config["mel_bins"], device=self.device)
        weight = torch.full((), 1e-3, device=self.device)
        run = [torch.compile(m, dynamic=False) if compiled else m for m in (student, teacher)]

        def call() -> None:
            flat.zero_gradients()
            with self._autocast():
                out = run[0](x)
                with torch.no_grad():
                    target = run[1](x)
            (out.float() - target.float()).square().mean().backward()
            optimiser.step()
            average.update(weight)

        return self.row(name, call, work=self.step_work("encoder"))

    def convolutions(self) -> list[Row]:
        """Time forward and backward of the encoder's mixing convolutions, and of plain ones with all kernels' filters.

        The plain ones show what mixing costs: they compute the outputs of all kernels, but do not weigh and sum them.

        Returns:
            Both measurements; none if the encoder has no mixing convolutions.
        """
        encoder = self._detector().get_submodule("encoder")
        layers = [module for module in encoder.modules() if isinstance(module, Mixing)]
        shapes: list[tuple[torch.Size, int]] = []
        hooks = [
            layer.register_forward_hook(lambda _, given, out: shapes.append((given[0].shape[1:], out.shape[1])))
            for layer in layers
        ]
        with torch.no_grad():
            encoder(torch.randn(1, self.config["input_frames"], self.config["mel_bins"], device=self.device))
        for hook in hooks:
            hook.remove()
        plain = [
            torch.nn.Conv2d(shape[0], layer.kernels * out, kernel_size=3, padding=1, bias=False)
            for layer, (shape, out) in zip(layers, shapes, strict=True)
        ]
        if not layers:
            return []
        inputs = [shape for shape, _ in shapes]
        return [
            self._layers(f"{len(layers)} mixing convolutions", layers, inputs),
            self._layers(f"as many plain ones of {layers[0].kernels} x the filters", plain, inputs),
        ]

    def _layers(self, name: str, layers: Sequence[Any], shapes: Sequence[torch.Size]) -> Row:
        """Time forward and backward of layers, each on separate random input (clips, *shape)."""
        inputs = [torch.randn(self.clips, *shape, device=self.device, requires_grad=True) for shape in shapes]
        runs = [layer.to(self.device) for layer in layers]
        with torch.no_grad(), self._autocast():
            gradients = [torch.randn_like(run(x)) for run, x in zip(runs, inputs, strict=True)]
        if self.device.type == "cuda":
            runs = [torch.compile(run, dynamic=False) for run in runs]

        def call() -> None:
            for run, x, gradient in zip(runs, inputs, gradients, strict=True):
                with self._autocast():
                    out = run(x)
                out.backward(gradient)

        return self.row(name, call)

    def heads(self, name: str = "heads", *, graph: bool) -> Row:
        """Time everything after the encoder: student forward and backward, teacher forward.

        graph: with all that training on a GPU has (compiled pooling, the persistent GRU where it fits, a CUDA graph);
        else eagerly, with the library's GRU.
        """
        detector = self._detector()
        teacher = make_teacher(detector)
        if self.bf16:
            for model in (detector, teacher):
                if not (graph and use_persistent(model)):
                    use_bf16(model)
        with torch.no_grad(), self._autocast():
            grid = detector.encoder(
                torch.randn(1, self.config["input_frames"], self.config["mel_bins"], device=self.device)
            )
        grid = grid.expand(self.clips, -1, -1, -1).contiguous().requires_grad_()
        pools = [torch.compile(m.pool, dynamic=False) if graph else m.pool for m in (detector, teacher)]

        def call() -> None:
            with self._autocast():
                with torch.no_grad():
                    teacher.decode(pools[1](grid))
                detector.decode(pools[0](grid)).logits.square().mean().backward()

        run = graphed(call, self.device) if graph and self.device.type == "cuda" else call
        return self.row(name, run, work=(self.work("detector") + self.work("encoder") * -1) * 4)

    def grus(self) -> list[Row]:
        """Time forward and backward of the decoder's Bi-GRU by each implementation that runs on the device.

        Returns:
            A measurement per implementation; none if the decoder has no Bi-GRU.
        """
        decoder = self._detector().decoder
        frames, repeat = decoder.frames, decoder.upsample
        if not is_gru_based(decoder):
            return []
        gru = decoder.gru
        x = torch.randn(self.clips, frames, gru.input_size, device=self.device, requires_grad=True)
        count = {"clips": self.clips, "value_bytes": 2 if self.bf16 else 4}
        clip = torch.zeros(1, frames * repeat, gru.input_size)
        work = forward_work(gru, lambda m: m(clip), **count) * 3
        rows = []
        for name, run in gru_backend.implementations(gru, self.clips, self.device).items():

            def call(run: RunGru = run) -> None:
                run(gru, x, repeat).float().square().mean().backward()

            try:
                graph = graphed(call, self.device) if self.device.type == "cuda" else call
                rows.append(self.row(f"Bi-GRU forward and backward, {name}", graph, work=work))
            except RuntimeError as error:
                log.info("%s: %s", name, first_lines(error))
        return rows

    def inference(self, name: str = "inference") -> Row:
        """Time the forward pass of the whole detector without gradients.

        In bf16, if that is the config's precision, it is that of `infer --amp` and `predict --precision bfloat16`.
        """
        detector = self._detector().eval()
        run = accelerated(detector, self.device)
        x = torch.randn(self.clips, self.config["input_frames"], self.config["mel_bins"], device=self.device)

        def call() -> None:
            with torch.no_grad(), self._autocast():
                run(x)

        return self.row(name, call, work=self.work("detector"))

    def data(self, name: str = "data from HDF5", *, clips: int = 512) -> Row:
        """Time making a step's inputs from HDF5 (in the page cache), with draws and targets, on the host only."""
        with tempfile.TemporaryDirectory() as folder:
            store = write_random_dump(Path(folder), self.front_end, max(clips, *self.config["batch_sizes"]))
            detector = build_detector(self.config, CLASSES)
            maker = self.maker(detector, self.sets(detector, store), "none")
            steps = itertools.count()

            def make() -> None:
                step = next(steps)
                for share in range(maker.shares):
                    maker.make(step, share)

            started = time.perf_counter()
            for _ in range(5):
                make()
            # as many as take 3 s, but 5 to 200
            repeats = max(5, min(200, int(5 * 3 / (time.perf_counter() - started))))
            started = time.perf_counter()
            for _ in range(repeats):
                make()
            seconds = (time.perf_counter() - started) / repeats
        return Row(name=name, clips_per_second=self.clips / seconds, milliseconds=1e3 * seconds, gigabytes=0.0)

    def peer(self, name: str = "Hugging Face AST of as many blocks, eager") -> Row | None:
        """Time the step of `bare_encoder` with Hugging Face's AST of the config's size, eager but for fused attention.

        Returns:
            The measurement; None if the config's encoder is no AST or transformers is not installed.
        """
        if self.config["encoder"] != "ast":
            return None
        try:
            from transformers import ASTConfig, ASTModel
        except ImportError:
            return None
        c = self.config
        release()
        self._allow_tf32()
        sizes = {
            "hidden_size": c["ast_dim"],
            "num_hidden_layers": c["ast_blocks"],
            "num_attention_heads": c["ast_heads"],
            "intermediate_size": int(c["ast_dim"] * c["ast_mlp_ratio"]),
            "patch_size": c["patch_freq"],
            "frequency_stride": c["stride_freq"],
            "time_stride": c["stride_time"],
            "max_length": c["input_frames"],
            "num_mel_bins": c["mel_bins"],
            "attn_implementation": "sdpa",
        }
        model: torch.nn.Module = ASTModel(ASTConfig(**sizes))
        model.to(self.device)
        teacher = copy.deepcopy(model).requires_grad_(False)
        x = torch.randn(self.clips, c["input_frames"], c["mel_bins"], device=self.device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

        def call() -> None:
            optimiser.zero_grad()
            with self._autocast():
                out = model(x).last_hidden_state
                with torch.no_grad():
                    target = teacher(x).last_hidden_state
            (out.float() - target.float()).square().mean().backward()
            optimiser.step()
            torch._foreach_lerp_(list(teacher.parameters()), [p.detach() for p in model.parameters()], 1e-3)

        return self.row(name, call)

    def _autocast(self) -> Any:
        # no cache of weights in bf16: the replay of a graph would read those of its capture
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False)


def table(rows: list[Row]) -> str:
    """Format measurements as a table of text.

    Columns after the time: operations and bytes that the part needs at least, the time that these take on the device
    (the limit), the limit's share of the measured time, and peak memory on the GPU.
    """
    columns = "{:42} {:>9} {:>9} {:>8} {:>8} {:>8} {:>6} {:>6}"
    lines = [columns.format("part", "clips/s", "ms/batch", "TFLOP", "GB moved", "limit ms", "share", "GB")]
    for row in rows:
        counted = ["-"] * 4
        if row.work and row.limit_milliseconds:
            counted = [
                f"{row.work.operations / 1e12:.3f}",
                f"{row.work.bytes / 1e9:.2f}",
                f"{row.limit_milliseconds:.2f}",
                f"{row.limit_milliseconds / row.milliseconds:.2f}",
            ]
        times = [f"{row.clips_per_second:.1f}", f"{row.milliseconds:.2f}"]
        lines.append(columns.format(row.name, *times, *counted, f"{row.gigabytes:.1f}"))
    return "\n".join(lines)


def training_seconds(
    config: Mapping[str, Any], milliseconds: float, clips: list[int], frozen: float | None = None
) -> tuple[int, float]:
    """Estimate the duration of a training.

    Args:
        config: batch sizes and the options of the schedule are used.
        milliseconds: time per step.
        clips: clips of each training set, of `KINDS`.
        frozen: time per step with a frozen encoder, in milliseconds; None: like `milliseconds`.

    Returns:
        The number of steps and their duration in seconds.
    """
    sets = [
        TrainingSet(
            name=str(i),
            store=cast("Features", SimpleNamespace(clips=range(count))),  # a schedule depends on their number only
            supervision=KINDS[min(i, 3)],
            targets=None,
            batch_size=size,
        )
        for i, (count, size) in enumerate(zip(clips, config["batch_sizes"], strict=True))
        if size
    ]
    steps = make_schedule(config, sets).steps
    frozen_epochs = config["frozen_epochs"] if config["encoder_lr"] else config["epochs"]
    first = steps * min(frozen_epochs, config["epochs"]) // config["epochs"] if frozen else 0
    return steps, (first * (frozen or 0.0) + (steps - first) * milliseconds) / 1e3


def write_random_dump(folder: Path, front_end: FrontEnd, clips: int) -> FeatureStore:
    """Write a dump of random features.

    Args:
        folder: folder of the dump, which exists.
        front_end: defines the features' shape and parameters.
        clips: number of clips.

    Returns:
        The dump, opened.
    """
    rng = np.random.default_rng(0)
    names = [f"random_{i:06d}" for i in range(clips)]
    shape = (front_end.clip_frames, front_end.mel_bins)
    with FeatureWriter(
        folder / "feats.1.h5", clips=names, frames=shape[0], bins=shape[1], front_end=front_end.params()
    ) as writer:
        for _ in names:
            writer.write(rng.normal(-6, 3, shape).astype(np.float16))
    (folder / "feats.scp").write_text("".join(f"{name} feats.1.h5:{i}\n" for i, name in enumerate(names)))
    return FeatureStore(folder)


def release() -> None:
    """Free the GPU memory of deleted tensors and the compiler's caches."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
