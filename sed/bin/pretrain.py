"""Pre-train an encoder as an audio tagger; an AST is written in the layout of the published checkpoint.

usage: python3 -m sed.bin.pretrain --config conf/mini/pretrain.yaml [options] <dump/set | soundbank> out.pt

The first argument is a dumped set with events.tsv, soft.tsv or tags.tsv, whose labels.txt is in it or beside it; or a
soundbank ({train,validation}/{foreground,background,distractor}/<label>/; see docs/beyond.md), from whose training
sounds soundscapes are mixed during training. The same command resumes a killed run from the checkpoints in out.run/; an
existing out.pt is left as it is. Started by sed.bin.launch, several processes pre-train together, each on a GPU and
with an equal share of each batch.
"""

from __future__ import annotations

import logging
import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sed.cli import entry, setup_logging
from sed.compatibility import complete
from sed.config import Parser, load_config, output_file, save_config
from sed.errors import UserError
from sed.files import lock
from sed.parallel import launched
from sed.training.pretraining.run_options import RUNTIME
from sed.training.schedule import scale_steps


@entry
def main() -> None:
    """Check an existing checkpoint, or pre-train."""

    def resolve(config: dict[str, Any], args: Namespace) -> dict[str, Any]:
        return scale_steps(config, args.step_scale)

    parser = Parser(__doc__.split("\n\n")[0], config=True, resolve=resolve)
    parser.add_argument("source", type=Path, help="dumped set with events.tsv, soft.tsv or tags.tsv, or a soundbank")
    parser.add_argument("out", type=output_file, help="checkpoint to write (.pt, .pth)")
    parser.section("front end")
    parser.options_of("sed.features.logmel")
    parser.section("model")
    parser.options_of("sed.models.detector")
    parser.options_of("sed.training.pretraining.pretraining")
    parser.section("this run")
    parser.option("step_scale", 1.0, "factor of the steps per epoch and of the warm-up", least=1e-6, in_config=False)
    parser.option("force", False, "restart from scratch, replacing an existing checkpoint", in_config=False)
    args = parser.parse_args()
    config = parser.settings(args)
    if args.out.suffix in (".run", ".yaml"):
        raise UserError(f"{args.out}: a name that is written beside the checkpoint (give it another suffix, as .pt)")

    import torch

    from sed.device import choose_device
    from sed.training.distributed import joined
    from sed.training.loop import drop_resume_state
    from sed.training.pretraining.build import build_pretraining, source_labels
    from sed.training.pretraining.pretraining import folder_of

    first = launched("RANK", 0) == 0  # of the processes that torchrun starts; without it, there is only one
    # not the whole folder: a corpus may be made in it at the same time
    with lock(args.out.parent, args.out.stem) if first else nullcontext():
        if first:
            setup_logging()
        stored = args.out.with_suffix(".yaml")
        if args.out.exists() and not args.force:
            if not first:
                return
            _check_made(args.out, config, {key: parser.get_default(key) for key in config})
            if args.source.is_dir():  # it may be gone
                _check_labels(args.out, args.source, source_labels(args.source))
                _check_features(args.out, args.source, config)
            drop_resume_state(folder_of(args.out))  # left by a run killed just before its end
            logging.getLogger("sed.pretrain").info("%s: pre-trained already (--force trains again)", args.out)
            return
        if config["threads"]:
            torch.set_num_threads(config["threads"])
        labels = source_labels(args.source)
        device = choose_device(config["device"], launched("LOCAL_RANK", 0))
        with joined(device) as world:
            run = build_pretraining(config, args.source, args.out, labels, device=device, world=world)
            if world.first:
                if args.force:  # only now, so that a wrong option does not cost the earlier checkpoint
                    args.out.unlink(missing_ok=True)
                    shutil.rmtree(folder_of(args.out), ignore_errors=True)
                save_config(stored, config)
            world.barrier()  # no process resumes from checkpoints that --force removes
            run.run()


def _check_made(out: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise UserError if a checkpoint was made with another config; options in RUNTIME may differ."""
    stored = out.with_suffix(".yaml")
    made = complete(load_config(stored), defaults) if stored.exists() else config
    if changed := [key for key, value in made.items() if key not in RUNTIME and config.get(key) != value]:
        raise UserError(f"{stored}: {out} was made with another {changed[0]} (--force trains again)")


def _check_labels(out: Path, source: Path, labels: Sequence[str] | None) -> None:
    """Raise UserError if a checkpoint's classes are not those of the source; `labels`: from `source_labels`."""
    names = out.with_suffix(".labels.txt")
    if not names.exists():
        return
    made = names.read_bytes().decode("utf-8", "surrogateescape").split("\n")[:-1]
    if labels is None:
        from sed.data.synthesis.sound_table import PROCEDURAL, recorded_names
        from sed.data.synthesis.soundbank import SoundBank

        labels = recorded_names(SoundBank(source))
        made = [name for name in made if not name.startswith(PROCEDURAL)]
    if made != list(labels):
        raise UserError(f"{names}: {out} was made with other labels (--force trains again)")


def _check_features(out: Path, source: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError if a dumped set's front end is no longer the config's, with which the checkpoint was made."""
    if not (source / "feats.scp").exists():
        return
    from sed.data.store import FeatureStore
    from sed.features.params import defaults, difference

    if other := difference(FeatureStore(source).front_end, {key: config[key] for key in defaults()}):
        raise UserError(f"{source}: features of another front end than {out}'s: {other} (dump them again)")


if __name__ == "__main__":
    main()
