"""Faults of a backup: files that are missing, too many or damaged, and a dump that cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recsys.backup.files import Progress, digest_of
from recsys.backup.manifest import MANIFEST, Manifest, read_manifest
from recsys.backup.postgres_tools import find_tool, tables_of_dump
from recsys.database import migrate

__all__ = ["Verification", "restorable", "verify"]


@dataclass(frozen=True)
class Verification:
    """The faults of a backup, none when it is whole, and whether this program can restore it.

    Attributes
    ----------
    manifest
        The manifest of the backup.
    faults
        Each fault in words.
    restorable
        `yes`, `after migration` (of an older schema: --migrate), or `no` (of a newer schema).
    """

    manifest: Manifest
    faults: tuple[str, ...]
    restorable: str


def verify(folder: Path, progress: Progress = lambda *_: None) -> Verification:
    """Compare each file with its checksum, and the dump's tables with the manifest's.

    Raises
    ------
    NotFound
        There is no manifest.
    Invalid
        The manifest is damaged, or of another format.
    Unavailable
        There is no pg_restore.
    """
    manifest = read_manifest(folder)
    faults = []
    expected = {each.path: each for each in manifest.files}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {
        MANIFEST
    }
    faults += [f"{path} is missing" for path in sorted(expected.keys() - present)]
    faults += [f"{path} is not in the manifest" for path in sorted(present - expected.keys())]
    for path in sorted(expected.keys() & present):
        try:
            if digest_of(folder / path, path, progress) != expected[path]:
                faults.append(f"{path} is damaged (it does not match its checksum)")
        except OSError as error:
            faults.append(f"{path} cannot be read ({error.strerror})")
    if not faults:
        tool = find_tool("pg_restore", manifest.tool)
        for name, rows in manifest.dumps.items():
            tables = tables_of_dump(tool, folder / name)
            if tables is None:
                faults.append(f"{name} cannot be read by pg_restore")
            elif missing := sorted(rows.keys() - tables):
                faults.append(f"{name} lacks {', '.join(missing)}")
    return Verification(manifest, tuple(faults), restorable(manifest))


def restorable(manifest: Manifest) -> str:
    """Whether this program can restore the backup: `yes`, `after migration` or `no`."""
    head = migrate.head()
    if manifest.schema == head:
        return "yes"
    return "after migration" if manifest.schema in migrate.versions() else "no"
