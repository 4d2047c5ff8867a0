"""Files at an address (a folder, S3, Google Cloud Storage), by fsspec: bounded waiting and plain errors."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys import clock
from recsys.errors import Unavailable

__all__ = ["MARKER", "ArtifactStoreAway", "ObjectStorage"]

MARKER = "recsys-artifacts.json"
"""A file that the first publication writes: where it is, the store is there, and not only its place."""

_EXTRAS: Mapping[str, tuple[str, str]] = MappingProxyType({"s3": ("s3fs", "s3"), "gs": ("gcsfs", "gs")})
"""The package and the extra by scheme."""
_CLIENT_LOGGERS = ("aiobotocore", "botocore", "s3fs", "gcsfs", "google", "fsspec")
"""Loggers that tell below a warning which credentials they use, and how requests are signed."""
_AWAY_SECONDS = 5.0
"""After a call without an answer, so long none is tried: each request would wait for as long as the first."""
_BYTES_PER_SECOND = 1 << 20
_away: dict[str, tuple[float, str]] = {}


class ArtifactStoreAway(Unavailable):
    """The store does not answer, refuses access, or its client is not installed."""


class ObjectStorage:
    """The files below one address.

    Every method raises ArtifactStoreAway where the store does not answer in time or refuses, and
    FileNotFoundError where the file is not there. Messages hold the address, which has no credentials, and
    never what the client says, since that may repeat them.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self.address = address
        scheme, _, rest = address.partition(":")
        self._is_folder = scheme == "file"
        self._root = ("/" + rest.lstrip("/")) if self._is_folder else rest.lstrip("/")
        self._seconds = timeout_seconds
        self._files = self._client(scheme)

    def _client(self, scheme: str) -> Any:
        if scheme in _EXTRAS and find_spec(_EXTRAS[scheme][0]) is None:
            package, extra = _EXTRAS[scheme]
            raise ArtifactStoreAway(
                f"the artifact store {self.address} needs {package}; install it with "
                f"pip install 'recsys[{extra}]'"
            )
        import fsspec

        for logger in _CLIENT_LOGGERS:
            logging.getLogger(logger).setLevel(logging.WARNING)
        if self._is_folder:
            return fsspec.filesystem("file", auto_mkdir=True)
        options: dict[str, Any] = {"use_listings_cache": False}
        if scheme == "s3":
            waits = {"connect_timeout": self._seconds, "read_timeout": self._seconds}
            options |= {"config_kwargs": {**waits, "retries": {"max_attempts": 1, "mode": "standard"}}}
        try:
            client = fsspec.filesystem(scheme, **options)
        except Exception as error:  # noqa: BLE001 a client raises its own kinds, such as of missing credentials
            raise self._refused(error) from None
        # the client tries again by itself, for longer than a request can wait
        client.retries = 2
        return client

    def check(self) -> None:
        """Ask whether the bucket, or the folder, is there."""
        try:
            if self._is_folder:
                if not Path(self._root).is_dir():
                    raise FileNotFoundError
                return
            # reading says whether the store answers; what describes a bucket hides that it does not
            try:
                self.read(MARKER)
            except FileNotFoundError:
                self._call("info", self._root.partition("/")[0])
        except FileNotFoundError:
            kind = "folder" if self._is_folder else "bucket"
            raise ArtifactStoreAway(
                f"the artifact store {self.address} has no such {kind}; make it, or correct "
                "RECSYS_ARTIFACTS__ADDRESS"
            ) from None

    def read(self, path: str) -> bytes:
        """The bytes of a small file."""
        found = self._call("cat_file", self._at(path))
        return bytes(found)

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in its place, whole or not at all."""
        if not self._is_folder:
            self._call("pipe_file", self._at(path), content)
            return
        target = Path(self._at(path))
        staging = target.with_name(f".{secrets.token_hex(8)}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.write_bytes(content)
            os.replace(staging, target)
        except OSError as error:
            staging.unlink(missing_ok=True)
            raise self._refused(error) from None

    def upload(self, source: Path, path: str) -> None:
        """Copy a file into the store; readers may see it in part."""
        self._call("put_file", str(source), self._at(path), size=source.stat().st_size)

    def download(self, path: str, target: Path, size: int) -> None:
        """Copy a file of about `size` bytes out of the store."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._call("get_file", self._at(path), str(target), size=size)

    def sizes(self, folder: str) -> dict[str, int]:
        """The size of each file below a folder, by its path in the store; none where nothing is there."""
        return {path: int(about["size"] or 0) for path, about in self._find(folder).items()}

    def ages(self, folder: str) -> dict[str, float]:
        """The seconds since each file below a folder was written."""
        now = clock.now().timestamp()
        return {path: now - _written_at(about, now) for path, about in self._find(folder).items()}

    def remove(self, path: str) -> None:
        """Remove a file; nothing where it is not there."""
        try:
            self._call("rm_file", self._at(path))
        except FileNotFoundError:
            return

    def remove_below(self, folder: str) -> None:
        """Remove all files of a folder, and the folder."""
        paths = list(self._find(folder))
        for path in paths:
            self.remove(path)
        # a machine that removes the same folder now takes parts of it away meanwhile
        while self._is_folder and Path(self._at(folder)).is_dir():
            try:
                self._call("rm", self._at(folder), recursive=True)
            except FileNotFoundError:
                continue

    def _find(self, folder: str) -> dict[str, dict[str, Any]]:
        try:
            found = self._call("find", self._at(folder), detail=True)
        except FileNotFoundError:
            return {}
        start = len(self._root) + 1
        paths: Sequence[str] = sorted(found)
        return {path[start:]: found[path] for path in paths if found[path]["type"] == "file"}

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _call(self, method: str, *arguments: Any, size: int = 0, **options: Any) -> Any:
        until, reason = _away.get(self.address, (0.0, ""))
        if time.monotonic() < until:
            raise ArtifactStoreAway(reason)
        try:
            if not self._files.async_impl:
                return getattr(self._files, method)(*arguments, **options)
            from fsspec.asyn import sync

            seconds = self._seconds + size / _BYTES_PER_SECOND
            call = getattr(self._files, f"_{method}")
            return sync(self._files.loop, call, *arguments, timeout=seconds, **options)
        except FileNotFoundError:
            raise
        except Exception as error:  # noqa: BLE001 each client has its own kinds of failure
            refused = self._refused(error)
            if not isinstance(error, PermissionError):
                _away[self.address] = (time.monotonic() + _AWAY_SECONDS, refused.message)
            raise refused from None

    def _refused(self, error: Exception) -> Unavailable:
        kind = type(error).__name__
        if self._is_folder and isinstance(error, OSError):
            return ArtifactStoreAway(
                f"the artifact store {self.address} cannot be used ({error.strerror}); look at the disk and "
                "at the rights of this account"
            )
        if isinstance(error, PermissionError) or "Credentials" in kind:
            return ArtifactStoreAway(
                f"the artifact store {self.address} refuses access ({kind}); correct the credentials in the "
                "environment, such as AWS_ACCESS_KEY_ID, or the rights of this account"
            )
        return ArtifactStoreAway(
            f"the artifact store {self.address} does not answer ({kind}); look at the store and the network, "
            "then try again"
        )


def _written_at(about: Mapping[str, Any], now: float) -> float:
    """When a file was written; `now` where the store does not say."""
    for key in ("LastModified", "last_modified", "updated", "mtime"):
        moment = about.get(key)
        if isinstance(moment, int | float):
            return float(moment)
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        if isinstance(moment, datetime):
            return moment.timestamp()
    return now
