"""Files of a shop below `var/`: which of them a backup has, and copies with checksums."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

from recsys.backup.manifest import BackupFile
from recsys.backup.postgres_tools import CHUNK

__all__ = ["Progress", "copied", "digest_of", "kept_files", "kept_parts", "streamed"]

Progress = Callable[[str, int], object]
"""Called with the name of what is copied, and the number of bytes since the last call."""

LEFT_OUT = frozenset({"servers", "run", "site", "artifacts"})
"""Parts of `var/` that no backup has: the embedded servers (they are dumped), what running processes note,
and what a checkout makes (the documentation, files of CI)."""
SECRET = Path("run", "cursor.key")
"""What guest sessions and cursors are signed with, where no setting has it: a part of the shop's state."""
_SQLITE = b"SQLite format 3\x00"


def kept_parts(var: Path) -> list[Path]:
    """Folders and files directly below `var` that a backup has, and the signing secret; sorted."""
    if not var.is_dir():
        return []
    parts = [path for path in var.iterdir() if path.name not in LEFT_OUT and not path.name.startswith(".")]
    secret = var / SECRET
    return sorted([*parts, secret] if secret.is_file() else parts)


def kept_files(var: Path) -> Iterator[Path]:
    """Every file that a backup has; links are left out."""
    for part in kept_parts(var):
        candidates = sorted(part.rglob("*")) if part.is_dir() and not part.is_symlink() else [part]
        for path in candidates:
            # the companions of an SQLite file are part of the copy of that file
            if (
                path.is_file()
                and not path.is_symlink()
                and not path.name.endswith(("-wal", "-shm", "-journal"))
            ):
                yield path


def copied(source: Path, target: Path, path: str, progress: Progress) -> BackupFile | None:
    """Copy a file and return its entry under the name `path`; None when it has gone meanwhile.

    An SQLite file, such as MLflow's, is copied as a whole state while others write it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with source.open("rb") as file:
            if file.read(len(_SQLITE)) == _SQLITE:
                _copy_sqlite(source, target)
                progress(path, target.stat().st_size)
                return digest_of(target, path)
            file.seek(0)
            with target.open("wb") as copy:
                return streamed(file, path, progress, copy)
    except FileNotFoundError:
        target.unlink(missing_ok=True)
        return None


def digest_of(file: Path, path: str, progress: Progress = lambda *_: None) -> BackupFile:
    """The entry of a file as it is. Raises OSError."""
    with file.open("rb") as opened:
        return streamed(opened, path, progress)


def streamed(source: IO[bytes], path: str, progress: Progress, copy: IO[bytes] | None = None) -> BackupFile:
    """Read all of a stream, into the file `copy` and onto the disk if given; its entry under the name `path`.

    Raises
    ------
    OSError
        The stream cannot be read, or the copy cannot be written.
    """
    digest, size = hashlib.sha256(), 0
    while part := source.read(CHUNK):
        digest.update(part)
        size += len(part)
        if copy is not None:
            copy.write(part)
        progress(path, len(part))
    if copy is not None:
        copy.flush()
        os.fsync(copy.fileno())
    return BackupFile(path, size, digest.hexdigest())


def _copy_sqlite(source: Path, target: Path) -> None:
    address = f"{source.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as opened, closing(sqlite3.connect(target)) as copy:
        opened.backup(copy)
