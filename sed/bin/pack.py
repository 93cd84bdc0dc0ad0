"""Pack a trained model as one folder to share: weights, config, labels, front end, post-processing, results, card.

usage: python3 -m sed.bin.pack exp/ast_sed model/
       python3 -m sed.bin.pack --data "kitchen sounds of 12 homes" --licence CC-BY-4.0 exp/kitchen kitchen-model/

`sed.bin.predict --model model/` runs it, `sed.bin.export_onnx model/ model.onnx` exports it, a training with
`--pretrained model/` starts from it, and `sed.bin.push` pushes it to the Hugging Face hub. Post-processing is that of
the experiment's newest result.json, window settings are those of `sed.bin.tune_windows`; options override both.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.evaluation.postprocessing.options import origin
from sed.prediction.packing import add_arguments, pack, size_of


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("model", help="experiment folder, checkpoint (.pt) or packed model")
    p.add_argument(
        "folder", type=Path, help="folder to write; a packed model there is replaced, other files in it stay"
    )
    add_arguments(p)
    return p


@entry
def main() -> None:
    """Load, check and write."""
    args = parser().parse_args()
    logger = setup_logging()
    folder = args.folder
    opened = pack(args, folder, name=folder.resolve().name)
    labels, source = len(opened.model.labels), origin(args, opened.source)
    logger.info("%s: %d labels, %.1f MB, post-processing of %s", folder, labels, size_of(folder), source)


if __name__ == "__main__":
    main()
