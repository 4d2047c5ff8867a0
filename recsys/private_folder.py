"""The folder `var/`, closed to other accounts of the machine: it holds keys, passwords and what users did."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

__all__ = ["keep_private"]

_PASSABLE = 0o710


def keep_private(folder: Path, *, group: int | None = None) -> None:
    """Make `folder` if it is not there, and let only its owner into it.

    A folder of another owner stays as it is, and so does a folder on a read-only mount.

    Parameters
    ----------
    folder
        The folder.
    group
        Id of the group of the account that the embedded servers run as, when root starts them. It may pass
        through the folder, and neither list nor write it. None: that of data which is already there.

    Raises
    ------
    OSError
        The folder cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform == "win32":
        return
    status = folder.stat()
    # a folder that is meant for everybody, such as /tmp, is not closed because somebody names it as `var/`
    if status.st_uid != os.geteuid() or status.st_mode & stat.S_ISVTX:
        return
    if group is None and os.geteuid() == 0:
        group = _group_of_servers(folder)
        # another command may be making the data just now, and has let the account in
        if group is None and stat.S_IMODE(status.st_mode) == _PASSABLE:
            return
    wanted = 0o700 if group is None else _PASSABLE
    try:
        if group is not None and status.st_gid != group:
            os.chown(folder, -1, group)
        if stat.S_IMODE(status.st_mode) != wanted:
            folder.chmod(wanted)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EPERM):
            raise


def _group_of_servers(folder: Path) -> int | None:
    try:
        data = (folder / "servers" / "postgres" / "data").stat()
    except OSError:
        return None
    return data.st_gid if data.st_uid != 0 else None
