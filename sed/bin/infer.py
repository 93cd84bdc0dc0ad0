"""Compute the posteriors of a trained model on a dumped set.

usage: python3 -m sed.bin.infer --model exp/ast_sed dump/validation exp/ast_sed/validation/scores.h5
       python3 -m sed.bin.infer --model exp/ast_sed --which student --export-tsv scores/ dump/validation scores.h5
       python3 -m sed.bin.infer --model exp/ast_sed --part 2/8 dump/validation scores.2.h5   (then sed.bin.merge_scores)

The model is an experiment's folder, one checkpoint (.pt) or a packed model. Writes frame and clip posteriors with
labels, frame length and provenance; --export-tsv also writes them as the score TSVs of sed_scores_eval.
"""

from __future__ import annotations

import time
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file
from sed.provenance import command_line, git_hash


def part(text: str) -> tuple[int, int]:
    """Parse `2/8` into two numbers."""
    number, _, parts = text.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise ValueError(text)
    return int(number), int(parts)


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("dump", help="dump/<set>: features of the clips")
    p.add_argument("output", type=output_file, help="scores.h5 to write")
    p.option("model", None, "experiment folder, checkpoint (.pt) or packed model", required=True)
    p.option("which", "teacher", "the mean teacher's half to use", choices=["teacher", "student"])
    p.option("batch-size", 16, "clips a batch", least=1)
    p.option("part", "1/1", "compute part N of M of the clips, as N/M", type=part)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto takes a GPU when there is one")
    p.option("amp", False, "bfloat16 autocast on a GPU: faster, but different from sed.bin.predict")
    p.option("band", None, "one frequency band, lowest 0, instead of the model's mean (figure 3)", type=int)
    p.option("export-tsv", None, "folder for score TSVs that sed_scores_eval reads")
    return p


@entry
def main() -> None:
    """Infer and write."""
    args = parser().parse_args()
    logger = setup_logging()
    from sed.checkpoints.checkpoint import load_detector
    from sed.checkpoints.hub import local_model
    from sed.checkpoints.packed import is_packed, load_pack
    from sed.data.scores import export_tsv, write_scores
    from sed.device import choose_device
    from sed.evaluation.inference import infer_set

    device = choose_device(args.device)
    source = local_model(args.model)
    if is_packed(source):
        model, _ = load_pack(source, device)
    else:
        model = load_detector(source, which=args.which, device=device)
    if args.band is not None:
        model.detector.use_band(args.band)
    started = time.monotonic()
    amp = args.amp and device.type == "cuda"
    number, parts = args.part
    scores = infer_set(
        model.detector,
        model.front_end,
        model.labels,
        Path(args.dump),
        batch_size=args.batch_size,
        device=device,
        amp=amp,
        number=number,
        parts=parts,
    )
    rate = len(scores.clips) / (time.monotonic() - started)
    scores.attrs.update(
        {
            "model": str(args.model),
            "which": args.which,
            **({} if args.band is None else {"band": args.band}),
            "set": Path(args.dump).name,
            "command": command_line(),
            "git": git_hash(),
            "device": device.type,
            "amp": amp,
            "clips_per_second": rate,
        }
    )
    write_scores(args.output, scores)
    if args.export_tsv:
        export_tsv(args.export_tsv, scores.flat())
    logger.info(
        "%s: %d clips, %d frames of %.4g s, %.1f clips/s",
        args.output,
        *scores.frame.shape[:2],
        scores.frame_seconds,
        rate,
    )


if __name__ == "__main__":
    main()
