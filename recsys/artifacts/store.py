"""The store of artifacts: published whole or not at all, fetched into a local cache, verified by checksums.

An artifact is a folder or a file below var, such as models/als-v3. Below the address of the store are
`files/NAME/CONTENT/…`, written first, and `manifests/NAME.json`, written last, which names the content: until
then nothing is visible, and readers see the former publication or the new one. A content's name is never used
again, so that two publications at the same time cannot mix.

Without an address var is the store: nothing is copied, and a name leads to its path.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from recsys.artifacts.local_cache import LocalCache
from recsys.artifacts.manifest import ArtifactManifest, checked_name, digest_of_file
from recsys.artifacts.object_storage import MARKER, ObjectStorage
from recsys.errors import Invalid, NotFound, Unavailable
from recsys.log import get_logger
from recsys.settings import Settings, get_settings

__all__ = ["ArtifactStore", "artifact_store"]

_UNFINISHED_SECONDS = 24 * 3600.0
"""A publication that has no manifest for so long was interrupted."""
_ATTEMPTS = 3
_WAIT_SECONDS = 6.0
_REPLACED_SECONDS = 30
"""A reader follows publications that replace each other for so long."""
_log = get_logger(__name__)


def artifact_store(settings: Settings | None = None) -> ArtifactStore:
    """The store that the settings name. Raises nothing: a store that is away says so when it is used."""
    return ArtifactStore(settings or get_settings())


class ArtifactStore:
    """Publishes and fetches artifacts by name.

    Methods raise Unavailable when the store does not answer, NotFound for a name that it does not have, and
    Invalid for content that is damaged.
    """

    def __init__(self, settings: Settings) -> None:
        self.address = settings.artifacts.address
        self._settings = settings.artifacts
        self._cache = LocalCache(settings.var)
        self._temporary = settings.var / "run"

    @property
    def is_shared(self) -> bool:
        """Whether there is a store beside var."""
        return self.address is not None

    @cached_property
    def _remote(self) -> ObjectStorage:
        if self.address is None:
            raise Invalid("RECSYS_ARTIFACTS__ADDRESS is not set; there is no store beside RECSYS_VAR")
        return ObjectStorage(self.address, self._settings.timeout_seconds)

    def path(self, name: str) -> Path:
        """Where the artifact lies on this machine, whether or not it is there."""
        return self._cache.path(checked_name(name))

    def check(self) -> None:
        """Ask the store whether it is there; without an address nothing can be away."""
        if self.is_shared:
            self._remote.check()

    # --- reading ---------------------------------------------------------------------------------------

    def fetch(self, name: str) -> Path:
        """The path of the newest publication on this machine, fetched where the copy is missing or another.

        Parameters
        ----------
        name
            Name of the artifact.

        Returns
        -------
        Path
            Where the store is away, the copy that is there. Without an address the path, which may be
            missing.
        """
        path = self.path(name)
        if not self.is_shared:
            return path
        with self._cache.locked(name):
            try:
                self._bring(name)
            except NotFound:
                if self._cache.record(name) is not None:
                    self._cache.remove(name)
                if not path.exists():
                    raise
                # made here and not published
            except Unavailable as error:
                if not path.exists():
                    raise
                _log.warning("the copy is read, since the store is away", artifact=name, reason=error.message)
            self._cache.note_use(name)
        self.make_room(keep=name)
        return path

    def fetch_if_there(self, name: str) -> Path:
        """As `fetch`, and the path, where nothing is, for a name that was never published."""
        try:
            return self.fetch(name)
        except NotFound:
            return self.path(name)

    def fetch_again(self, name: str) -> Path:
        """As `fetch`, in place of a copy that was found damaged."""
        if self.is_shared and self._cache.record(name) is not None:
            self._manifest(name)  # nothing is removed that cannot be replaced
            with self._cache.locked(name):
                self._cache.remove(name)
        return self.fetch(name)

    def manifest(self, name: str) -> ArtifactManifest:
        """What is published under the name."""
        return self._manifest(checked_name(name))

    def has(self, name: str) -> bool:
        """Whether the artifact is there: on this machine, or in the store."""
        if self.path(name).exists():
            return True
        try:
            return self.is_shared and bool(self._manifest(name))
        except NotFound:
            return False

    def names(self, prefix: str = "") -> list[str]:
        """The names of what is published, sorted."""
        top = len("manifests/")
        found = self._remote.sizes(f"manifests/{prefix}".rstrip("/"))
        return [path[top:].removesuffix(".json") for path in found if path.endswith(".json")]

    def verify(self, name: str) -> ArtifactManifest:
        """Read all of a publication and compare it with its checksums; raises for what is wrong with it."""
        manifest = self.manifest(name)
        with self._some_of(manifest, lambda _: True):
            return manifest

    @contextmanager
    def some_files(self, name: str, wanted: Callable[[str], bool]) -> Iterator[Path]:
        """A temporary folder with those files of a publication whose path is `wanted`."""
        with self._some_of(self.manifest(name), wanted) as folder:
            yield folder

    # --- writing ---------------------------------------------------------------------------------------

    def publish(self, name: str, *, patient: bool = False, again: bool = False) -> None:
        """Make what lies on this machine under the name visible to all; nothing without an address.

        Parameters
        ----------
        name
            Name of the artifact.
        patient
            Try again for some seconds when the store is away.
        again
            Write what is there already.
        """
        if not self.is_shared:
            return
        for attempt in range(_ATTEMPTS if patient else 1):
            if attempt:
                time.sleep(_WAIT_SECONDS)
            try:
                with self._cache.locked(checked_name(name)):
                    self._publish(name, self.path(name), again=again)
                break
            except Unavailable:
                if attempt == (_ATTEMPTS if patient else 1) - 1:
                    raise
        self.make_room(keep=name)

    def publish_from(self, name: str, path: Path) -> None:
        """Publish another file or folder than that of this machine, whose copy is fetched when it is read."""
        with self._cache.locked(checked_name(name)):
            self._publish(name, path, again=False)

    def withdraw(self, name: str, *, only_own: bool = False) -> None:
        """Remove the artifact from the store and from this machine; other machines follow by `sweep`.

        Parameters
        ----------
        name
            Name of the artifact.
        only_own
            Leave a publication of another machine in the store.
        """
        with self._cache.locked(checked_name(name)):
            if self.is_shared:
                own = self._cache.record(name)
                published = self._published(name)
                if not only_own or (published is not None and own == published):
                    self._remote.remove(_manifest_path(name))
                    self._remote.remove_below(f"files/{name}")
            self._cache.remove(name)

    # --- keeping in order ------------------------------------------------------------------------------

    def note_use(self, name: str) -> None:
        """Say that the copy of this machine is in use, so that it is not removed to make room."""
        self._cache.note_use(name)

    def make_room(self, *, keep: str | None = None) -> list[str]:
        """Remove copies of this machine beyond RECSYS_ARTIFACTS__CACHE_GIB; their names."""
        removed = self._cache.make_room(self._settings.cache_gib, keep=keep)
        if removed:
            _log.info("copies of artifacts made room for others", artifacts=removed)
        return removed

    def cached_bytes(self) -> int:
        """How much the copies of this machine take."""
        return self._cache.size()

    def prepare(self) -> None:
        """Before a long work that publishes: ask the store whether it is there, and drop outdated copies."""
        if self.is_shared:
            self.check()
            self.sweep()

    def sweep(self) -> list[str]:
        """Remove copies of this machine whose publication was withdrawn or replaced; their names."""
        try:
            self._remote.read(MARKER)
        except FileNotFoundError:
            # an empty folder may be a disk that is not mounted: it says nothing about what was withdrawn
            return []
        removed = []
        for name in self._cache.names():
            with self._cache.locked(name):
                copy, published = self._cache.record(name), self._published(name)
                if copy is not None and (published is None or published.content != copy.content):
                    self._cache.remove(name)
                    removed.append(name)
        return removed

    def remove_unfinished(self) -> list[str]:
        """Remove what interrupted publications have left in the store; the names."""
        referenced = {self._manifest(name).content for name in self.names()}
        removed = set()
        for path, seconds in self._remote.ages("files").items():
            name, content = _owner_of(path)
            if content not in referenced and seconds > _UNFINISHED_SECONDS:
                self._remote.remove(path)
                removed.add(name)
        return sorted(removed)

    def local_names(self) -> list[str]:
        """The names of what lies on this machine and is, or is to be, published."""
        return list(_made_here(self._cache))

    def unpublished(self) -> list[str]:
        """The artifacts of this machine that the store does not have."""
        published = set(self.names())
        return [name for name in self.local_names() if name not in published]

    # --- steps -----------------------------------------------------------------------------------------

    def _manifest(self, name: str) -> ArtifactManifest:
        try:
            return ArtifactManifest.decoded(name, self._remote.read(_manifest_path(name)))
        except FileNotFoundError:
            raise NotFound(f"the artifact store {self.address} does not have {name}") from None
        except Invalid as error:
            raise Invalid(f"{error.message}, in the artifact store {self.address}; {_REPAIR}") from None

    def _published(self, name: str) -> ArtifactManifest | None:
        """The publication; None where there is none that can be read."""
        try:
            return self._manifest(name)
        except (NotFound, Invalid):
            return None

    def _bring(self, name: str) -> None:
        """Make the copy the newest publication."""
        manifest = self._manifest(name)
        deadline = time.monotonic() + _REPLACED_SECONDS
        while time.monotonic() < deadline:
            copy = self._cache.record(name)
            if copy is not None and copy.content == manifest.content:
                return
            with self._cache.staging(name) as staged:
                try:
                    self._download(manifest, staged, lambda _: True)
                except Invalid:
                    # it may have been replaced while it was read
                    newest = self._manifest(name)
                    if newest.content == manifest.content:
                        raise
                    manifest = newest
                else:
                    self._place(staged, manifest)
                    return
        raise Unavailable(
            f"{name} was replaced in the artifact store {self.address} each time that it was read, for "
            f"{_REPLACED_SECONDS} seconds; try again when fewer machines publish it"
        )

    def _place(self, staged: Path, manifest: ArtifactManifest) -> None:
        try:
            self._cache.place(staged, manifest)
        except OSError as error:
            raise Unavailable(
                f"{manifest.name} cannot be written to {self.path(manifest.name)} ({error.strerror}); make "
                "room, or lower RECSYS_ARTIFACTS__CACHE_GIB"
            ) from error

    def _download(self, manifest: ArtifactManifest, target: Path, wanted: Callable[[str], bool]) -> None:
        for file in manifest.files:
            if not wanted(file.path):
                continue
            place = target / file.path if file.path else target
            source = _file_path(manifest, file.path)
            try:
                self._remote.download(source, place, file.size)
            except FileNotFoundError:
                raise Invalid(
                    f"{source} is missing in the artifact store {self.address}; {_REPAIR}"
                ) from None
            if place.stat().st_size != file.size or digest_of_file(place) != file.sha256:
                raise Invalid(
                    f"{source} in the artifact store {self.address} is damaged (it does not match its "
                    f"checksum); {_REPAIR}"
                )

    @contextmanager
    def _some_of(self, manifest: ArtifactManifest, wanted: Callable[[str], bool]) -> Iterator[Path]:
        self._temporary.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".artifact-", dir=self._temporary) as folder:
            target = Path(folder) / Path(manifest.name).name
            self._download(manifest, target, wanted)
            yield target

    def _publish(self, name: str, path: Path, *, again: bool) -> None:
        self._remote.check()
        try:
            manifest = ArtifactManifest.of(name, secrets.token_hex(16), path)
            former = self._published(name)
            if former is not None and former.is_same_content(manifest) and not again:
                self._note_publication(former, path)
                return
            for file in manifest.files:
                source = path / file.path if file.path else path
                self._remote.upload(source, _file_path(manifest, file.path))
            expected = {_file_path(manifest, file.path): file.size for file in manifest.files}
            if self._remote.sizes(f"files/{name}/{manifest.content}") != expected:
                raise Unavailable(
                    f"{name} did not arrive whole in the artifact store {self.address}; try again"
                )
            self._remote.write(MARKER, b"{}\n")
            self._remote.write(_manifest_path(name), manifest.encoded())
        except FileNotFoundError as error:
            raise NotFound(f"there is no {path} to publish as {name}") from error
        self._note_publication(manifest, path)
        if former is not None:
            self._remote.remove_below(f"files/{name}/{former.content}")

    def _note_publication(self, manifest: ArtifactManifest, path: Path) -> None:
        if path == self.path(manifest.name):
            self._cache.write_record(manifest)


_REPAIR = "publish it again from a machine that has it (recsys artifacts publish --again), or train again"


def _manifest_path(name: str) -> str:
    return f"manifests/{name}.json"


def _file_path(manifest: ArtifactManifest, path: str) -> str:
    return f"files/{manifest.name}/{manifest.content}/{path or 'file'}"


def _owner_of(path: str) -> tuple[str, str]:
    """The name and the content of a file of the store."""
    parts = path.split("/")
    content = next((part for part in parts if len(part) == 32 and set(part) <= set("0123456789abcdef")), "")
    return path.removeprefix("files/").partition(f"/{content}")[0] if content else path, content


def _made_here(cache: LocalCache) -> Iterator[str]:
    """The names of what lies on this machine and is meant to be published."""
    for kind in ("models", "datasets"):
        folder = cache.path(kind)
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if not path.name.startswith(".") and (path.is_dir() or path.name == "current.json"):
                yield f"{kind}/{path.name}"
    reports = cache.path("reports")
    for pattern in ("*/report.html", "*/report.json", "*/figures"):
        for path in sorted(reports.glob(pattern)):
            yield path.relative_to(reports.parent).as_posix()
