"""Options of a training config that only the recipes' scripts read: training does not."""

from __future__ import annotations

NONE = "none"
"""value of `init_from` and `pretrained` that means random weights"""

SECTION = "recipe (read by the scripts, not by training)"
OPTIONS = {
    "features": {
        "default": "conf/logmel.yaml",
        "help": "front end that the dump is made with; in a config, relative to that file",
        "type": "config_file",
    },
    "init_from": {
        "default": "",
        "help": "config whose model, of the same seed, training starts from; none: random weights; '': --pretrained",
    },
    "pretrained_by": {
        "default": "",
        "help": "config of sed.bin.pretrain whose encoder training starts from, in recipes that pre-train encoders",
    },
    "class_map": {
        "default": "",
        "help": "class map of a published detector, which is imported with its head and not trained; in a config, "
        "relative to that file",
        "type": "data_file",
    },
    "pseudo_labels_of": {
        "default": "",
        "help": "config whose model, of the same seed, makes the set `pseudo` of train_sets",
    },
}
