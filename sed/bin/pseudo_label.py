"""Make a dumped strong set for training from pseudo-labels of a trained model, an ensemble or a published table.

usage: python3 -m sed.bin.pseudo_label --model exp/ast_sed dump/weak dump/unlabelled dump/pseudo
       python3 -m sed.bin.pseudo_label --scores exp/x/weak/scores.h5 --tuned tuned.json dump/weak dump/pseudo
       python3 -m sed.bin.pseudo_label --events weak.tsv unlabelled.tsv -- dump/weak dump/unlabelled dump/pseudo

The last folder is written: the pseudo-labels as events.tsv; wav.scp, durations.tsv and, with --keep-tags, tags.tsv;
feats.scp, which refers to the features of the other folders; and pseudo_labels.json with the origin of the labels,
which is copied into the results of models trained on them. If a set has tags.tsv, posteriors of classes that a clip's
tags lack are set to 0 first. --scores are files of sed.bin.infer or sed.bin.average_scores, one per set in the order of
the sets. If --tuned has the mean delay of onsets and offsets (sed.bin.tune --bias), it is subtracted. Tables of
--events are not post-processed: their events are only cut at the end of the clip, and dropped beyond it or without
length; clips that the tables do not name are left out.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.data.tables import Event
from sed.errors import UserError
from sed.evaluation.postprocessing.options import add_arguments, given, resolve
from sed.provenance import command_line, git_hash

if TYPE_CHECKING:
    from sed.data.scores import Scores


@entry
def main() -> None:
    """Infer or read, decide, and write."""
    p = Parser(__doc__.split("\n", 1)[0])
    p.add_argument("folders", nargs="+", type=Path, help="dumped sets to label, and last the set to write")
    p.option("model", "", "experiment folder, checkpoint (.pt) or packed model")
    p.option("scores", [], "scores.h5 of each set, instead of --model", type=Path, nargs="+")
    p.option("events", [], "published tables of events, instead of --model", type=Path, nargs="+")
    p.option(
        "keep-tags",
        False,
        "keep tags for which no event was found: training then takes the class as unknown in all frames of the clip "
        "(default: as absent)",
    )
    p.option("which", "teacher", "network of the mean-teacher pair to use", choices=["teacher", "student"])
    p.option("batch-size", 16, "clips per batch", least=1)
    p.option("device", "auto", "cpu, cuda, cuda:1; auto: a GPU if there is one")
    add_arguments(p, auto="paper", stored=False)
    args = p.parse_args()
    logger = setup_logging()
    *sources, out = args.folders
    if not sources:
        raise UserError("one folder given: the sets to label, and then the one to write (name two or more)")
    if sum(map(bool, (args.model, args.scores, args.events))) != 1:
        raise UserError("the labels come from --model, --scores or --events (give one of them)")
    if args.events and (odd := [*given(args), *(["--tuned"] if args.tuned else [])]):
        raise UserError(f"--events: its tables are not post-processed (leave out {', '.join(odd)})")
    if args.scores and len(args.scores) != len(sources):
        raise UserError(f"{len(args.scores)} --scores for {len(sources)} sets (one file for each)")
    from sed.checkpoints.pack_folder import sha256
    from sed.data.directory import read_set_labels
    from sed.data.tables import read_durations_tsv
    from sed.evaluation.pseudo import check_output, read_published, summary, write_pseudo_set

    check_output(out)
    durations: dict[str, float] = {}
    for source in sources:
        durations |= read_durations_tsv(source / "durations.tsv")
    if args.events:
        labels = read_set_labels(sources[0])  # all sets of a dump have the same labels
        events = read_published(args.events, durations, labels)
        origin = {"tables": {str(path): f"sha256:{sha256(path)}" for path in args.events}}
    else:
        events, origin = _decided(args, sources, durations)
    logger.info("%s: %s", out, summary(events))
    facts = {"sets": [source.name for source in sources], "command": command_line(), "git": git_hash()}
    write_pseudo_set(out, sources, events, durations, origin | facts, _tags(sources) if args.keep_tags else None)


def _decided(
    args: Namespace, sources: list[Path], durations: dict[str, float]
) -> tuple[dict[str, list[Event]], dict[str, Any]]:
    """Return {clip: its events} decided from posteriors, and their origin: models, tuning set and mean delay (bias)."""
    from sed.data.tables import read_tags_tsv
    from sed.evaluation.postprocessing.stored import load_tuned
    from sed.evaluation.pseudo import Bias, pseudo_events

    tuned = load_tuned(args.tuned) if args.tuned else {}
    bias = Bias.of(tuned, args.tuned)
    events: dict[str, list[Event]] = {}
    models: list[str] = []
    for source, scores in _posteriors(args, sources):
        tags = read_tags_tsv(source / "tags.tsv") if (source / "tags.tsv").exists() else None
        found = pseudo_events(scores, durations, resolve(args, scores.labels), tags)
        events |= {clip: bias.corrected(own, durations[clip]) for clip, own in found.items()}
        models += scores.attrs.get("ensemble") or [str(scores.attrs.get("model", args.model))]
    return events, {"models": sorted(set(models)), "tuned_on": tuned.get("tuned_on", ""), "bias": bias._asdict()}


def _posteriors(args: Namespace, sources: list[Path]) -> Iterator[tuple[Path, Scores]]:
    """Yield the posteriors of each set, read or inferred.

    Raises:
        UserError: a file of --scores has other clips than its set, or a set lacks a label of the posteriors.
    """
    if args.scores:
        from sed.data.directory import read_scp
        from sed.data.scores import read_scores

        for path, source in zip(args.scores, sources, strict=True):
            scores = read_scores(path)
            if sorted(scores.clips) != sorted(read_scp(source / "feats.scp")):
                raise UserError(f"{path}: its clips are not those of {source} (infer on that set)")
            _check_labels(path, scores.labels, source)
            yield source, scores
        return
    from sed.checkpoints.hub import local_model
    from sed.checkpoints.packed import load_model
    from sed.device import choose_device
    from sed.evaluation.inference import infer_set

    device = choose_device(args.device)
    model = load_model(local_model(args.model), args.which, device)
    for source in sources:
        _check_labels(args.model, model.labels, source)
    for source in sources:
        yield (
            source,
            infer_set(
                model.detector,
                model.front_end,
                model.labels,
                source,
                batch_size=args.batch_size,
                device=device,
                amp=device.type == "cuda",
            ),
        )


def _check_labels(where: object, labels: Sequence[str], source: Path) -> None:
    """Raise UserError if the set lacks one of the labels.

    Tags cannot name it, so its posteriors would be set to 0 in tagged clips; in others, training would refuse it.
    """
    from sed.data.directory import read_set_labels

    known = read_set_labels(source)
    if others := [label for label in labels if label not in known]:
        raise UserError(
            f"{where}: label '{others[0]}' is not among those of {source} (use a model with that set's labels)"
        )


def _tags(sources: list[Path]) -> dict[str, tuple[str, ...]]:
    """Return {clip: its tags} of all sets that have tags."""
    from sed.data.tables import read_tags_tsv

    found: dict[str, tuple[str, ...]] = {}
    for path in (source / "tags.tsv" for source in sources):
        found |= read_tags_tsv(path) if path.exists() else {}
    return found


if __name__ == "__main__":
    main()
