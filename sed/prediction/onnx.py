"""Export of a model to one ONNX file, whose metadata has all that prediction needs, and a predictor that runs it."""

from __future__ import annotations

import functools
import json
import mmap
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sed import __version__
from sed.compatibility import FORMAT, check_format
from sed.config import check_options
from sed.data.labels import check_labels
from sed.errors import UserError, first_lines
from sed.evaluation.postprocessing.stored import from_stored, to_stored
from sed.features.framing import Framing
from sed.features.params import completed
from sed.files import is_text, replacing
from sed.input_files import misfit
from sed.memory import limited
from sed.prediction import window_settings
from sed.prediction.predictor import Immediate, Output, at_own_level, bin_hertz

if TYPE_CHECKING:
    from sed.checkpoints.checkpoint import LoadedModel
    from sed.evaluation.postprocessing.pipeline import PostProcessing
    from sed.prediction.window_settings import WindowSettings
    from sed.prediction.windows import WindowPlan

KEY = "ast_sed"
"""key in the file's metadata under which our JSON is stored"""
_SHAPE = {"front_end": dict, "post_processing": dict, "bin_hertz": [(int, float)]}
"""types of the facts that are not checked otherwise"""
OPSET = 18
"""version of ONNX's operator set"""
MOST = (2 << 30) - (64 << 20)
"""largest size of the weights in bytes: protobuf's limit of 2 GiB for a file, less 64 MiB for the rest of the graph"""
LOADING, RUNNING, WINDOW, THREAD = 1 << 30, 1 << 29, 1 << 28, 1 << 24
"""memory in bytes that a model may take: while it is loaded, LOADING + THREAD per thread + 3 times its file's size; for
a batch of windows, RUNNING + (WINDOW + its file's size) per window.

Untrusted graphs may request any amount; these limits are far above what ours need: AST-SED of 104 M parameters (a
file of 422 MB) takes 0.6 GB to load and 0.33 GB per window. The file's size stands for that of the activations, too,
which grows with the model.
"""


def export(
    path: str | Path, model: LoadedModel, post: PostProcessing, plan: WindowPlan, windows: WindowSettings
) -> None:
    """Write a graph from waveforms to frame and clip posteriors and log-mel, for any batch size and length.

    Args:
        path: the .onnx file.
        model: the detector with its front end and labels.
        post: the post-processing to store in the file.
        plan: windows into which the graph itself cuts recordings longer than the model's clips.
        windows: window settings to store in the file, for `sed.bin.predict --onnx`, which cuts windows itself.

    Raises:
        UserError: the package onnx is missing, or the weights are too large for one file.
    """
    import torch

    from sed.prediction.graph import PredictionGraph

    try:
        import onnx
    except ImportError:
        raise UserError("ONNX export needs the package onnx (pip install onnx onnxruntime onnxscript)") from None
    if (size := 4 * sum(weight.numel() for weight in model.detector.state_dict().values())) > MOST:
        remedy = "use the model itself, by sed.load or predict"
        raise UserError(f"the model's weights take {size / 1e9:.1f} GB, an ONNX file at most 2 GB ({remedy})")
    graph = PredictionGraph(detector=model.detector, front_end=model.front_end, plan=plan).eval()
    example = torch.zeros(2, plan.samples + plan.hop * plan.frame_samples)  # two recordings of two windows each
    axes = {
        "waveforms": {0: "batch", 1: "samples"},
        "frame": {0: "batch", 1: "frames"},
        "clip": {0: "batch"},
        "logmel": {0: "batch", 1: "windows"},
    }
    facts = {
        "format": FORMAT,
        "version": __version__,
        "labels": model.labels,
        "front_end": model.front_end.params(),
        "samples": plan.samples,
        "min_samples": model.front_end.min_samples,
        "frames": plan.frames,
        "frame_seconds": model.detector.frame_seconds,
        "encoder_seconds": model.detector.encoder_seconds,
        # of the windows of the graph itself; not read by this project
        "overlap_seconds": (plan.frames - plan.hop) * model.detector.frame_seconds,
        "windows": windows.to_stored(),
        "post_processing": to_stored(post),
        "bin_hertz": bin_hertz(model.front_end),
    }
    with replacing(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = BytesIO()  # not the file: torch and onnx refuse file names that are not valid UTF-8
        with torch.inference_mode():
            # dynamo=False: the newer exporter takes minutes for a recurrent layer of a thousand steps.
            torch.onnx.export(
                graph, (example,), written,  # type: ignore[arg-type]  # a file will do, which its annotation lacks
                dynamo=False, opset_version=OPSET, dynamic_axes=axes,
                input_names=["waveforms"], output_names=["frame", "clip", "logmel"],
            )  # fmt: skip
        proto = onnx.load_from_string(written.getvalue())
        onnx.helper.set_model_props(proto, {KEY: json.dumps(facts, ensure_ascii=False)})
        part.write_bytes(proto.SerializeToString())


class OnnxPredictor(Immediate):
    """An exported model in ONNX Runtime; torch is not used. See `sed.prediction.predictor.Predictor`."""

    def __init__(self, path: str | Path, *, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError("--onnx needs the package onnxruntime (pip install onnxruntime)") from None
        if not Path(path).is_file():
            raise UserError(f"{path}: no such file (python3 -m sed.bin.export_onnx writes it)")
        self._path = path
        _refuse_loops(Path(path))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # its error messages are raised as well
        self._size = Path(path).stat().st_size
        try:
            model = str(path) if is_text(path) else Path(path).read_bytes()  # it refuses names that are not UTF-8
            with limited(LOADING + 3 * self._size + threads * THREAD):
                self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions, which it does not list in one place
            raise UserError(
                f"{path}: not a model that ONNX Runtime reads: {_reason(error)} (export it again)"
            ) from None
        facts = self._facts(path)
        self.labels: list[str] = facts["labels"]
        self.rate = int(facts["front_end"]["sample_rate"])
        self.samples, self.min_samples = int(facts["samples"]), int(facts["min_samples"])
        self.frames, self.frame_seconds = int(facts["frames"]), float(facts["frame_seconds"])
        self.encoder_seconds = float(facts["encoder_seconds"])
        self.feature_seconds = float(facts["front_end"]["frame_shift"])
        self.bin_hertz: list[float] | None = facts.get("bin_hertz")
        self._settings: Mapping[str, Any] = facts["front_end"]
        self.windows = window_settings.from_stored(facts.get("windows"), str(path), again="export it again")
        self.post_processing = from_stored(facts["post_processing"], self.labels, str(path), again="export it again")

    def _facts(self, path: str | Path) -> dict[str, Any]:
        try:
            facts = dict(json.loads(self._session.get_modelmeta().custom_metadata_map[KEY]))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise UserError(
                f"{path}: not exported by this project (python3 -m sed.bin.export_onnx writes it)"
            ) from None
        check_format(path, facts, oldest=2, remedy="export it again")  # format 1 lacks encoder_seconds
        check_labels(path, facts.get("labels"))
        for key in ("frame_seconds", "encoder_seconds", "samples", "min_samples", "frames"):
            value = facts.get(key)
            # The bound is below the largest float, which an integer of JSON may exceed.
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
                raise UserError(f"{path}: {key} is {str(value)[:40]}, not a positive number (export it again)")
        lacking = ", ".join(f"no {name}" for name in ("front_end", "post_processing") if name not in facts)
        if wrong := misfit(facts, _SHAPE) or lacking:
            raise UserError(f"{path}: {wrong} (export it again)")
        try:
            front_end = completed(facts["front_end"])
            check_options(front_end, "sed.features.logmel")
            self._framing = Framing.of(front_end)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{path}: front_end makes no sense: {error} (export it again)") from None
        return {**facts, "front_end": front_end}

    def whole(self, waveforms: np.ndarray) -> list[np.ndarray]:
        """Return frame posteriors, clip posteriors and log-mel of recordings (batch, samples) of any length.

        The graph cuts the windows; shapes are those of `PredictionGraph.forward`.

        Raises:
            UserError: the recordings have fewer than `min_samples`, or ONNX Runtime cannot run the model.
        """
        if waveforms.shape[1] < self.min_samples:
            raise UserError(f"{waveforms.shape[1]} samples are too few for the model (at least {self.min_samples})")
        try:
            return self._session.run(["frame", "clip", "logmel"], {"waveforms": waveforms})
        except Exception as error:  # ONNX Runtime's own exceptions
            raise UserError(f"{self._path}: ONNX Runtime cannot run it: {_reason(error)} (export it again)") from None

    def __call__(self, waveforms: Sequence[np.ndarray]) -> Output:
        frame = np.empty((len(waveforms), self.frames, len(self.labels)), np.float32)
        clip = np.empty((len(waveforms), len(self.labels)), np.float32)
        logmel: list[Any] = [None] * len(waveforms)
        lengths = [len(waveform) for waveform in waveforms]
        for length in set(lengths):
            rows = [row for row, other in enumerate(lengths) if other == length]
            batch = np.stack([waveforms[row] for row in rows]).astype(np.float32, copy=False)
            with limited(RUNNING + len(rows) * (WINDOW + self._size)):
                frames, clips, mel = self.whole(batch)
            self._check(frames, (len(rows), *frame.shape[1:]))
            self._check(clips, (len(rows), clip.shape[1]))
            if mel.ndim != 4 or len(mel) != len(rows):
                raise UserError(f"{self._path}: log-mel of shape {mel.shape} (export it again)")
            frame[rows], clip[rows] = frames, clips
            valid = self._framing.num_frames(length)
            for row, windows in zip(rows, mel, strict=True):  # no waveform is longer than a window: there is one
                logmel[row] = functools.partial(at_own_level, windows[0, :valid], waveforms[row], self._settings)
        return Output(frame, clip, logmel)

    def _check(self, values: np.ndarray, shape: tuple[int, ...]) -> None:
        """Raise UserError unless posteriors have this shape and are in [0, 1]."""
        if values.shape != shape or not ((values >= 0) & (values <= 1)).all():
            what = (
                f"of shape {values.shape}, not {shape}" if values.shape != shape else "that are NaN or outside [0, 1]"
            )
            raise UserError(f"{self._path}: posteriors {what} (export it again)")


def _reason(error: Exception) -> str:
    """Return the first line of ONNX Runtime's message, or that the memory limit was reached."""
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text or "allocate memory" in text or "bfc_arena" in text:
        return "it asks for more memory than such a model needs"
    return first_lines(error)[:160]


def _refuse_loops(path: Path) -> None:
    """Refuse a graph with loops, which could run for ever; exported graphs have none."""
    with path.open("rb") as file:
        if not file.seek(0, 2):
            raise UserError(f"{path}: empty file (export it again)")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for kind in (b"Loop", b"Scan"):
                if data.find(b"\x22\x04" + kind) >= 0:  # protobuf: field 4 of a node (op_type), 4 bytes long
                    raise UserError(f"{path}: its graph has a {kind.decode()} (export it by sed.bin.export_onnx)")


def difference(path: str | Path, model: LoadedModel, plan: WindowPlan) -> float:
    """Compare an exported file with torch, on noise shorter than a window, of one window, and of several.

    Args:
        path: the .onnx file.
        model: the model that was exported.
        plan: the windows that it was exported with.

    Returns:
        The largest absolute difference of frame posteriors; NaN if one is NaN.
    """
    from sed.prediction.predictor import TorchPredictor
    from sed.prediction.windows import Join

    in_torch = TorchPredictor(detector=model.detector, front_end=model.front_end, labels=model.labels)
    exported = OnnxPredictor(path, threads=1)
    rng = np.random.default_rng(0)
    differences = []
    for count in (plan.samples // 7, plan.samples, plan.samples + 5 * plan.hop * plan.frame_samples // 2):
        gate = np.repeat(rng.random(count // 800 + 1) < 0.3, 800)[:count]  # loud 30 % of the time, for 800 samples each
        audio = (0.003 + 0.2 * gate).astype(np.float32) * rng.standard_normal(count).astype(np.float32)
        join, rows = Join(plan, len(model.labels)), []
        for window in plan.cut([audio]):
            output = in_torch([window.samples])
            joined = join.add(window, output.frame[0], output.clip[0])
            rows.append(joined[:, : len(model.labels)])  # frame posteriors only
        frames = -(-count // plan.frame_samples)  # later ones are padding
        frame = exported.whole(audio[None])[0][0]
        differences.append(np.abs(frame[:frames] - np.concatenate(rows)[:frames]).max())
    return float(np.max(differences))
