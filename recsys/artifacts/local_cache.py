"""Copies of published artifacts below var: which they are, one writer at a time, and how much they take."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recsys import clock
from recsys.artifacts.manifest import ArtifactManifest
from recsys.errors import Invalid

__all__ = ["LocalCache"]

_GIB = 1 << 30


class LocalCache:
    """The copies lie where an artifact that was made here lies, such as var/models/als-v3.

    A record (the manifest of the copy) says which of them the store has: only these may be removed to make
    room. What has no record was made here and is not published.
    """

    def __init__(self, var: Path) -> None:
        self._var = var
        self._records = var / "run" / "artifacts"

    def path(self, name: str) -> Path:
        """Where the artifact lies on this machine."""
        return self._var / name

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Let one process of this machine change the copy; others wait for it."""
        folder = self._records.with_name("artifact-locks")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name.replace("/", "+")).open("ab") as file:
            _lock(file.fileno())
            yield

    def record(self, name: str) -> ArtifactManifest | None:
        """What the copy was published as; None where there is no copy, or it was not published."""
        if not self.path(name).exists():
            return None
        try:
            return ArtifactManifest.decoded(name, self._record_of(name).read_bytes())
        except (FileNotFoundError, Invalid):
            return None

    def write_record(self, manifest: ArtifactManifest) -> None:
        """Note that the copy is what was published. Raises OSError."""
        path = self._record_of(manifest.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.{os.getpid()}")
        staging.write_bytes(manifest.encoded())
        os.replace(staging, path)
        self.note_use(manifest.name)

    def names(self) -> list[str]:
        """The names of all copies that have a record."""
        records = (path for path in self._records.rglob("*.json") if not path.name.startswith("."))
        return sorted(path.relative_to(self._records).as_posix().removesuffix(".json") for path in records)

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A path beside the copy to fill; what is left there afterwards is removed."""
        parent = self.path(name).parent
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".fetching-", dir=parent))
        try:
            yield folder / "new"
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def place(self, staged: Path, manifest: ArtifactManifest) -> None:
        """Put what was fetched in its place, whole; processes that have mapped the former copy keep it."""
        self._forget(manifest.name)
        os.replace(staged, self.path(manifest.name))
        self.write_record(manifest)

    def remove(self, name: str) -> None:
        """Remove the copy and its record."""
        self._forget(name)

    def note_use(self, name: str) -> None:
        """Say that the copy was read just now."""
        with suppress(FileNotFoundError):  # it was made here, or another process made room
            now = clock.now().timestamp()
            os.utime(self._record_of(name), (now, now))

    def make_room(self, limit_gib: float, *, keep: str | None = None) -> list[str]:
        """Remove the copies that were not read for longest until the others fit; their names."""
        copies = []
        for name in self.names():
            manifest = self.record(name)
            with suppress(FileNotFoundError):
                if manifest is not None:
                    copies.append((self._record_of(name).stat().st_mtime, name, manifest.size))
        taken, removed = sum(size for _, _, size in copies), []
        for _, name, size in sorted(copies):
            if taken <= limit_gib * _GIB:
                break
            if name != keep:
                with self.locked(name):
                    self._forget(name)
                taken -= size
                removed.append(name)
        return removed

    def size(self) -> int:
        """The bytes of all copies that have a record."""
        return sum(record.size for name in self.names() if (record := self.record(name)) is not None)

    def _record_of(self, name: str) -> Path:
        return self._records / f"{name}.json"

    def _forget(self, name: str) -> None:
        """Remove copy and record; the copy goes aside first, so that no reader sees it in part."""
        self._record_of(name).unlink(missing_ok=True)
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            aside = Path(tempfile.mkdtemp(prefix=".removing-", dir=path.parent))
            with suppress(FileNotFoundError):
                os.replace(path, aside / path.name)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


if sys.platform == "win32":

    def _lock(file: int) -> None:
        """Windows runs one process: it has no forked workers."""

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)
