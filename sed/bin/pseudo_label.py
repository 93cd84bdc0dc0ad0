"""Label clips by a trained model: a dumped strong set whose events are what the model hears.

usage: python3 -m sed.bin.pseudo_label --model exp/ast_sed dump/weak dump/unlabelled dump/pseudo

The last folder is written: events.tsv, and feats.scp that refers to the features of the others. Where a set has
tags.tsv, what its tags rule out is silenced first. The model is an experiment's folder or one checkpoint (.pt).
"""

from __future__ import annotations

from pathlib import Path

from sed.config import Parser
from sed.evaluation.pipeline import add_arguments, resolve
from sed.log import UserError, entry, setup_logging


@entry
def main() -> None:
    """Infer, decide, write."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("folders", nargs="+", type=Path, help="dumped sets to label, and last the set to write")
    p.option("model", None, "experiment folder or checkpoint (.pt)", required=True)
    p.option("which", "teacher", "the mean teacher's half to use", choices=["teacher", "student"])
    p.option("batch-size", 16, "clips a batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto takes a GPU when there is one")
    add_arguments(p)
    args = p.parse_args()
    logger = setup_logging()
    *sources, out = args.folders
    if not sources:
        raise UserError("one folder given: the sets to label, and then the one to write")
    import numpy as np
    import torch

    from sed.data.directory import read_durations_tsv, read_tags_tsv
    from sed.data.scores import Scores
    from sed.data.store import FeatureStore
    from sed.evaluation.inference import infer, silence_padding
    from sed.evaluation.pseudo import mask_by_tags, pseudo_events, summary, write_pseudo_set
    from sed.training.checkpoint import load_detector

    device = args.device if args.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    model = load_detector(Path(args.model), which=args.which, device=device)
    post = resolve(args, model.labels, ours=True)
    events, durations = {}, {}
    for source in sources:
        store = FeatureStore(source)
        if model.front_end.params() != dict(store.front_end):
            raise UserError(f"{source}: features of another front end than {args.model} learnt on (redo stage 2)")
        frame, clip = infer(
            model.detector,
            model.front_end,
            store,
            batch_size=args.batch_size,
            device=device,
            amp=device.startswith("cuda"),
        )
        durations |= read_durations_tsv(source / "durations.tsv")
        frame_seconds = float(model.detector.frame_seconds)
        silence_padding(frame, np.array([durations[name] for name in store.clips]), frame_seconds)
        scores = Scores(
            clips=list(store.clips), labels=model.labels, frame=frame, clip=clip, frame_seconds=frame_seconds
        )
        if (source / "tags.tsv").exists():
            mask_by_tags(scores, read_tags_tsv(source / "tags.tsv"))
        found = pseudo_events(scores, durations, post)
        logger.info("%s: %s", source, summary(found))
        events |= found
    write_pseudo_set(out, sources, events, durations)


if __name__ == "__main__":
    main()
