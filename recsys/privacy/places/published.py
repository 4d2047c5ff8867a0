"""What of a person is published in the store of artifacts that several hosts read: snapshots and reports.

Copies of it on other machines are removed there by `ArtifactStore.sweep`, within a minute while one serves.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from recsys.artifacts.store import ArtifactStore, artifact_store
from recsys.errors import Invalid, NotFound, RecsysError
from recsys.privacy.person import Person
from recsys.privacy.places.files import (
    FILE_PLACES,
    SNAPSHOT_FILES,
    FilePlace,
    clean_text,
    figures_name,
    has_person,
    places_in_text,
)
from recsys.settings import Settings

__all__ = ["ALL_FILE_PLACES"]

_CURRENT = "datasets/current.json"
_TEXTS = (".html", ".json")
_FIGURES = "/figures"


class _Published(FilePlace):
    """Snapshots and figures with the person are withdrawn; reports that name them are published without.

    The copies of this machine are cleaned as files of `var/`, before this place.
    """

    def read(self, settings: Settings, person: Person) -> list[Any]:
        store = artifact_store(settings)
        if not store.is_shared:
            return []
        return [{"artifact": name} for name in self._naming(store, person)]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        store, done = artifact_store(settings), 0
        if not store.is_shared:
            return 0
        try:
            for name in self._naming(store, person):
                if name.startswith("datasets/") or name.endswith(_FIGURES):
                    store.withdraw(name)
                else:
                    _publish_without(store, name, person)
                done += 1
            _forget_a_missing_snapshot(store)
        except RecsysError as error:
            failures.append(error.message)
        return done

    def _naming(self, store: ArtifactStore, person: Person) -> Iterator[str]:
        for name in store.names("datasets"):
            if name != _CURRENT and _is_in_snapshot(store, name, person):
                yield name
        for name in store.names("reports"):
            if name.endswith(_TEXTS) and _is_in_report(store, name, person):
                yield name
            if name.endswith(_FIGURES) and _is_in_figures(store, name, person):
                yield name


def _is_in_snapshot(store: ArtifactStore, name: str, person: Person) -> bool:
    try:
        with store.some_files(name, lambda path: path in SNAPSHOT_FILES) as folder:
            return has_person(folder, person)
    except NotFound:
        return False
    except Invalid:
        # what is damaged may contain anybody, and nobody can learn from it
        return True


def _is_in_figures(store: ArtifactStore, name: str, person: Person) -> bool:
    try:
        with store.some_files(name, lambda path: path.startswith("users.")) as folder:
            return figures_name(folder, person)
    except NotFound:
        return False
    except Invalid:
        return True


def _is_in_report(store: ArtifactStore, name: str, person: Person) -> bool:
    try:
        with _copy(store, name) as path:
            named = path.stat().st_size > 0 and bool(places_in_text(path, person))
            # of a report the person's example goes, which names no more than a number
            return named or bool(clean_text(path, person))
    except NotFound:
        return False
    except Invalid:
        return True


def _publish_without(store: ArtifactStore, name: str, person: Person) -> None:
    try:
        with _copy(store, name) as path:
            clean_text(path, person)
            store.publish_from(name, path)
    except Invalid:
        # what is damaged cannot be cleaned
        store.withdraw(name)


@contextmanager
def _copy(store: ArtifactStore, name: str) -> Iterator[Path]:
    """A published file beside its copy of this machine, to be changed."""
    with store.some_files(name, lambda _: True) as path, tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copy(path, folder))


def _forget_a_missing_snapshot(store: ArtifactStore) -> None:
    try:
        with _copy(store, _CURRENT) as path:
            folder = str(json.loads(path.read_bytes())["folder"])
        store.manifest(f"datasets/{folder}")
    except (NotFound, Invalid, ValueError, KeyError, TypeError):
        store.withdraw(_CURRENT)


ALL_FILE_PLACES: Mapping[str, FilePlace] = MappingProxyType({**FILE_PLACES, "artifact store": _Published()})
"""The places in files, of this machine and of the store that it shares."""
