"""Who runs a command, for records of what was changed."""

from __future__ import annotations

import getpass

__all__ = ["command_user"]


def command_user() -> str:
    """The name of the operating system's user, at most 100 characters; `unknown` where there is none."""
    try:
        return getpass.getuser()[:100]
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
