"""Documents of one kind in Elasticsearch: written in bulk, and compared with the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping
from sqlalchemy.orm import Session

from recsys.search.queries import Differences

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

__all__ = ["Comparison", "Kind"]

_BULK = 500
_NOT_THERE, _NEWER_THERE = 404, 409
# presence changes by itself, and is read from the users when it is shown
_NOT_COMPARED = "is_online"


@dataclass(frozen=True)
class Kind:
    """Products or users: where they come from and what becomes of them."""

    name: str
    key: str
    mappings: Mapping[str, Any]
    document: Callable[[Mapping[Any, Any]], dict[str, Any]]
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
        refresh: bool,
    ) -> list[str]:
        """Write these and delete those that are gone (as of `moment`); a line for each that was refused.

        The moment of reading is the version (in microseconds), so an older reading loses.
        """
        given: list[list[dict[str, Any]]] = [
            [
                {"index": _target(index, row[self.key], int(row["as_of"].timestamp() * 1_000_000))},
                self.document(row),
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


class Comparison:
    """Walks over database and index side by side, in the order of the ids."""

    def __init__(self, kind: Kind, client: Elasticsearch, alias: str) -> None:
        self._kind = kind
        self._client = client
        self._alias = alias
        self._last = 0
        self._checked = self._missing = self._superfluous = self._stale = 0
        self.differing: list[int] = []

    def take(self, rows: Sequence[RowMapping]) -> None:
        """Compare the next documents of the database."""
        wanted = {row[self._kind.key]: self._kind.document(row) for row in rows}
        last = max(wanted)
        held = self._held({"gt": self._last, "lte": last}, len(rows) * 2)
        self._last = last
        for number in sorted(wanted.keys() | held.keys()):
            self._checked += 1
            if number not in held:
                self._missing += 1
            elif number not in wanted:
                self._superfluous += 1
            elif _plain(wanted[number]) != _plain(held[number]):
                self._stale += 1
            else:
                continue
            self.differing.append(number)

    def take_rest(self) -> None:
        """What the index has beyond the database's last."""
        while held := self._held({"gt": self._last}, 1000):
            self._checked += len(held)
            self._superfluous += len(held)
            self.differing += sorted(held)
            self._last = max(held)

    def told(self) -> Differences:
        """What was found."""
        return Differences(
            self._checked, self._missing, self._superfluous, self._stale, tuple(self.differing[:10])
        )

    def _held(self, ids: Mapping[str, int], size: int) -> dict[int, dict[str, Any]]:
        answer = self._client.search(
            index=self._alias,
            query={"range": {"id": dict(ids)}},
            sort=[{"id": "asc"}],
            size=min(size, 10_000),
        )
        return {int(row["_id"]): row["_source"] for row in answer["hits"]["hits"]}


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None and name != _NOT_COMPARED}
