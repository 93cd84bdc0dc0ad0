"""Label clips by a trained model: a dumped strong set whose events are what the model hears.

usage: python3 -m sed.bin.pseudo_label --model exp/ast_sed dump/weak dump/unlabelled dump/pseudo

The last folder is written: events.tsv, and feats.scp that refers to the features of the others. Where a set has
tags.tsv, what its tags rule out is silenced first. The model is an experiment's folder or one checkpoint (.pt).
"""

from __future__ import annotations

from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.data.tables import Event
from sed.errors import UserError
from sed.evaluation.postprocessing.options import add_arguments, resolve


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
        raise UserError("one folder given: the sets to label, and then the one to write (name two or more)")
    from sed.checkpoints.checkpoint import load_detector
    from sed.data.tables import read_durations_tsv, read_tags_tsv
    from sed.device import choose_device
    from sed.evaluation.inference import infer_set
    from sed.evaluation.pseudo import mask_by_tags, pseudo_events, summary, write_pseudo_set

    device = choose_device(args.device)
    model = load_detector(Path(args.model), which=args.which, device=device)
    post = resolve(args, model.labels)
    events: dict[str, list[Event]] = {}
    durations: dict[str, float] = {}
    for source in sources:
        scores = infer_set(
            model.detector,
            model.front_end,
            model.labels,
            source,
            batch_size=args.batch_size,
            device=device,
            amp=device.type == "cuda",
        )
        durations |= read_durations_tsv(source / "durations.tsv")
        if (source / "tags.tsv").exists():
            mask_by_tags(scores, read_tags_tsv(source / "tags.tsv"))
        found = pseudo_events(scores, durations, post)
        logger.info("%s: %s", source, summary(found))
        events |= found
    write_pseudo_set(out, sources, events, durations)


if __name__ == "__main__":
    main()
