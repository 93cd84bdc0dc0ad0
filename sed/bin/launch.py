"""Start a module once per GPU by torchrun, with its exit status and one-line errors, without torchrun's tracebacks.

usage: python3 -m sed.bin.launch --standalone --nproc-per-node 2 -m sed.bin.train ...

The options are torchrun's (`torchrun --help`). Exit status: that of the first process that failed; 128 and its number
after a signal.
"""

from __future__ import annotations

import logging
import os
import sys

from sed.cli import entry
from sed.lifetime import OWNER


@entry
def main() -> int:
    """Run it."""
    if sys.argv[1:] in (["-h"], ["--help"]):  # torchrun's own takes seconds to import
        print(__doc__)
        return 0
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    os.environ[OWNER] = str(os.getpid())  # child processes end with this one, even if it is killed
    options = parse_args(sys.argv[1:])
    logging.disable(logging.CRITICAL)  # torchrun's own; the started processes report errors
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
