"""Who runs the servers and where their files may lie, since PostgreSQL refuses root."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from recsys.embedded.state import hand_over
from recsys.errors import Unavailable
from recsys.private_folder import keep_private

__all__ = ["Account", "enters", "home_of", "server_account", "settle"]

LINK = "servers"
_WAY_OUT = (
    "run recsys as an ordinary user, or set RECSYS_DATABASE__URL and RECSYS_REDIS__URL to servers of your own"
)


@dataclass(frozen=True)
class Account:
    """The operating system's user that the servers run as, when it is not the one who calls."""

    name: str
    uid: int
    gid: int


def home_of(var: Path) -> Path | None:
    """Where the servers of this `var/` keep their files, if they were ever started."""
    link = var / LINK
    return link.resolve() if link.is_dir() else None


def server_account(var: Path) -> Account | None:
    """None for an ordinary user; for root: the owner of existing data, else `postgres`, else `nobody`."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    data = var / LINK / "postgres" / "data"
    if data.is_dir() and (owner := data.stat()).st_uid != 0:
        try:
            name = pwd.getpwuid(owner.st_uid).pw_name
        except KeyError:
            name = f"uid {owner.st_uid}"
        return Account(name, owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise Unavailable(
        "PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody' to run it; "
        + _WAY_OUT
    )


def enters(account: Account | None, folder: Path) -> bool:
    """Whether the account can reach the folder; asked of the operating system, which knows every rule."""
    if account is None or sys.platform == "win32":
        return os.access(folder, os.X_OK)
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except PermissionError as error:
        raise Unavailable(
            f"PostgreSQL refuses to run as root, and this system does not let root become '{account.name}'; "
            + _WAY_OUT
        ) from error
    return done.returncode == 0


def settle(var: Path, account: Account | None, *, throwaway: bool) -> Path:
    """The folder of the servers' files, made if needed: `var/servers`, or what a link of that name leads to.

    A `var/` below a folder that the servers' user may not enter (such as /root, 0700) cannot hold them; no
    parent folder is ever opened for it.
    """
    link = var / LINK
    if link.is_symlink() and not link.exists():
        link.unlink()
    if link.is_dir():
        home = link.resolve()
        if not enters(account, home):
            raise Unavailable(
                f"the servers' files lie in {home}, which the user that runs them "
                f"({account.name if account else 'this one'}) may not enter any more; move them to where it "
                "may, or choose another folder with RECSYS_VAR"
            )
        return home
    keep_private(var, group=None if account is None else account.gid)
    if account is None or enters(account, var):
        link.mkdir(mode=0o755)
        link.chmod(0o755)
        hand_over(link, var)
        return link.resolve()
    assert account is not None
    return _outside(var, link, account, throwaway=throwaway)


def _outside(var: Path, link: Path, account: Account, *, throwaway: bool) -> Path:
    # Durable data does not belong into a folder that a reboot empties; throwaway data does.
    places = (
        [Path(tempfile.gettempdir())] if throwaway else [Path("/var/lib/recsys"), Path(tempfile.gettempdir())]
    )
    for place in places:
        try:
            if not place.exists():
                place.mkdir(mode=0o755)
                place.chmod(0o755)
            if not enters(account, place):
                continue
            home = place / f"recsys-{secrets.token_hex(6)}"
            keep_private(home, group=account.gid)
        except OSError:
            continue
        link.symlink_to(home)
        return home.resolve()
    raise Unavailable(
        f"PostgreSQL runs as '{account.name}' because it refuses root, and that user may not enter {var}; "
        "set RECSYS_VAR to a folder that every user may enter, for example under /srv"
    )
