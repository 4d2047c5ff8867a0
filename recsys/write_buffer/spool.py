"""Files for records that Redis does not take: appended and synced, and drained when a server is back.

Each process has files of its own under `var/spool/`, which it keeps locked. A file without a lock was left by
a process that ended, and any process drains it. A file that was drained in part before a crash is drained
again as a whole: the ids of the records make them repeats.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Full", "Spool", "of_process", "rewrite"]

_TOGETHER = 200
_log = get_logger(__name__)


class Full(Unavailable):
    """The spool holds as much as it may."""


class Spool:
    """Records, a line each, in files of one folder; safe for threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._appending, self._draining = threading.Lock(), threading.Lock()
        self._own: tuple[int, Path] | None = None
        self._sizes: dict[Path, int] = {}

    def append(self, records: Sequence[bytes]) -> None:
        """Keep records (JSON, without line breaks) on disk. Raises Full, and OSError as the disk does."""
        lines = b"".join(record + b"\n" for record in records)
        with self._appending:
            if sum(self._sizes.values()) + len(lines) > get_settings().intake.spool_mib * 2**20:
                raise Full("Redis does not answer, and the files on disk have reached intake.spool_mib.")
            try:
                file, path = self._open()
                written = 0
                while written < len(lines):
                    written += os.write(file, lines[written:])
                os.fsync(file)
            except OSError:
                # half a line may stand at its end: the next one begins in another file
                self._let_go()
                raise
            self._sizes[path] = self._sizes.get(path, 0) + len(lines)

    def waiting(self) -> bool:
        """Whether there is anything to drain."""
        return any(True for _ in self._files())

    def drain(self, send: Callable[[Sequence[bytes]], object]) -> int:
        """Give all records to `send`, those of ended processes too; how many. Errors of `send` are raised.

        A file is deleted once all its records were sent; until then all of it stays.
        """
        with self._draining:
            # records that are appended from here on go into a new file, which stays locked
            with self._appending:
                self._let_go()
            try:
                return sum(self._drain_file(path, send) for path in self._files())
            finally:
                with self._appending:
                    self._sizes = {path: size for path, size in self._sizes.items() if path.exists()}

    def close(self) -> None:
        """Unlock the files, for any process to drain."""
        with self._appending:
            self._let_go()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.waiting"))

    def _open(self) -> tuple[int, Path]:
        if self._own is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{os.getpid()}-{secrets.token_hex(8)}.waiting"
            # it holds personal data
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            _lock(file)
            _sync_folder(self.folder)
            self._own = file, path
        return self._own

    def _let_go(self) -> None:
        if self._own is not None:
            os.close(self._own[0])
            self._own = None

    def _drain_file(self, path: Path, send: Callable[[Sequence[bytes]], object]) -> int:
        try:
            file = path.open("rb+")
        except FileNotFoundError:  # another process was quicker
            return 0
        sent = 0
        with file:
            if _lock(file.fileno()):
                for batch in _batches(file, path.name):
                    send(batch)
                    sent += len(batch)
                path.unlink(missing_ok=True)
        return sent


def rewrite(path: Path, change: Callable[[bytes], bytes | None]) -> int:
    """Put each record of a file through `change` (None: leave it out); how many became others.

    A file that a running process holds is left alone, and so is a file that was drained meanwhile.
    """
    try:
        file = path.open("rb+")
    except FileNotFoundError:
        return 0
    with file:
        if not _lock(file.fileno()):
            return 0
        records = [line.removesuffix(b"\n") for line in file]
        kept = [change(record) for record in records]
        changed = sum(before != after for before, after in zip(records, kept, strict=True))
        if changed:
            file.seek(0)
            file.truncate()
            file.write(b"".join(each + b"\n" for each in kept if each is not None))
            file.flush()
            os.fsync(file.fileno())
    return changed


def of_process(kind: str) -> Spool:
    """The spool of this process for one kind of record, under `var/spool/`."""
    folder = get_settings().var / "spool" / kind
    with _spools_lock:
        if folder not in _spools:
            _spools[folder] = Spool(folder)
        return _spools[folder]


_spools: dict[Path, Spool] = {}
_spools_lock = threading.Lock()


def _batches(lines: BinaryIO, name: str) -> Iterator[list[bytes]]:
    batch = []
    for line in lines:
        if not line.endswith(b"\n"):
            # it was never confirmed to its sender
            _log.warning("the last record of a spool is incomplete", file=name, bytes=len(line))
            break
        batch.append(line[:-1])
        if len(batch) == _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


if sys.platform == "win32":

    def _lock(file: int) -> bool:
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _sync_folder(folder: Path) -> None:
        """Windows cannot sync a folder."""

else:
    import fcntl

    def _lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _sync_folder(folder: Path) -> None:
        """The name of a new file is safe only with its folder."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
