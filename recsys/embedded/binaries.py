"""The servers' programs: where the wheels put them, or a copy that the servers' user can run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from recsys.embedded.account import Account
from recsys.embedded.processes import clean_environment
from recsys.errors import Unavailable

__all__ = ["package_folder", "runnable"]


def package_folder(package: str, distribution: str, variable: str) -> Path:
    """The wheel's folder, found without importing it: its Python part makes folders and users of its own."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Unavailable(
            f"the package {distribution} is not installed; install the project's requirements, "
            f"or set {variable} to a server of your own"
        )
    return Path(spec.origin).resolve().parent


def runnable(binary: Path, needs: Sequence[Path], account: Account | None, home: Path) -> Path:
    """`binary`, or where the account cannot run it, its copy under `home`.

    Parameters
    ----------
    binary
        The program.
    needs
        The folders (with the binary in one of them) to copy, all below one common folder, so that the copy's
        relative library paths hold.
    account
        Who is to run it; None for this user.
    home
        Where a copy is put.

    Raises
    ------
    Unavailable
        The account cannot run the copy either.
    """
    if account is None or _runs(binary, account):
        return binary
    root = Path(os.path.commonpath([str(path.parent) for path in needs]))
    place = home / f"{binary.name}-{int(binary.stat().st_mtime)}"
    if not place.exists():
        fresh = place.with_name(f"{place.name}.new")
        if fresh.exists():
            shutil.rmtree(fresh)
        for path in needs:
            shutil.copytree(path, fresh / path.relative_to(root), symlinks=True)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        fresh.rename(place)
    copy = place / binary.relative_to(root)
    if not _runs(copy, account):
        raise Unavailable(
            f"the user '{account.name}' can run {binary.name} neither from {binary.parent} nor from the copy "
            f"in {copy.parent}; is that file system mounted noexec? Choose another folder with RECSYS_VAR"
        )
    return copy


def _runs(binary: Path, account: Account) -> bool:
    try:
        done = subprocess.run(
            [str(binary), "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
