"""Check finished dump directories: every shard's clips, front end and checksums. Removes damaged shards.

usage: python3 -m sed.bin.check_dump [--config conf/logmel.yaml] dump/<set>...

Exit 0: all intact. Exit 1: damaged shards were removed with their lists of clips (feats.JOB.scp) and the set's
feats.scp, which is also removed if it does not list the clips of wav.scp, or lists a shard's rows out of order; stage 2
redoes them. Exit 2: a shard is of another front end than --config; nothing of its set was removed, and later sets were
not checked. Sets of pseudo-labels, whose features are those of other sets, are not checked.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser
from sed.errors import RunError


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0], config=True)
    parser.add_argument("dumps", nargs="+", type=Path, help="dump directories")
    parser.section("front end that the dumps must have (only checked if --config is given)")
    parser.options_of("sed.features.logmel")
    args = parser.parse_args()
    setup_logging()

    from sed.data.store import check_dump
    from sed.features.params import defaults

    wanted = {key: getattr(args, key) for key in defaults()} if args.config else None
    bad = 0
    for dump in args.dumps:
        for fault in check_dump(dump, wanted):
            logging.getLogger("sed.dump").info("%s", fault)
            bad += 1
    if bad:
        raise RunError(f"{bad} faults, named above (run stage 2 again: it redoes what is missing)")


if __name__ == "__main__":
    main()
