"""The manifest of a published artifact: its files with size and SHA-256, itself checksummed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recsys import clock
from recsys.errors import Invalid

__all__ = ["ArtifactManifest", "PublishedFile", "checked_name", "digest_of_file"]

FORMAT = 1
_CHUNK = 1 << 20
_NAME = re.compile(r"(models|datasets|reports)(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_CONTENT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class PublishedFile:
    """One file of an artifact.

    Attributes
    ----------
    path
        Below the artifact's folder; empty where the artifact is one file.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ArtifactManifest:
    """What was published under a name.

    Attributes
    ----------
    name
        Path below var, of a folder or a file.
    content
        Name of the publication, never used again, which holds the files.
    published_at
        ISO 8601.
    files
        The files of the publication.
    """

    name: str
    content: str
    published_at: str
    files: tuple[PublishedFile, ...]

    @classmethod
    def of(cls, name: str, content: str, path: Path) -> ArtifactManifest:
        """The manifest of a folder or file as it is. Raises OSError, Invalid for an empty folder."""
        sources = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        if not sources:
            raise Invalid(f"{path} holds no files; there is nothing to publish as {name}")
        files = tuple(
            PublishedFile(
                each.relative_to(path).as_posix() if path.is_dir() else "",
                each.stat().st_size,
                digest_of_file(each),
            )
            for each in sources
        )
        return cls(name, content, clock.now().isoformat(), files)

    @property
    def size(self) -> int:
        """The size of all files."""
        return sum(each.size for each in self.files)

    def is_same_content(self, other: ArtifactManifest) -> bool:
        """Whether both have the same files with the same bytes."""
        return self.files == other.files

    def encoded(self) -> bytes:
        """As JSON with a checksum."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps({"checksum": _checksum(document), "manifest": document}, indent=1).encode()

    @classmethod
    def decoded(cls, name: str, written: bytes) -> ArtifactManifest:
        """What `encoded` wrote for this name. Raises Invalid when it is damaged or of another format."""
        try:
            document = json.loads(written)
            content: dict[str, Any] = document["manifest"]
            if _checksum(content) != document["checksum"]:
                raise Invalid(f"the manifest of {name} does not match its checksum")
            if content.pop("format") != FORMAT:
                raise Invalid(f"the manifest of {name} is of another version of recsys")
            files = tuple(PublishedFile(**each) for each in content.pop("files"))
            manifest = cls(files=files, **content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Invalid(f"the manifest of {name} is damaged ({type(error).__name__})") from error
        if manifest.name != name or not _CONTENT.fullmatch(manifest.content) or _leads_out(files):
            raise Invalid(f"the manifest of {name} is of another artifact")
        return manifest


def checked_name(name: str) -> str:
    """A name as it is. Raises Invalid where it is no path below var of what is published."""
    if not _NAME.fullmatch(name):
        raise Invalid(f"{name!r} is no name of an artifact; expected such as models/als-v3")
    return name


def digest_of_file(path: Path) -> str:
    """SHA-256, hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _leads_out(files: tuple[PublishedFile, ...]) -> bool:
    """Whether a file would be written outside of the artifact's folder."""
    if [each.path for each in files] == [""]:
        return False
    return not files or any(
        not each.path or any(part in ("", ".", "..") for part in each.path.split("/")) for each in files
    )


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
