"""List the experiments of a recipe's configs for its scripts, as tab-separated lines.

usage: python3 -m sed.bin.experiments [options] <features|pretrain|train|import|label|score|cross_fit> [<config>...]

A config is given as a file, as the name of a file in --conf-dirs (without .yaml), or as NAME=file. NAME, else the name
of the file, is the name of the experiment, whose folder is exp/NAME. Options that vary the config add suffixes to the
name: _lr<head>_<encoder> for --rates, _<key>_<value> for --vary where the config has another value, _seed<k> for
--seeds. The columns of the lists are

features  front end, folder of its dump; one line per front end
pretrain  name of a config of sed.bin.pretrain, its file, checkpoint to write; one line per config
train     name, config, dump, options of sed.bin.train, experiment of this list that must be trained first, if any
import    name, config, dump, class map, published checkpoint; only configs with a class map
label     set of pseudo-labels to write, experiment that predicts them, dump
score     name, config, dump, options of sed.bin.score; only experiments whose model exists
cross_fit name, config, dump, options of sed.bin.score that tune for each half of the scored set on the other; only
          imported models that exist

Five keys of a config decide what is listed:

features          the front end. The dump of <x>.yaml is dump/<x>. Without this key, or with conf/logmel.yaml, it is the
                  recipe's, --feature-conf, whose dump is dump itself, as is that of any file with the same options.
init_from         the config whose model training starts from; 'none': random weights; missing: --pretrained, else the
                  checkpoint of its encoder in --downloads, else the config's key `pretrained`.
pretrained_by     the config of sed.bin.pretrain whose encoder training starts from; ignored without --checkpoints, or
                  if init_from names a config, else it takes precedence over --pretrained and over init_from: none.
pseudo_labels_of  the config whose model predicts the set `pseudo` of train_sets.
class_map         the class map of a published detector, which is imported with it instead of trained: --pretrained,
                  else the checkpoint of its encoder in --downloads, else the config's key `pretrained`.

With --seeds, the models that training starts from and those that predict pseudo-labels have the same seed; --rates and
--vary do not change these models.
"""

from __future__ import annotations

import functools
import shlex
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, default_options, load_config
from sed.config.experiments import DEFAULTS, PSEUDO, Experiment, checkpoint, combinations, expand, find
from sed.config.option_types import shell_words
from sed.config.recipe_options import NONE
from sed.config.yaml_file import canonical, value_text
from sed.errors import UserError

PACKED = "model.json"
"""file of an imported (packed) model in its experiment's folder"""
TUNED = "tuned.json"
"""file in the same folder with post-processing tuned on the synthetic validation set, if it was tuned"""
STEPS = "csebbs"
"""post-processing of an imported model without TUNED, and the one that cross_fit tunes"""


@entry
def main() -> None:
    parser = Parser(__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=[*LISTS])
    parser.add_argument("configs", nargs="*", help="names, files, or NAME=file")
    parser.option("dump", Path("dump"), "folder of the dumped sets", type=Path)
    parser.option("exp", Path("exp"), "folder of the experiments", type=Path)
    parser.option(
        "conf-dirs",
        ["conf"],
        "folders with the configs given by name, separated by blanks, those with blanks in quotation marks",
        type=shell_words,
    )
    parser.option("seeds", "", "seeds of every config, separated by blanks; '': the config's seed")
    parser.option("rates", "", "learning rates head:encoder, separated by blanks; '': the config's rates")
    parser.option(
        "vary",
        "",
        "KEY=VALUE,VALUE..., separated by blanks: one experiment per combination of values, which replace the config's",
    )
    parser.option("feature-conf", DEFAULTS["features"], "the recipe's front end, whose dump is --dump itself")
    parser.option("pretrained", "", "checkpoint that configs without init_from start from; 'none': random weights")
    parser.option(
        "downloads", "", "folder of published checkpoints, <encoder>.safetensors or .pth, used without --pretrained"
    )
    parser.option("checkpoints", "", "folder of encoders pre-trained by the recipe; '': pretrained_by is ignored")
    parser.option(
        "folder", "", "score: subfolder of the experiment for the scores, which is appended to the name (NAME/folder)"
    )
    parser.option("score-args", "", "score and cross_fit: options of sed.bin.score to append")
    args = parser.parse_args()
    seeds = args.seeds.split()
    experiments = [
        experiment
        for config in args.configs
        for experiment in expand(
            *find(config, args.conf_dirs), seeds, args.rates.split(), combinations(args.vary.split())
        )
    ]
    check(experiments, args)
    # All configs with the first seed come first: a stopped sweep has compared them all, and what PyTorch has compiled
    # for the first seed of a config is ready for the others.
    experiments.sort(key=lambda experiment: seeds.index(experiment.seed) if experiment.seed else 0)
    for row in dict.fromkeys(LISTS[args.what](experiments, args)):
        print("\t".join(row).rstrip("\t"))


def check(experiments: list[Experiment], args: Namespace) -> None:
    """Raise UserError if two configs or combinations have one experiment, or two models one set of pseudo-labels."""
    files: dict[str, str] = {}
    varied: dict[str, tuple[tuple[str, str], ...]] = {}
    labellers: dict[tuple[str, str], str] = {}
    for e in experiments:
        if Path(files.setdefault(e.name, e.config)).resolve() != Path(e.config).resolve():
            raise UserError(f"{e.config}: {e.name} is the experiment of {files[e.name]} (give it as NAME=file)")
        if varied.setdefault(e.name, e.varied) != e.varied:
            raise UserError(f"--vary: two of its combinations would be {e.name} (write a config for one of them)")
        if e.labeller:
            place = front_end(e, args)[1], e.of_seed(PSEUDO)
            first = labellers.setdefault(place, e.labeller)
            if first != e.labeller:
                raise UserError(
                    f"{e.config}: pseudo_labels_of: {'/'.join(place)} would be labelled by {e.labeller} and by {first} "
                    "(train the configs one after the other, in calls of their own)"
                )


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
    """Yield the front end of each experiment and the folder of its dump."""
    return (front_end(experiment, args) for experiment in experiments)


def pretrain_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the configs of sed.bin.pretrain whose encoders experiments start from; none without --checkpoints."""
    for e in experiments:
        if args.checkpoints and e.settings["pretrained_by"] and not e.start:
            name, path = find(e.settings["pretrained_by"], args.conf_dirs)
            yield name, path, str(checkpoint(name, args.checkpoints))


def train_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the experiments to train, each after the one that it starts from."""
    experiments = [experiment for experiment in experiments if not experiment.is_imported]
    names = {experiment.name for experiment in experiments}
    waiting, listed = list(experiments), set[str]()
    while waiting:
        ready = [e for e in waiting if e.start not in names or e.start in listed]
        if not ready:
            raise UserError(
                f"{waiting[0].config}: init_from: {waiting[0].name} would start from itself (name another config)"
            )
        for e in ready:
            first = e.start if e.start in names else ""
            options = e.options(args.exp, args.pretrained, args.checkpoints, args.downloads)
            yield e.name, e.config, front_end(e, args)[1], options, first
        listed |= {e.name for e in ready}
        waiting = [e for e in waiting if e.name not in listed]


def import_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the experiments to import instead of to train, with the published checkpoints."""
    given = "" if args.pretrained == NONE else args.pretrained
    for e in experiments:
        if e.is_imported:
            checkpoint = given or e.published(args.downloads) or value_text(e.settings.get("pretrained", ""))
            if not checkpoint:
                raise UserError(f"{e.config}: no published detector to import (--pretrained names its file)")
            yield e.name, e.config, front_end(e, args)[1], e.settings["class_map"], checkpoint


def label_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the sets of pseudo-labels that experiments are trained on, with the experiments that predict them."""
    return ((e.of_seed(PSEUDO), e.labeller, front_end(e, args)[1]) for e in experiments if e.labeller)


def score_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the experiments to score: those whose training has ended, or whose packed model exists; name the others."""
    untrained = []
    for e in experiments:
        folder = args.exp / e.name
        if (folder / (PACKED if e.is_imported else "final.pt")).exists():
            name = f"{e.name}/{args.folder}" if args.folder else e.name
            steps = _imported_steps(folder / TUNED) if e.is_imported else ""
            yield name, e.config, front_end(e, args)[1], f"{steps} {args.score_args}".strip()
        else:
            untrained.append(e.name)
    if untrained:
        more = f" and {len(untrained) - 5} more" if len(untrained) > 5 else ""
        setup_logging().warning("not trained yet, so not scored: %s%s", ", ".join(untrained[:5]), more)


def _imported_steps(tuned: Path) -> str:
    """Return the post-processing options of an imported model: the file `tuned` if it exists, else STEPS."""
    return f"--tuned {shlex.quote(str(tuned))}" if tuned.exists() else f"--post-processing {STEPS}"


def cross_fit_rows(experiments: list[Experiment], args: Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the imported models to score again, with post-processing tuned for each half of the set on the other."""
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
