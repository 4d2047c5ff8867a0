"""Documents of one kind in Elasticsearch: written in bulk, and compared with the database."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping
from sqlalchemy.orm import Session

from recsys.search.queries import Differences

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

__all__ = ["DocumentKind", "IndexComparison"]

_BULK = 500
_PAGE = 10_000
_NOT_THERE, _NEWER_THERE = 404, 409
# presence changes by itself, and is read from the users when it is shown
_NOT_COMPARED = "is_online"


@dataclass(frozen=True)
class DocumentKind:
    """Products or users: where they come from and what becomes of them."""

    name: str
    key: str
    mappings: Mapping[str, Any]
    document: Callable[[Mapping[Any, Any], str], dict[str, Any]]
    read: Callable[[Session, Sequence[int]], list[RowMapping]]
    every: Callable[[Session], Iterator[list[RowMapping]]]

    def write(
        self,
        client: Elasticsearch,
        index: str,
        rows: Sequence[RowMapping],
        gone: Sequence[int],
        moment: int,
        *,
        language: str,
        refresh: bool,
    ) -> list[str]:
        """Write these and delete those that are gone (as of `moment`); a line for each that was refused.

        The moment of reading is the version (in microseconds), so an older reading loses.
        """
        given: list[list[dict[str, Any]]] = [
            [
                {"index": _target(index, row[self.key], int(row["as_of"].timestamp() * 1_000_000))},
                self.document(row, language),
            ]
            for row in rows
        ]
        given += [[{"delete": _target(index, one, moment)}] for one in gone]
        errors = []
        for start in range(0, len(given), _BULK):
            some = [part for one in given[start : start + _BULK] for part in one]
            answer = client.bulk(operations=some, refresh=refresh)
            for item in answer["items"]:
                ((_, told),) = item.items()
                if "error" in told and told["status"] not in (_NOT_THERE, _NEWER_THERE):
                    errors.append(f"{self.name} {told['_id']}: {told['error'].get('reason', 'refused')}")
        return errors


def _target(index: str, number: int, version: int) -> dict[str, Any]:
    return {"_index": index, "_id": str(number), "version": version, "version_type": "external_gte"}


class IndexComparison:
    """Takes the documents of the database as they come, and asks the index for the same ones by their ids."""

    def __init__(self, kind: DocumentKind, client: Elasticsearch, alias: str, language: str) -> None:
        self._kind = kind
        self._client = client
        self._alias = alias
        self._language = language
        self._known = array("q")
        self._missing: list[int] = []
        self._stale: list[int] = []
        self._superfluous: list[int] = []

    def take(self, rows: Sequence[RowMapping]) -> None:
        """Compare the next documents of the database, in the order of their ids."""
        wanted = {row[self._kind.key]: self._kind.document(row, self._language) for row in rows}
        answer = self._client.mget(index=self._alias, ids=[str(number) for number in wanted])
        held = {int(one["_id"]): one["_source"] for one in answer["docs"] if one.get("found")}
        for number, document in sorted(wanted.items()):
            self._known.append(number)
            if number not in held:
                self._missing.append(number)
            elif _plain(document) != _plain(held[number]):
                self._stale.append(number)

    def take_rest(self, session: Session) -> None:
        """What the index has beyond the database; it is only walked through when it has more."""
        held = self._client.count(index=self._alias)["count"]
        if held <= len(self._known) - len(self._missing):
            return
        suspects = [number for number in self._ids() if not self._is_known(number)]
        for start in range(0, len(suspects), _BULK):
            some = suspects[start : start + _BULK]
            # whatever came while the others were compared is no stranger
            there = {row[self._kind.key] for row in self._kind.read(session, some)}
            self._superfluous += [number for number in some if number not in there]

    @property
    def differing(self) -> list[int]:
        """The ids of all that differ."""
        return sorted([*self._missing, *self._stale, *self._superfluous])

    def told(self) -> Differences:
        """What was found."""
        return Differences(
            len(self._known) + len(self._superfluous),
            len(self._missing),
            len(self._superfluous),
            len(self._stale),
            tuple(self.differing[:10]),
        )

    def _is_known(self, number: int) -> bool:
        place = bisect_left(self._known, number)
        return place < len(self._known) and self._known[place] == number

    def _ids(self) -> Iterator[int]:
        last = -1
        while True:
            answer = self._client.search(
                index=self._alias,
                query={"range": {"id": {"gt": last}}},
                sort=[{"id": "asc"}],
                source=False,
                size=_PAGE,
                track_total_hits=False,
            )
            found = [int(row["_id"]) for row in answer["hits"]["hits"]]
            if not found:
                return
            yield from found
            last = max(found)


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None and name != _NOT_COMPARED}
