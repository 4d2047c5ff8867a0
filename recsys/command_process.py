"""A `recsys` command in a process that ends when the process that started it is killed.

Nothing else could end it then: `kill -9` leaves no time to stop what was started. Stages of the demo and jobs
run so. Linux only; elsewhere the command goes on, and `recsys env` tells where.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["command_environment", "command_line"]

PR_SET_PDEATHSIG = 1
"""linux/prctl.h, prctl(2): the signal that this process gets when its parent ends."""


_ROOT = Path(__file__).resolve().parents[1]


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command `recsys ARGUMENTS` as a process that ends with this one.

    -P: nothing in the folder where it starts is taken for a package of ours.
    """
    return [sys.executable, "-P", "-m", "recsys.command_process", str(os.getpid()), *arguments]


def command_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of such a process, in which it finds our packages from any folder."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}


def main() -> None:
    """Usage: `python -m recsys.command_process PARENT ARGUMENTS…`."""
    parent, arguments = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before this was asked for
            sys.exit(1)
    # only the new process needs all commands
    from recsys import cli

    sys.argv = ["recsys", *arguments]
    cli.main()


if __name__ == "__main__":
    main()
