"""Pack a trained model as one folder to share: weights, config, labels, front end, post-processing, results, card.

usage: python3 -m sed.bin.pack exp/ast_sed model/
       python3 -m sed.bin.pack --data "kitchen sounds of 12 homes" --licence CC-BY-4.0 exp/kitchen kitchen-model/

`sed.bin.predict --model model/` runs it, `sed.bin.export_onnx model/ model.onnx` exports it, and a training with
`--pretrained model/` starts from it. Post-processing is that of the experiment's newest result, windows are those
chosen by `sed.bin.tune_windows`; options override both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.evaluation.postprocessing.options import add_arguments, resolve
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("model", help="experiment folder, checkpoint (.pt) or packed model")
    p.add_argument("folder", help="folder to write; a packed model there is replaced, other files in it stay")
    p.option("which", "teacher", "the mean teacher's half to pack", choices=["teacher", "student"])
    p.section("model card")
    p.option("name", None, "the model's name (default: the folder's)")
    p.option("data", "", "the training data")
    p.option("licence", "", "of the weights")
    p.option("intended-use", "", "intended use, and uses to avoid")
    p.section("windows")
    add_window_arguments(p)
    add_arguments(p)
    return p


@entry
def main() -> None:
    """Load, check and write."""
    args = parser().parse_args()
    logger = setup_logging()

    from sed.checkpoints.pack_folder import NAMES, recover
    from sed.checkpoints.packed import save_pack
    from sed.evaluation.postprocessing.stored import to_stored
    from sed.prediction.card import card
    from sed.prediction.model import gather_results, open_model
    from sed.provenance import without_folders

    folder, source = Path(args.folder), Path(args.model)
    recover(folder)
    opened = open_model(source, which=args.which)
    post = resolve(args, opened.model.labels, stored=opened.post_processing)
    windows = resolve_windows(args, opened.windows)
    results = without_folders(gather_results(source) if source.is_dir() else {})
    model = replace(opened.model, info=without_folders(opened.model.info), config=without_folders(opened.model.config))
    text = card(
        args.name or folder.resolve().name,
        model,
        post,
        windows,
        results,
        which=args.which,
        data=args.data,
        licence=args.licence,
        intended_use=args.intended_use,
    )
    save_pack(
        folder,
        model,
        post_processing=to_stored(post),
        windows=without_folders(windows.to_stored()),
        results=results,
        card=text,
        source=f"{without_folders(str(source))} ({args.which})",
    )
    size = sum((folder / name).stat().st_size for name in NAMES if (folder / name).exists()) / 1e6
    logger.info("%s: %d labels, %.1f MB, post-processing of %s", folder, len(opened.model.labels), size, opened.source)


if __name__ == "__main__":
    main()
