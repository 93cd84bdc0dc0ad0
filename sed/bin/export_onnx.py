"""Export a trained model as one ONNX file: waveform in, frame and clip posteriors out, front end included.

usage: python3 -m sed.bin.export_onnx exp/ast_sed model.onnx
       python3 -m sed.bin.predict --onnx model.onnx recording.wav

Batch and length are dynamic: input `waveforms` (batch, samples) float32 at the model's rate, outputs `frame` (batch,
frames, classes), `clip` (batch, classes), the highest of all windows, and for pictures `logmel` (batch, windows,
feature frames, bins). Recordings longer than the model's clips are cut into overlapping windows inside the graph.
Labels, frame length and post-processing are in the file's metadata. The file is compared with torch in ONNX Runtime
before it is renamed to its final name.
"""

from __future__ import annotations

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.errors import RunError, UserError
from sed.evaluation.postprocessing.options import add_arguments, resolve
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("model", help="experiment folder, checkpoint (.pt), packed model, or hf://organisation/name")
    p.add_argument("output", type=output_file, help=".onnx file to write")
    p.option("which", "teacher", "network of the mean-teacher pair to export", choices=["teacher", "student"])
    add_window_arguments(p)
    p.option("tolerance", 1e-3, "largest allowed difference from torch's frame posteriors, on noise", least=0)
    add_arguments(p)
    return p


@entry
def main() -> None:
    """Load, export and compare."""
    args = parser().parse_args()
    if args.output.suffix.lower() != ".onnx":  # such as the checkpoint, given once more
        raise UserError(f"{args.output}: the file to write is named MODEL.onnx (give it this suffix)")
    logger = setup_logging()

    from sed.files import replacing
    from sed.prediction.model import open_model
    from sed.prediction.onnx import difference, export
    from sed.prediction.windows import WindowPlan

    opened = open_model(args.model, which=args.which)
    model, windows = opened.model, resolve_windows(args, opened.windows)
    plan = WindowPlan.overlapping(
        samples=model.front_end.clip_samples,
        frame_seconds=model.detector.frame_seconds,
        rate=model.front_end.sample_rate,
        frames=model.detector.num_frames,
        overlap=windows.overlap,
    )
    with replacing(args.output) as part:
        export(part, model, resolve(args, model.labels, stored=opened.post_processing), plan, windows)
        worst = difference(part, model, plan)
        if not worst <= args.tolerance:  # also if it is NaN
            raise RunError(f"{args.output}: ONNX Runtime differs from torch by {worst:.2g} (above --tolerance)")
        size = part.stat().st_size / 1e6
    logger.info("%s: %.1f MB, differs from torch by at most %.2g", args.output, size, worst)


if __name__ == "__main__":
    main()
