"""Posteriors of a trained model on a dumped set.

usage: python3 -m sed.bin.infer --model exp/ast_sed dump/validation exp/ast_sed/validation/scores.h5
       python3 -m sed.bin.infer --model exp/ast_sed --which student --export-tsv scores/ dump/validation scores.h5

The model is an experiment's folder or one checkpoint (.pt). Writes frame and clip posteriors with the labels, the
frame length and where they came from; --export-tsv also writes them as the score TSVs of sed_scores_eval.
"""

from __future__ import annotations

import time
from pathlib import Path

from sed.config import Parser
from sed.log import UserError, command_line, entry, git_hash, setup_logging


def parser() -> Parser:
    """The command line."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("dump", help="dump/<set>: features of the clips")
    p.add_argument("output", help="scores.h5 to write")
    p.option("model", None, "experiment folder or checkpoint (.pt)", required=True)
    p.option("which", "teacher", "the mean teacher's half to use", choices=["teacher", "student"])
    p.option("batch-size", 16, "clips a batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto takes a GPU when there is one")
    p.option("amp", True, "bfloat16 autocast on a GPU; the CPU always computes in float32")
    p.option("band", None, "one frequency band, lowest 0, in place of the model's mean (figure 3)", type=int)
    p.option("export-tsv", None, "folder for score TSVs that sed_scores_eval reads")
    return p


@entry
def main() -> None:
    """Infer and write."""
    args = parser().parse_args()
    logger = setup_logging()
    import numpy as np
    import torch

    from sed.data.directory import read_durations_tsv
    from sed.data.scores import Scores, export_tsv, write_scores
    from sed.data.store import FeatureStore
    from sed.evaluation.inference import infer, silence_padding
    from sed.training.checkpoint import load_detector

    device = args.device if args.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    dump = Path(args.dump)
    store = FeatureStore(dump)
    model = load_detector(Path(args.model), which=args.which, device=device)
    wanted, found = model.front_end.params(), dict(store.front_end)
    if wanted != found:
        names = [key for key in sorted({*wanted, *found}) if wanted.get(key) != found.get(key)]
        told = ", ".join(f"{name} {found.get(name)} instead of {wanted.get(name)}" for name in names)
        raise UserError(f"{dump}: features of another front end than {args.model} learnt on: {told} (redo stage 2)")
    if args.band is not None:
        model.detector.use_band(args.band)
    started = time.monotonic()
    amp = args.amp and device.startswith("cuda")
    frame, clip = infer(model.detector, model.front_end, store, batch_size=args.batch_size, device=device, amp=amp)
    seconds = time.monotonic() - started
    durations = read_durations_tsv(dump / "durations.tsv")
    ends = np.array([durations.get(name, np.inf) for name in store.clips])
    silence_padding(frame, ends, model.detector.frame_seconds)
    scores = Scores(
        clips=list(store.clips),
        labels=list(model.labels),
        frame=frame,
        clip=np.clip(clip, 0.0, 1.0),
        frame_seconds=float(model.detector.frame_seconds),
        attrs={
            "model": str(args.model),
            "which": args.which,
            **({} if args.band is None else {"band": args.band}),
            "set": dump.name,
            "command": command_line(),
            "git": git_hash(),
            "device": device,
            "amp": amp,
            "clips_per_second": len(store.clips) / seconds,
        },
    )
    write_scores(args.output, scores)
    if args.export_tsv:
        export_tsv(args.export_tsv, scores.flat())
    logger.info(
        "%s: %d clips, %d frames of %.4g s, %.1f clips/s", args.output, *frame.shape[:2], scores.frame_seconds,
        len(store.clips) / seconds,
    )  # fmt: skip


if __name__ == "__main__":
    main()
