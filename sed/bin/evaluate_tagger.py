"""Evaluate a pre-trained encoder as a tagger on a dumped set: average precision of each of its labels, and their mean.

usage: python3 -m sed.bin.evaluate_tagger [--out FILE.json] ast.pth dump/validation

sed.bin.pretrain writes the checkpoint, with its config and class names beside it. Labels of the set are looked up by
name among the classes, which must have all of them; those that no clip has are left out.
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry
from sed.config import Parser, output_file
from sed.errors import UserError


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="pre-trained encoder with its tagging head (.pt, .pth)")
    parser.add_argument("dump", type=Path, help="dumped set with events.tsv, tags.tsv or both")
    parser.option("out", None, "also write this JSON file", type=output_file)
    parser.option("batch_size", 64, "clips per batch", least=1)
    parser.option("device", "auto", "auto: a GPU if there is one", choices=["auto", "cpu", "cuda"])
    args = parser.parse_args()

    from sed.checkpoints.defaults import read_model_config
    from sed.device import choose_device
    from sed.files import write_json
    from sed.training.pretraining.tagging import average_precisions

    if not args.checkpoint.is_file():
        raise UserError(f"{args.checkpoint}: no such checkpoint (sed.bin.pretrain writes it)")
    stored = args.checkpoint.with_suffix(".yaml")
    if not stored.is_file():
        raise UserError(f"{stored}: no such config (sed.bin.pretrain writes it beside the checkpoint)")
    config = read_model_config(stored) | {"pretrained": str(args.checkpoint)}
    scores, clips = average_precisions(config, args.dump, batch_size=args.batch_size, device=choose_device(args.device))
    if not scores:
        raise UserError(f"{args.dump}: no label of it has a clip (nothing to score)")
    mean = sum(scores.values()) / len(scores)
    if args.out:  # before the table, whose reader may stop, such as `head`
        result = {"checkpoint": str(args.checkpoint), "set": args.dump.name, "clips": clips, "map": mean, "ap": scores}
        write_json(args.out, result)
    width = max(map(len, scores))
    for label, score in scores.items():
        print(f"{label:{width}}  {score:.3f}")
    print(f"{'mean':{width}}  {mean:.3f}  ({clips} clips)")


if __name__ == "__main__":
    main()
