"""Import a published detector (encoder and head) as a packed model, to detect events without training.

usage: python3 -m sed.bin.import_model atst-f-strong audioset-model/
       python3 -m sed.bin.import_model --class-map local/desed_class_map.tsv ATST-F_strong_1.pt desed-model/

The checkpoint is one that PretrainedSED published for AudioSet-strong, of ATST-F or BEATs: its file, or its name in
sed/checkpoints/published_models.tsv, by which it is downloaded once. Its 447 classes are the labels of the model; with
a class map, each label is merged from one or more of the classes. `sed.bin.predict --model desed-model/` runs the
model, as does every command that takes a packed model. Its post-processing is cSEBBs with their default parameters
unless options choose another; `--tuned` takes a file that sed.bin.tune wrote for your recordings.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.evaluation.postprocessing.csebbs import Csebbs
from sed.evaluation.postprocessing.options import add_arguments, resolve
from sed.prediction.window_settings import WindowSettings
from sed.prediction.window_settings import add_arguments as add_window_arguments
from sed.prediction.window_settings import resolve as resolve_windows
from sed.provenance import command_line, environment, git_hash

if TYPE_CHECKING:
    from sed.checkpoints.checkpoint import LoadedModel

AUDIOSET = "AudioSet-strong, 447 classes, by the authors of the checkpoint; it was not trained further"


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("checkpoint", help="checkpoint of the published detector: a file, atst-f-strong or beats-strong")
    p.add_argument(
        "folder", type=Path, help="folder to write; a packed model there is replaced, other files in it stay"
    )
    p.option(
        "class-map",
        None,
        "table with columns class and label: the classes merged into each label (default: each class is a label)",
    )
    p.option(
        "merge",
        None,
        "logit of a label: max, the highest logit of its classes; noisy_or, the logit of the probability that at least "
        "one of them is active (default: the config's class_merge, else max)",
        choices=["max", "noisy_or"],
    )
    p.option(
        "labels",
        None,
        "labels.txt: the labels of the class map, in the order of the model's outputs (default: the map's order)",
    )
    p.option("classes", None, "names of the head's classes, one per line (default: AudioSet-strong's 447)")
    p.option(
        "config",
        None,
        "YAML with the options of the detector, if it is not of the published size: its `base` should be "
        "conf/zero_shot.yaml (BEATs: conf/zero_shot_beats.yaml), since a front end and input_frames that the file does "
        "not state are those of the AST",
    )
    p.section("model card")
    p.option("name", None, "the model's name (default: the folder's)")
    p.option("data", None, "training data of the model (default: AudioSet-strong; not stated with --classes)")
    p.option("licence", "", "licence of the weights, added to that of the published ones")
    p.option("intended-use", "", "what the model is for, and what it is not for")
    p.section("windows")
    add_window_arguments(p)
    add_arguments(p, auto=Csebbs.name, stored=False)
    return p


@entry
def main() -> None:
    """Parse the options, import the detector and write the packed model."""
    args = parser().parse_args()
    logger = setup_logging()
    if not args.class_map:
        if args.labels:
            raise UserError(
                "--labels gives the labels of a class map, which is missing (give --class-map, or leave --labels out)"
            )
        if args.merge:
            raise UserError(
                "--merge merges the classes of a class map, which is missing (give --class-map, or leave --merge out)"
            )

    from sed.checkpoints.pack_folder import recover

    recover(args.folder)
    model = load(args)
    write(args, model)
    logger.info(
        "%s: %d labels of a head of %d classes", args.folder, len(model.labels), model.info["imported"]["classes"]
    )


def load(args: argparse.Namespace) -> LoadedModel:
    """Return the detector of the checkpoint, with the labels and the class map of the options."""
    from sed.checkpoints.pretrained import locate
    from sed.checkpoints.published_head import class_names, import_detector, read_config, read_published
    from sed.data.class_map import read_class_map

    published = read_published(locate(args.checkpoint))
    config = read_config(args.config, published.encoder)
    classes = class_names(published, args.classes)
    class_map = read_class_map(args.class_map, classes, labels=args.labels) if args.class_map else None
    merge = args.merge or (config["class_merge"] if config["class_merge"] != "none" else "max")
    return import_detector(published, config, classes, class_map=class_map, merge=merge)


def write(args: argparse.Namespace, model: LoadedModel) -> None:
    """Write the packed model, with its post-processing, window settings and model card."""
    from sed.checkpoints.packed import save_pack
    from sed.evaluation.postprocessing.stored import to_stored
    from sed.prediction.card import card
    from sed.provenance import without_folders

    if args.post_processing is None and not args.tuned:
        args.post_processing = [Csebbs.name]
    post = resolve(args, model.labels)
    windows = resolve_windows(args, WindowSettings())
    facts: dict[str, Any] = {"command": command_line(), "git": git_hash(), "environment": environment()}
    model.info.update(without_folders(facts))
    words = model.info["card"] = {
        "data": args.data or ("" if args.classes else AUDIOSET),
        "licence": args.licence,
        "intended_use": args.intended_use,
    }
    folder = args.folder
    text = card(
        args.name or folder.resolve().name,
        model,
        post,
        windows,
        {},
        which="",  # neither teacher nor student
        **words,
    )
    save_pack(
        folder,
        model,
        post_processing=to_stored(post),
        windows=without_folders(windows.to_stored()),
        results={},
        card=text,
        source=f"{model.info['weights']}, imported with its head",
    )


if __name__ == "__main__":
    main()
