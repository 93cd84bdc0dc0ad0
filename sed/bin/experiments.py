"""List the experiments of a recipe's configs for its scripts, as tab-separated lines.

usage: python3 -m sed.bin.experiments [options] <features|pretrain|train|import|label|score|cross_fit> <config...>

A config is a file, the name of one in --conf-dirs, or NAME=file. Its experiment is exp/NAME, else named as the file
without .yaml; with --rates exp/NAME_lr<head>_<encoder>, with --vary exp/NAME_<key>_<value> where the value is not the
config's own, with --seeds exp/NAME_seed<k>. The columns are

features  front end, folder of its dump: each front end once
pretrain  name of a config that pre-trains an encoder, that config, the checkpoint that it makes: each once
train     name, config, dump, options of sed.bin.train, experiment of this list that must be trained before
import    name, config, dump, class map, checkpoint: of configs that are not trained
label     set of pseudo-labels to make, experiment that makes them, dump
score     name, config, dump, options of sed.bin.score; of those that are trained or imported
cross_fit name, config, dump, options of sed.bin.score that tune on the scored set's halves: of the imported ones

Five keys of a config are read. `features` is its front end: its features are in dump/<x> for <x>.yaml, and in dump
for the recipe's own (conf/logmel.yaml, --feature-conf, and files with the same options). `init_from` is the config
whose model training starts from ('none': random weights; where it is missing, --pretrained), and `pretrained_by` the
config of sed.bin.pretrain whose encoder it starts from instead where there are --checkpoints, unless it starts from a
config's model. `pseudo_labels_of` is the config whose pseudo-labels are the set `pseudo` of its train_sets. Models and
pseudo-labels are those of the same seed. A config with a `class_map` is not trained but imported: a published detector
(--pretrained, else the one of its encoder in --downloads, else what its key `pretrained` names) with that map.
"""

from __future__ import annotations

import functools
import shlex
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from sed.cli import entry
from sed.config import Parser, default_options, load_config
from sed.config.experiments import DEFAULTS, PSEUDO, Experiment, checkpoint, combinations, expand, find
from sed.config.recipe_options import NONE
from sed.config.yaml_file import canonical
from sed.errors import UserError

PACKED, TUNED, STEPS = "model.json", "tuned.json", "csebbs"
"""of what is imported: the model, what synthetic validation chose for it, the steps that it is scored with"""


@entry
def main() -> None:
    parser = Parser(__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=[*LISTS])
    parser.add_argument("configs", nargs="*", help="names, files, or NAME=file")
    parser.option("dump", Path("dump"), "folder of the dumped sets", type=Path)
    parser.option("exp", Path("exp"), "folder of the experiments", type=Path)
    parser.option("conf-dirs", "conf", "folders with the configs given by name, separated by blanks")
    parser.option("seeds", "", "seeds of every config, separated by blanks; none: the config's own")
    parser.option("rates", "", "learning rates head:encoder, separated by blanks; none: the config's own")
    parser.option(
        "vary", "", "KEY=VALUE,VALUE..., separated by blanks: every combination, instead of the config's own values"
    )
    parser.option("feature-conf", DEFAULTS["features"], "the recipe's own front end")
    parser.option("pretrained", "", "checkpoint for configs without init_from; 'none': random weights")
    parser.option("downloads", "", "folder of published encoders, <encoder>.pth, used without --pretrained")
    parser.option("checkpoints", "", "folder of pre-trained encoders; none: pretrained_by is ignored")
    parser.option("folder", "", "score: folder of the scores within the experiment; the name is then NAME/folder")
    parser.option("score-args", "", "score: options of sed.bin.score")
    args = parser.parse_args()
    experiments = [
        experiment
        for config in args.configs
        for experiment in expand(
            *find(config, args.conf_dirs.split()),
            args.seeds.split(),
            args.rates.split(),
            combinations(args.vary.split()),
        )
    ]
    for row in dict.fromkeys(LISTS[args.what](experiments, args)):
        print("\t".join(row).rstrip("\t"))


def front_end(experiment: Experiment, args: Namespace) -> tuple[str, str]:
    """Return an experiment's front end and the folder of its dump."""
    features = experiment.settings["features"]
    if features == DEFAULTS["features"] or front_end_settings(features) == front_end_settings(args.feature_conf):
        return args.feature_conf, str(args.dump)
    return features, str(args.dump / Path(features).stem)


@functools.cache
def front_end_settings(path: str) -> dict[str, str]:
    """Return the options in a front end's file, so that files with the same options compare equal."""
    return canonical(default_options("sed.features.logmel") | load_config(path))


def features_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield front ends and the folders of their dumps."""
    return (front_end(experiment, args) for experiment in experiments)


def pretrain_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield what is pre-trained; without --checkpoints nothing is."""
    for e in experiments:
        if args.checkpoints and e.settings["pretrained_by"] and not e.start:
            name, path = find(e.settings["pretrained_by"], args.conf_dirs.split())
            yield name, path, str(checkpoint(name, args.checkpoints))


def train_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield what is trained, each experiment after the one that it starts from."""
    experiments = [experiment for experiment in experiments if not experiment.is_imported]
    names = {experiment.name for experiment in experiments}
    waiting, ended = list(experiments), set[str]()
    while waiting:
        ready = [e for e in waiting if e.start not in names or e.start in ended]
        if not ready:
            raise UserError(
                f"{waiting[0].config}: init_from: {waiting[0].name} would start from itself (name another config)"
            )
        for e in ready:
            wait = e.start if e.start in names else ""
            options = e.options(args.exp, args.pretrained, args.checkpoints, args.downloads)
            yield e.name, e.config, front_end(e, args)[1], options, wait
        ended |= {e.name for e in ready}
        waiting = [e for e in waiting if e.name not in ended]


def import_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield what is imported in place of a training."""
    asked = "" if args.pretrained == NONE else args.pretrained
    for e in experiments:
        if e.is_imported:
            checkpoint = asked or e.published(args.downloads) or e.settings.get("pretrained", "")
            if not checkpoint:
                raise UserError(f"{e.config}: no published detector to import (--pretrained names its file)")
            yield e.name, e.config, front_end(e, args)[1], e.settings["class_map"], checkpoint


def label_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the sets of pseudo-labels that are trained on."""
    return ((e.of_seed(PSEUDO), e.labeller, front_end(e, args)[1]) for e in experiments if e.labeller)


def score_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield what is scored: the experiments that are trained, or imported."""
    for e in experiments:
        folder = args.exp / e.name
        if (folder / (PACKED if e.is_imported else "final.pt")).exists():
            name = f"{e.name}/{args.folder}" if args.folder else e.name
            own = _imported_steps(folder / TUNED) if e.is_imported else ""
            yield name, e.config, front_end(e, args)[1], f"{own} {args.score_args}".strip()


def _imported_steps(tuned: Path) -> str:
    """Return the options of an imported model's post-processing: as synthetic validation chose it, where it did."""
    return f"--tuned {shlex.quote(str(tuned))}" if tuned.exists() else f"--post-processing {STEPS}"


def cross_fit_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield what is scored once more by post-processing of the scored set itself: the experiments that are imported."""
    options = f"--post-processing {STEPS} --cross-fit {STEPS},threshold {args.score_args}".strip()
    for e in experiments:
        if e.is_imported and (args.exp / e.name / PACKED).exists():
            yield e.name, e.config, front_end(e, args)[1], options


LISTS = {
    "features": features_rows,
    "pretrain": pretrain_rows,
    "train": train_rows,
    "import": import_rows,
    "label": label_rows,
    "score": score_rows,
    "cross_fit": cross_fit_rows,
}

if __name__ == "__main__":
    main()
