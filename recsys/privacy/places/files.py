"""What of a person lies in which folder below `var/`: snapshots, queued records, reports, logs and others.

The data of the embedded servers is not a folder of this list: what PostgreSQL and Valkey keep is erased by
their own commands, and their files follow (`docs/operations/privacy.md`).
"""

from __future__ import annotations

import html
import json
import mmap
import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from recsys import embedded
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.types import InteractionType
from recsys.privacy.person import Person
from recsys.privacy.places.redis_keys import is_of
from recsys.settings import Settings
from recsys.write_buffer import spool

__all__ = [
    "FILE_PLACES",
    "NOT_PERSONAL_FOLDERS",
    "SNAPSHOT_FILES",
    "FilePlace",
    "clean_text",
    "figures_name",
    "has_person",
    "learned_from",
    "places_in_text",
]

_CURRENT = "current.json"
_COLUMNS_OF_REFUSED = [b"file", b"line", b"column", b"reason", b"row"]
_COLUMNS_OF_USERS = (b"user", b"username", b"user_id", b"customer", b"customer_id")


class FilePlace(ABC):
    """What is kept of people in files of one kind."""

    @abstractmethod
    def read(self, settings: Settings, person: Person) -> list[Any]:
        """What is there of the person, as JSON values."""

    @abstractmethod
    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        """Remove it; how many files or records. Adds the files that could not be cleaned, and why."""


class _Snapshots(FilePlace):
    """Snapshots (`features.dataset`) that contain the person: deleted whole, and built again without them."""

    def read(self, settings: Settings, person: Person) -> list[Any]:
        return [{"snapshot": folder.name} for folder in self._folders(settings, person)]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        folders = self._folders(settings, person)
        removed = _each(_remove, folders, failures)
        current = settings.var / "datasets" / _CURRENT
        if current.is_file() and not _names_a_folder(current):
            current.unlink()
        return removed

    def _folders(self, settings: Settings, person: Person) -> list[Path]:
        datasets = settings.var / "datasets"
        # also what a build that was killed left behind, a level deeper
        found = {path.parent for path in datasets.rglob("users.npy")}
        return sorted(folder for folder in found if has_person(folder, person))


class _Figures(FilePlace):
    """Figures of reports that name their users, as programs before version 0030 wrote them: deleted whole.

    They are no part of the report; a training that would have read them fits its champion again.
    """

    def read(self, settings: Settings, person: Person) -> list[Any]:
        return [{"figures": folder.parent.name} for folder in self._folders(settings, person)]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        return _each(_remove, self._folders(settings, person), failures)

    def _folders(self, settings: Settings, person: Person) -> list[Path]:
        folders = sorted((settings.var / "reports").glob("*/figures"))
        return [folder for folder in folders if figures_name(folder, person)]


class _Posts(FilePlace):
    """Posts in the files of this machine, of processes that ended.

    Those of a running process are dropped when they are stored.
    """

    def read(self, settings: Settings, person: Person) -> list[Any]:
        return [
            {"file": path.name}
            for path in _waiting(settings, "posts")
            if person.pattern.search(path.read_bytes())
        ]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        def without(line: bytes) -> bytes | None:
            try:
                return None if person.is_named_in(json.loads(line)) else line
            except ValueError:
                return None if person.pattern.search(line) else line

        return _each(lambda path: spool.rewrite(path, without), _waiting(settings, "posts"), failures)


class _AnsweredLists(FilePlace):
    """Batches of answered lists in the files of this machine, of processes that ended."""

    def read(self, settings: Settings, person: Person) -> list[Any]:
        return [
            each._asdict() | {"shown_at": each.shown_at.isoformat()}
            for path in _waiting(settings, "exposures")
            for line in path.read_bytes().splitlines()
            for each in _unpacked(line)
            if is_of(each, person)
        ]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        def without(line: bytes) -> bytes | None:
            others = [each for each in _unpacked(line) if not is_of(each, person)]
            return impressions.pack(others) if others else None

        return _each(lambda path: spool.rewrite(path, without), _waiting(settings, "exposures"), failures)


class _Texts(FilePlace):
    """Text files of any kind: what names the person is overwritten in its place, as long as it was.

    So a process that appends to the file meanwhile loses nothing. Of evaluation reports the person's example
    is taken out.
    """

    def __init__(self, *folders: str) -> None:
        self._folders = folders

    def read(self, settings: Settings, person: Person) -> list[Any]:
        return [
            {"file": str(path.relative_to(settings.var)) if path.is_relative_to(settings.var) else path.name}
            for path in self._files(settings)
            if places_in_text(path, person)
        ]

    def erase(self, settings: Settings, person: Person, failures: list[str]) -> int:
        return _each(lambda path: clean_text(path, person), self._files(settings), failures)

    def _files(self, settings: Settings) -> Iterator[Path]:
        for folder in self._folders:
            for path in sorted((settings.var / folder).rglob("*")):
                if path.is_file() and not path.is_symlink() and _is_text(path):
                    yield path


class _Logs(_Texts):
    """The logs of the embedded servers: PostgreSQL writes statements that failed, with their values."""

    def _files(self, settings: Settings) -> Iterator[Path]:
        for server in embedded.status(settings):
            if server.log is not None and Path(server.log).is_file():
                yield Path(server.log)


class _OtherFiles(_Texts):
    """Text files in folders that are in no other place, such as what people export to."""

    def _files(self, settings: Settings) -> Iterator[Path]:
        named = {*_OWN_FOLDERS, *NOT_PERSONAL_FOLDERS}
        for top in sorted(settings.var.iterdir()) if settings.var.is_dir() else ():
            if top.name in named or top.is_symlink():
                continue
            for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if path.is_file() and not path.is_symlink() and _is_text(path):
                    yield path


_OWN_FOLDERS = ("datasets", "spool", "reports", "mlflow", "imports", "jobs", "tuning")
NOT_PERSONAL_FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "models": "fitted models hold numbers of users until they are trained again (`privacy models`)",
        "run": "keys, addresses, process numbers, and what an erasure that has not ended needs",
        "servers": "the data of the embedded servers, erased by their own commands",
    }
)
"""Folders below `var/` without a place, and why."""

SNAPSHOT_FILES = frozenset({"users.npy", "event_session.npy"})
"""The files of a snapshot that say who is in it."""

FILE_PLACES: Mapping[str, FilePlace] = MappingProxyType(
    {
        "var/datasets": _Snapshots(),
        "var/spool/posts": _Posts(),
        "var/spool/exposures": _AnsweredLists(),
        "var/reports": _Texts("reports"),
        "figures of reports": _Figures(),
        "var/mlflow": _Texts("mlflow"),
        "var/imports": _Texts("imports"),
        "var/jobs": _Texts("jobs"),
        "var/tuning": _Texts("tuning"),
        "logs of the embedded servers": _Logs(),
        "other files of var": _OtherFiles(),
    }
)
"""The places in files of this machine."""


def figures_name(folder: Path, person: Person) -> bool:
    """Whether the figures of a report name the person among their users."""
    return any(_contains(path, person.user_id) for path in folder.glob("users.*.npy"))


def learned_from(folder: Path, person: Person) -> bool:
    """Whether the artifact of a model contains the number of the person; False where it cannot be read."""
    return any(_contains(path, person.user_id) for path in folder.rglob("*.npy") if "user" in path.name)


def _each(clean: Callable[[Path], int], paths: Iterable[Path], failures: list[str]) -> int:
    """The sum of what was done to the paths; a path that fails does not keep the others."""
    done = 0
    for path in paths:
        try:
            done += clean(path)
        except (OSError, ValueError) as error:
            failures.append(f"{path}: {error}")
    return done


def _remove(folder: Path) -> int:
    shutil.rmtree(folder)
    return 1


def has_person(folder: Path, person: Person) -> bool:
    """Whether a snapshot of which `SNAPSHOT_FILES` are there contains the person."""
    if _contains(folder / "users.npy", person.user_id):
        return True
    sessions = folder / "event_session.npy"
    if not person.session_hashes or not sessions.is_file():
        return False
    hashes = np.load(sessions, mmap_mode="r", allow_pickle=False)
    return bool(np.isin(hashes, np.array(person.session_hashes, dtype=np.int64)).any())


def _contains(path: Path, user_id: int) -> bool:
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        # what cannot be read may contain anybody
        return path.name == "users.npy"
    return ids.dtype.kind in "iu" and bool((ids == user_id).any())


def _names_a_folder(current: Path) -> bool:
    try:
        return (current.parent / str(json.loads(current.read_text(encoding="utf-8"))["folder"])).is_dir()
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _waiting(settings: Settings, kind: str) -> list[Path]:
    return sorted((settings.var / "spool" / kind).glob("*.waiting"))


def _unpacked(line: bytes) -> list[impressions.Answered]:
    try:
        return impressions.unpack(line)
    except ValueError:
        return []


def _is_text(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            beginning = file.read(4096)
    except OSError:
        # who looks for a person in it reports it
        return True
    return bool(beginning) and b"\0" not in beginning


def places_in_text(path: Path, person: Person) -> list[tuple[int, bytes]]:
    """Where a file that is not empty names the person, and with which bytes."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        places = [(match.start(), match.group()) for match in person.pattern.finditer(content)]
        if path.suffix == ".csv" and person.usernames:
            places += _usernames_in(content, person.usernames)
    return places


def _usernames_in(table: mmap.mmap, usernames: Collection[str]) -> Iterator[tuple[int, bytes]]:
    """Where usernames are in a table of text: in its column of users, or in rows that an import refused."""
    header = table.readline()
    columns = [name.strip(b' "\r\n\xef\xbb\xbf').lower() for name in header.split(b",")]
    is_refused = columns == _COLUMNS_OF_REFUSED
    column = next((columns.index(name) for name in _COLUMNS_OF_USERS if name in columns), None)
    if is_refused:
        # which field of the row is the user is not known; a type of interaction or a number is none
        usernames = [name for name in usernames if name not in set(InteractionType) and not name.isdigit()]
        column = len(columns) - 1
    if column is None or not usernames:
        return
    names = "|".join(map(re.escape, usernames))
    value = '(".*)$' if is_refused else f'"?({names})"?(?=,|\\r?$)'
    row = re.compile(
        f'^(?:(?:"[^"\\n]*"|[^",\\n]*),){{{column}}}{value}'.encode(), re.IGNORECASE | re.MULTILINE
    )
    field = re.compile(f'(?<=[",])(?:{names})(?=[",])(?!"+\\s*:)'.encode(), re.IGNORECASE)
    for match in row.finditer(table, len(header)):
        if not is_refused:
            yield match.start(1), match.group(1)
        else:
            start = match.start(1)
            yield from ((start + each.start(), each.group()) for each in field.finditer(match.group(1)))


def clean_text(path: Path, person: Person) -> int:
    """Overwrite what names the person in a file of text; 1 where anything did."""
    has_lost_example = path.suffix in (".html", ".json") and _take_example_out(path, person)
    places = places_in_text(path, person)
    if places:
        with path.open("r+b") as file:
            for start, text in places:
                file.seek(start)
                file.write(_mask(text))
            file.flush()
            os.fsync(file.fileno())
    return int(has_lost_example or bool(places))


def _take_example_out(path: Path, person: Person) -> bool:
    content = path.read_bytes()
    changed = _without_example(path, content, person)
    if changed != content:
        written = path.with_name(f".{path.name}.{os.getpid()}")
        written.write_bytes(changed)
        os.replace(written, path)
    return changed != content


def _mask(text: bytes) -> bytes:
    """As many bytes that say nothing; of a number, bytes that JSON takes for a number."""
    return b" " * (len(text) - 1) + b"0" if text.isdigit() else b"x" * len(text)


def _without_example(path: Path, content: bytes, person: Person) -> bytes:
    """A report (`training.report`) without the example that is the person; everything else as it is."""
    if path.suffix == ".html":
        names = [str(person.user_id), *person.usernames]
        shown = "|".join(re.escape(html.escape(each)) for each in names)
        example = (
            f'<details class="example"><summary>User (?:{shown}),.*?(?=<details class="example">|</section>)'
        )
        return re.sub(example.encode(), b"", content, flags=re.DOTALL | re.IGNORECASE)
    if path.suffix != ".json" or b'"examples"' not in content:
        return content
    try:
        report = json.loads(content)
        examples = report["examples"]
        others = [each for each in examples if each["user"] != person.user_id]
        if len(others) == len(examples):
            return content
        report["examples"] = others
        for model in report["models"]:
            model["examples"].pop(str(person.user_id), None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return content
    return json.dumps(report, indent=1, ensure_ascii=False).encode()
