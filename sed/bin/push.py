"""Push a trained model to the Hugging Face hub as a packed model, in one commit.

usage: python3 -m sed.bin.push exp/kitchen hf://our-lab/kitchen --data "kitchen sounds of 12 homes" --licence CC-BY-4.0
       python3 -m sed.bin.push kitchen-model/ hf://our-lab/kitchen

Anyone with `huggingface_hub` (pip install '.[hub]') can then run `sed.bin.predict --model hf://our-lab/kitchen`. An
experiment or a checkpoint is first packed with the options of `sed.bin.pack`; a packed model is pushed unchanged. No
file that is pushed contains a path of this machine. An interruption leaves the repository's files as they were; the
same command then sends only what the hub has not received.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import UserError
from sed.prediction.packing import add_arguments, pack, size_of

if TYPE_CHECKING:
    from sed.checkpoints.hub import Place


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("model", help="experiment folder, checkpoint (.pt) or packed model")
    p.add_argument("place", help="hf://organisation/name, or hf://organisation/name@branch (default: main)")
    p.option("private", False, "if the repository does not exist, create it as private")
    p.option("message", "Push by ast-sed", "message of the commit")
    add_arguments(p)
    return p


@entry
def main() -> None:
    """Pack, push."""
    args = parser().parse_args()
    setup_logging()

    from sed.checkpoints import hub
    from sed.checkpoints.packed import is_packed, read_facts
    from sed.prediction.front_matter import has_front_matter

    place, model = hub.place_of(args.place), Path(args.model)
    if not is_packed(model):
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made) / "model"
            pack(args, folder, name=place.repository.split("/")[1])
            return _push(folder, place, private=args.private, message=args.message)
    packing = Parser("options of packing")
    add_arguments(packing)
    if changed := [name for name, value in packing.defaults().items() if getattr(args, name) != value]:
        flag = changed[0].replace("_", "-")
        raise UserError(f"{model}: packed already (leave out --{flag}, or pack it again with it)")
    read_facts(model)  # refuses a damaged model
    if not has_front_matter(model):
        raise UserError(f"{model}: its card has no front matter, which a hub lists it by (pack it again)")
    return _push(model, place, private=args.private, message=args.message)


def _push(folder: Path, place: Place, *, private: bool, message: str) -> None:
    from sed.checkpoints import hub

    address = hub.push(folder, place, private=private, message=message)
    logging.getLogger("sed").info("%s: %.1f MB pushed, %s", place, size_of(folder), address)


if __name__ == "__main__":
    main()
