"""A `recsys` command in a process that ends when the process that started it is killed.

Nothing else could end it then: `kill -9` leaves no time to stop what was started. Stages of the demo and jobs
run so. Linux only; elsewhere the command goes on, and `recsys env` tells where.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from recsys import cli

PR_SET_PDEATHSIG = 1
"""linux/prctl.h, prctl(2): the signal that this process gets when its parent ends."""


def main() -> None:
    """Usage: `python -m recsys.processes.command PARENT ARGUMENTS…`."""
    parent, arguments = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before this was asked for
            sys.exit(1)
    sys.argv = ["recsys", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
