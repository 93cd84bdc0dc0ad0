"""Warn if dumped sets with the same front end differ by more than 10 dB in level.

usage: python3 -m sed.bin.compare_levels dump/<set>...

A set's level is the median over its clips (100 of them if it has more) of their mean power; see sed/data/levels.py. The
warning lists the sets with their levels in dB relative to the loudest, which comes first. Nothing is printed if the
levels are closer. That the front end is the same is not checked.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0])
    parser.add_argument("dumps", nargs="+", type=Path, help="dump directories")
    args = parser.parse_args()
    setup_logging()

    from sed.data.levels import level, spread
    from sed.data.store import FeatureStore
    from sed.features.params import completed
    from sed.features.units import decibel

    distinct = len({dump.name for dump in args.dumps}) == len(args.dumps)  # else sets of several corpora
    stores = {dump.name if distinct else str(dump): FeatureStore(dump) for dump in args.dumps}
    levels = {name: level(store, decibel(completed(store.front_end))) for name, store in stores.items()}
    found = spread(levels)
    if found:
        logging.getLogger("sed.dump").warning(
            "%s: sets differ in level: %s (wave_norm: peak in the front end's config gives all the same peak)",
            *(args.dumps[0].parent, found),
        )


if __name__ == "__main__":
    main()
