"""Start a module once per GPU by torchrun, with its exit status and one-line errors, without torchrun's tracebacks.

usage: python3 -m sed.bin.launch --standalone --nproc-per-node 2 -m sed.bin.train ...

The options are torchrun's (`torchrun --help`). The exit status is that of the first process that failed; after a
signal, 128 plus the signal's number.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys

from sed.cli import entry
from sed.errors import RunError, UserError
from sed.lifetime import OWNER


@entry
def main() -> int:
    """Run torchrun in this process."""
    if sys.argv[1:] in (["-h"], ["--help"]):  # torchrun's own help takes seconds to import
        print(__doc__)
        return 0
    from torch.distributed import DistError
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import parse_args, run

    os.environ[OWNER] = str(os.getpid())  # child processes end with this one, even if it is killed
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            options = parse_args(sys.argv[1:])
    except SystemExit:
        reason = usage.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{reason} (torchrun --help explains the options)") from None
    logging.disable(logging.CRITICAL)  # only torchrun's messages: the started processes report their own errors
    try:
        run(options)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    except (AssertionError, ValueError) as error:  # some of torchrun's assertions have no text
        raise UserError(f"{error or 'an option is out of range'} (torchrun --help explains the options)") from None
    except (DistError, RendezvousError) as error:
        raise RunError(f"the processes do not find each other: {error} (another --master-port, or try again)") from None
    except RuntimeError as error:  # so torchrun refuses an --nnodes that is neither N nor MIN:MAX
        if not str(error).startswith("nnodes="):
            raise
        raise UserError(f"{error} (torchrun --help explains the options)") from None
    return 0


if __name__ == "__main__":
    main()
