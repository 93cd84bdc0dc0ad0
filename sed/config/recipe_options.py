"""Options of a training config that only the scripts of recipes use, not training."""

from __future__ import annotations

NONE = "none"
"""value of `init_from` and `pretrained` for random weights"""

SECTION = "recipe (used by scripts, not by training)"
OPTIONS = {
    "features": {
        "default": "conf/logmel.yaml",
        "help": "config of the front end of the dump; in a config, its path is relative to that file",
        "type": "config_file",
    },
    "init_from": {
        "default": "",
        "help": "name of the config whose model of the same seed gives the initial weights; the word none: random "
        "ones, unless pretrained_by applies; '': those of pretrained_by, else of --pretrained",
    },
    "pretrained_by": {
        "default": "",
        "help": "name of the config of sed.bin.pretrain whose encoder gives the initial weights, if the recipe "
        "pre-trains encoders",
    },
    "class_map": {
        "default": "",
        "help": "class map of a published detector, which is imported with its head and not trained; in a config, "
        "relative to that file",
        "type": "data_file",
    },
    "pseudo_labels_of": {
        "default": "",
        "help": "name of the config whose model with the same seed labels the set `pseudo` of train_sets",
    },
}
