"""Dump the log-mel features of one job's clips to an HDF5 shard.

usage: python3 -m sed.bin.dump_features [--config conf/logmel.yaml] wav.JOB.scp feats.JOB.h5

JOB is the job's number. Writes feats.JOB.h5 and, last, feats.JOB.scp beside it (`clip-id feats.JOB.h5:row` per line). A
shard that is intact, of these clips and of this front end is kept. A killed job resumes after its last complete clip;
any other shard is computed again.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sed.cli import entry, setup_logging
from sed.config import Parser, output_file


@entry
def main() -> None:
    parser = Parser(__doc__.splitlines()[0], config=True)
    parser.add_argument("scp", type=Path, help="list of this job's clips, one `clip-id path` per line")
    parser.add_argument("shard", type=output_file, help="feats.JOB.h5 to write")
    parser.option("threads", 1, "processor threads of the front end", least=1, most=1024)
    parser.section("front end")
    parser.options_of("sed.features.logmel")  # by name: the module imports torch, which takes seconds
    args = parser.parse_args()
    setup_logging()

    import torch

    from sed.data.dump import dump_shard
    from sed.features.logmel import FrontEnd

    torch.set_num_threads(args.threads)
    if not dump_shard(args.scp, args.shard, FrontEnd.from_config(vars(args))):
        logging.getLogger("sed.dump").info("%s: complete, nothing to do", args.shard)


if __name__ == "__main__":
    main()
