"""How a command is started as a process of its own; `recsys.processes.command` is what runs in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["command_environment", "command_line"]

_ROOT = Path(__file__).resolve().parents[2]


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command `recsys ARGUMENTS` as a process that ends with this one.

    -P: nothing in the folder where it starts is taken for a package of ours.
    """
    return [sys.executable, "-P", "-m", "recsys.processes.command", str(os.getpid()), *arguments]


def command_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment of such a process, in which it finds our packages from any folder."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}
