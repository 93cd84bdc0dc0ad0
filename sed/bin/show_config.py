"""Print a config as `key: value` lines, sorted, with the settings of its base, for scripts to read and compare.

usage: python3 -m sed.bin.show_config conf/crnn.yaml [--keys features,init_from]

Equivalent configs print the same: 10 and 10.0 are one number. Keys left to the program's defaults have no line, except
with `--keys` those that only recipes read (features, init_from ...: `sed/config/recipe_options.py`).
"""

from __future__ import annotations

from sed.cli import entry
from sed.config import Parser, default_options, load_config, words
from sed.config.yaml_file import canonical


@entry
def main() -> None:
    parser = Parser(__doc__.split("\n\n")[0])
    parser.add_argument("file", help="flat YAML, as in conf/")
    parser.option("keys", None, "print only these keys, comma-separated", type=words)
    args = parser.parse_args()
    config = load_config(args.file)
    if args.keys is not None:
        config = default_options("sed.config.recipe_options") | config
    keys = None if args.keys is None else {key.replace("-", "_") for key in args.keys}
    for key, value in canonical(config).items():
        if keys is None or key in keys:
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
