"""Experiments of a recipe's configs: seeds, learning rates and varied values of each, and initial weights.

`python3 -m sed.bin.experiments` lists them; the module's docstring names the keys of a config that are read.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sed.config.parser import default_options
from sed.config.recipe_options import NONE
from sed.config.yaml_file import canonical, load_config, value_text
from sed.errors import UserError

PSEUDO = "pseudo"
"""name in `train_sets` of the set with pseudo-labels"""
DEFAULTS = default_options("sed.config.recipe_options")
ENCODER = default_options("sed.models.encoders")["encoder"]


@dataclass(frozen=True)
class Experiment:
    """A training of a config with a seed, learning rates and varied keys, or an import of a published detector."""

    config: str
    """the config's file"""
    settings: dict[str, Any]
    """its keys, with the defaults of `recipe_options`"""
    name: str
    """name, with suffixes for what differs from the config"""
    seed: str
    """'': the config's own"""
    rates: str
    """learning rates `head:encoder`; '': the config's own"""
    varied: tuple[tuple[str, str], ...] = ()
    """(key, value) of the varied keys whose value is not the config's own"""

    @property
    def start(self) -> str:
        """Name of the experiment whose weights training starts from; '': none."""
        return self.of_seed(self.settings["init_from"]) if self.settings["init_from"] not in ("", NONE) else ""

    @property
    def labeller(self) -> str:
        """Name of the experiment whose model predicts the pseudo-labels to train on; '': none."""
        return self.of_seed(self.settings["pseudo_labels_of"]) if self.settings["pseudo_labels_of"] else ""

    def of_seed(self, name: str) -> str:
        """Return the name of another config's experiment with the same seed."""
        return f"{name}_seed{self.seed}" if self.seed else name

    def published(self, downloads: str) -> str:
        """Return the path of the encoder's published checkpoint in the folder `downloads`; '' if it is not there.

        Its name is <encoder>.safetensors or <encoder>.pth.
        """
        encoder = self.settings.get("encoder", ENCODER)
        found = [Path(downloads, f"{encoder}{suffix}") for suffix in (".safetensors", ".pth")] if downloads else []
        return next((str(path) for path in found if path.exists()), "")

    @property
    def is_imported(self) -> bool:
        """True if the config is of a published detector, which is imported with its head and not trained."""
        return bool(self.settings["class_map"])

    def options(self, exp: Path, pretrained: str, checkpoints: str, downloads: str) -> str:
        """Return the options of sed.bin.train.

        The initial weights are those of the config's init_from; if it has none, or 'none', those of its pretrained_by,
        if there are `checkpoints`; then random ones for 'none', else those of `pretrained`.

        Args:
            exp: the folder of the experiments.
            pretrained: checkpoint of the recipe's --pretrained, or 'none' for random weights; '': that of `published`.
            checkpoints: the folder of encoders that the recipe has pre-trained; '': none.
            downloads: the folder of published checkpoints; '': none.

        Returns:
            The options, quoted for a shell.
        """
        pretrained = pretrained or self.published(downloads)
        words = ["--seed", self.seed] if self.seed else []
        varied = dict(self.varied)
        if self.labeller and self.seed:  # each seed has a labeller, whose set is pseudo_seed<k>
            sets = varied.pop("train_sets", value_text(self.settings["train_sets"])).split(",")
            words += ["--train-sets", ",".join(self.of_seed(PSEUDO) if name == PSEUDO else name for name in sets)]
        if self.start:
            words += ["--pretrained", str(exp / self.start)]
        elif self.settings["pretrained_by"] and checkpoints:
            words += ["--pretrained", str(checkpoint(self.settings["pretrained_by"], checkpoints))]
        elif self.settings["init_from"] or pretrained:
            words += ["--pretrained", self.settings["init_from"] or pretrained]  # init_from is 'none', if given
        if self.rates:
            head, encoder = self.rates.split(":")
            words += ["--lr", head, "--encoder-lr", encoder]
        for key, value in varied.items():
            name = key.replace("_", "-")
            # only switches have these values, and take none on the command line
            switch = {"true": [f"--{name}"], "false": [f"--no-{name}"]}
            words += switch.get(value, [f"--{name}", value])
        return " ".join(shlex.quote(word) for word in words)


def find(config: str, folders: list[str]) -> tuple[str, str]:
    """Return the name of a config's experiment, and the config's file.

    `config` is the name of a file without .yaml, in the first of `folders` that has it; a file; or NAME=FILE.

    Raises:
        UserError: no folder has a config of this name, or NAME is no name of a folder.
    """
    name, _, path = config.partition("=")
    if path and not Path(config).is_file():  # a file's own name may contain `=`
        if name in ("", ".", "..") or "/" in name:
            raise UserError(f"{config}: '{name}' is no name of an experiment (NAME=FILE, NAME a folder below exp)")
        return name, path
    if "/" in config or config.endswith(".yaml") or Path(config).is_file():
        return Path(config).name.removesuffix(".yaml"), config
    for folder in folders:
        if Path(f"{folder}/{config}.yaml").is_file():
            return config, f"{folder}/{config}.yaml"
    places = " or ".join(dict.fromkeys(folders))
    raise UserError(f"{config}: no such config in {places} (give the name of one, or a file)")


def combinations(ranges: list[str]) -> list[tuple[tuple[str, str], ...]]:
    """Return all combinations of the values of some keys, each as (key, value) pairs; [()] for no ranges.

    Raises:
        UserError: a range is not `KEY=VALUE,VALUE...`, or its key is given twice or one of `recipe_options`.
    """
    choices: dict[str, list[tuple[str, str]]] = {}
    for text in ranges:
        key, _, values = text.partition("=")
        if not key or not all(values.split(",")):
            raise UserError(f"--vary {text}: KEY=VALUE,VALUE... is expected (frozen_epochs=0,6, say)")
        key = key.replace("-", "_")
        if key in DEFAULTS:
            raise UserError(f"--vary {text}: training does not read {key} (write a config for each value)")
        if key in choices:
            raise UserError(f"--vary {text}: {key} is given twice (give all its values at once: {key}=VALUE,VALUE)")
        choices[key] = [(key, value) for value in values.split(",")]
    return list(itertools.product(*choices.values()))


def expand(
    name: str,
    path: str,
    seeds: list[str],
    rates: list[str],
    varied: list[tuple[tuple[str, str], ...]],
) -> Iterator[Experiment]:
    """Yield the experiments of a config, seed by seed.

    Args:
        name: name of the experiment, without seed and rates.
        path: the config's file.
        seeds: seeds; []: one experiment with the config's own seed.
        rates: pairs of learning rates, each `head:encoder`; []: the config's own.
        varied: combinations from `combinations`; values equal to the config's own are not part of the name. A config
            that is imported instead of trained has one experiment, without seeds, rates and these.

    Yields:
        The experiments.

    Raises:
        UserError: the config cannot be read, it names pseudo-labels without training on them, a seed or pair is
            malformed, or a varied key is set by seeds or rates, too.
    """
    settings = DEFAULTS | load_config(path)
    settings |= {key: value_text(settings[key]) for key in DEFAULTS}  # names, which YAML may read as numbers
    if settings["pseudo_labels_of"] and PSEUDO not in value_text(settings.get("train_sets", "")).split(","):
        raise UserError(f"{path}: pseudo_labels_of, but no set '{PSEUDO}' in train_sets (add it, or leave the key out)")
    for seed in seeds:
        if not seed.isdecimal():
            raise UserError(f"--seeds {seed}: not whole numbers (separate them by blanks)")
    for pair in rates:
        if len(pair.split(":")) != 2 or not all(pair.split(":")):
            raise UserError(f"--rates {pair}: head:encoder is expected, such as 1e-3:1e-4 (separated by blanks)")
    if settings["class_map"]:  # nothing is trained
        seeds, rates, varied = [], [], [()]
    keys = {key for values in varied for key, _ in values}
    for given, option, owned in ((seeds, "seeds", {"seed"}), (rates, "rates", {"lr", "encoder_lr"})):
        if given and keys & owned:
            raise UserError(f"--vary {min(keys & owned)}: --{option} sets it (leave one of the two out)")
    for seed, pair, values in itertools.product(seeds or [""], rates or [""], varied):
        other = tuple((key, value) for key, value in values if not _is_own_value(settings, key, value))
        suffix = f"_lr{pair.replace(':', '_')}" if pair else ""
        suffix += "".join(f"_{key}_{value}" for key, value in other).replace("/", "_")
        suffix += f"_seed{seed}" if seed else ""
        yield Experiment(path, settings, f"{name}{suffix}", seed, pair, other)


def _is_own_value(settings: dict[str, Any], key: str, value: str) -> bool:
    """Return whether the config already has this value."""
    return key in settings and canonical({key: value}) == canonical({key: settings[key]})


def checkpoint(name: str, checkpoints: str) -> Path:
    """Return the checkpoint that sed.bin.pretrain writes for a config of this name into this folder."""
    return Path(checkpoints) / f"{name}.pth"
