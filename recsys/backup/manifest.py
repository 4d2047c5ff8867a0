"""The manifest of a backup: versions, row counts, and the checksum of each file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys.errors import Invalid, NotFound

__all__ = [
    "DATABASE",
    "FILES",
    "FORMAT",
    "MANIFEST",
    "REDIS",
    "BackupFile",
    "Manifest",
    "dump_of",
    "read_manifest",
]

FORMAT = 1
MANIFEST, DATABASE, REDIS, FILES = "manifest.json", "database.dump", "redis.jsonl", "var"
"""Names in the folder of a backup: `var` holds the files with their paths below the shop's `var/`."""


@dataclass(frozen=True)
class BackupFile:
    """A file of a backup: path from the backup's folder, size in bytes, SHA-256 (hex)."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    created_at
        ISO 8601, UTC.
    program, schema
        Version of recsys, and of the database's schema.
    server, tool
        Version numbers of PostgreSQL and of pg_dump, such as 180006 and 18.
    tables
        Rows of each table, `schema.table`, in the snapshot that the dump is of.
    lists
        Stored lists by generation that is live or kept.
    redis_keys
        Number of the keys of Redis that were saved.
    files
        The files of the backup.
    servers
        The same as `tables` for each server that holds some of them, beside the shop's.
    """

    created_at: str
    program: str
    schema: str
    server: int
    tool: int
    tables: dict[str, int]
    lists: dict[str, int]
    redis_keys: int
    files: tuple[BackupFile, ...]
    servers: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def dumps(self) -> dict[str, dict[str, int]]:
        """The rows of each table, by the name of the dump."""
        return {DATABASE: self.tables} | {dump_of(name): rows for name, rows in self.servers.items()}

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(each.bytes for each in self.files)

    def write(self, folder: Path) -> None:
        """Write `manifest.json`, with a checksum of its own content."""
        content = asdict(self)
        if not self.servers:
            # versions that know no further servers can read it then
            del content["servers"]
        document = {"format": FORMAT, "checksum": _checksum(content), "content": content}
        (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def dump_of(server: str) -> str:
    """The name of the dump of a server beside the shop's."""
    return f"database-{server}.dump"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises
    ------
    NotFound
        There is none.
    Invalid
        It is damaged or of another format.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"{folder} holds no {MANIFEST}; expected the folder of a complete `recsys backup create`"
        ) from error
    except (OSError, ValueError) as error:
        raise Invalid(f"{path} cannot be read ({type(error).__name__}); use another backup") from error
    if not isinstance(document, dict) or not isinstance(document.get("content"), dict):
        raise Invalid(f"{path} is not the manifest of a backup; use another backup")
    if document.get("format") != FORMAT:
        raise Invalid(
            f"{path} has format {document.get('format')!r}; this version reads format {FORMAT}: "
            "restore it with the version that made it"
        )
    content: dict[str, Any] = document["content"]
    if document.get("checksum") != _checksum(content):
        raise Invalid(f"{path} is damaged (it does not match its checksum); use another backup")
    try:
        files = tuple(BackupFile(**each) for each in content["files"])
        return Manifest(**{**content, "files": files})
    except (TypeError, KeyError) as error:
        raise Invalid(f"{path} lacks a field ({error}); use another backup") from error


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
