"""Start a module once per GPU by torchrun, with its exit status and one-line errors, without torchrun's tracebacks.

usage: python3 -m sed.bin.launch --standalone --nproc-per-node 2 -m sed.bin.train ...

The options are torchrun's (`torchrun --help`). The exit status is that of the first process that failed; after a
signal, 128 plus the signal's number.
"""

from __future__ import annotations

import logging
import os
import sys

from sed.cli import entry
from sed.lifetime import OWNER


@entry
def main() -> int:
    """Run torchrun in this process."""
    if sys.argv[1:] in (["-h"], ["--help"]):  # torchrun's own help takes seconds to import
        print(__doc__)
        return 0
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ[OWNER] = str(os.getpid())  # child processes end with this one, even if it is killed
    options = parse_args(sys.argv[1:])
    logging.disable(logging.CRITICAL)  # only torchrun's messages: the started processes report their own errors
    try:
        run(options)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    main()
