"""Tag recordings with a published AST: print the most probable AudioSet classes of each.

usage: python3 -m sed.bin.tag [--pretrained FILE|FOLDER|NAME] [--labels class_labels_indices.csv] [--top 5] clip.wav ...

Prints `filename label posterior`, tab-separated, most probable class first. The default checkpoint is the one that
stage 0 of egs/desed/run.sh stored in egs/desed/downloads, else MIT/ast-finetuned-audioset-10-10-0.4593 from Hugging
Face. The names of the classes are read from --labels, else from a file beside the checkpoint x.pth (the first of
config.json, x.json, class_labels_indices.csv, x.labels.txt), else (for AudioSet's 527 classes) from Hugging Face. A
recording longer than the checkpoint's input is cut into windows of equal length, whose posteriors are averaged.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sed.cli import entry
from sed.config import Parser
from sed.errors import UserError
from sed.provenance import ROOT

if TYPE_CHECKING:
    import torch


@entry
def main() -> None:
    args = parse()
    import torch

    from sed.checkpoints.pretrained import load_tagger
    from sed.data.audio import read_audio
    from sed.data.recordings import shown
    from sed.features.logmel import FrontEnd

    config = {**vars(args), "encoder": "ast"}
    config["pretrained"] = config["pretrained"] or default_checkpoint()
    front_end = FrontEnd.from_config(config)
    tagger, names = load_tagger(config, labels=args.labels)
    if names[0] == "class 0":  # from `load_tagger`, if it finds no names
        print(
            "tag: the checkpoint comes without the names of its classes, numbers are printed instead (give --labels"
            " class_labels_indices.csv of AudioSet, or put the model's config.json beside it)",
            file=sys.stderr,
        )
    for path in args.audio:
        waveform = torch.from_numpy(read_audio(path, front_end.sample_rate))
        if len(waveform) < front_end.min_samples:
            raise UserError(
                f"{path}: {len(waveform)} samples, shorter than a window of {front_end.window_samples} (leave it out)"
            )
        with torch.inference_mode():
            windows = list(cut(front_end(waveform.unsqueeze(0)), args.input_frames))
            inputs = [
                front_end.normalise(window, valid=None, input_frames=args.input_frames, padding=args.input_padding)
                for window in windows
            ]
            posteriors = torch.stack([tagger(x)[0].sigmoid() for x in inputs]).mean(0)
        for index in posteriors.argsort(descending=True)[: args.top].tolist():
            print(f"{shown(path)}\t{names[index]}\t{posteriors[index]:.4f}")


def parse() -> Any:
    parser = Parser("Tag recordings with a published AST.", config=True)
    parser.add_argument("audio", nargs="+", help="recordings, any format and rate that libsndfile reads")
    parser.option("pretrained", "", "checkpoint of a published AST: a file, a folder or a name on Hugging Face")
    parser.option(
        "labels",
        "",
        "file with the names of the checkpoint's classes: class_labels_indices.csv, config.json or one name per line",
    )
    parser.option("top", 5, "number of classes to print per recording", least=1)
    parser.section("for checkpoints of other sizes than the published ones")
    parser.option("input_frames", 1024, "number of input frames", least=1)
    parser.option(
        "input_padding",
        "raw",
        "padding of short recordings, as in the training of the checkpoint: raw: zeros, before normalising; silence: "
        "features of silence, before normalising; normalised: zeros, after normalising (published checkpoints: raw)",
        choices=["raw", "silence", "normalised"],
    )
    parser.options_of("sed.models.ast")
    parser.options_of("sed.features.logmel")
    return parser.parse_args()


def default_checkpoint() -> str:
    """Return the checkpoint that stage 0 of egs/desed/run.sh stored, else the published one's Hugging Face name."""
    stored = (ROOT / "egs" / "desed" / "downloads" / name for name in ("ast.safetensors", "ast.pth"))
    return next((str(path) for path in stored if path.is_file()), "MIT/ast-finetuned-audioset-10-10-0.4593")


def cut(logmel: torch.Tensor, frames: int) -> Iterator[torch.Tensor]:
    """Cut log-mel (1, n, bins) into consecutive windows of at most `frames` frames, equal to within one frame."""
    count = math.ceil(logmel.shape[1] / frames)
    yield from logmel.tensor_split(count, dim=1)


if __name__ == "__main__":
    main()
