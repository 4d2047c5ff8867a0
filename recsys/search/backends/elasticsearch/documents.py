"""Documents of one kind in Elasticsearch or OpenSearch: bulk writes, and comparison with the database."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.orm import Session

from recsys.search.queries import Differences

__all__ = ["DocumentKind", "IndexComparison"]

_BULK = 500
_PAGE = 10_000
_MISSING, _CONFLICT = 404, 409
# presence changes without an event, and is read from the users when it is displayed
_NOT_COMPARED = "is_online"


@dataclass(frozen=True)
class DocumentKind:
    """Products or users: how their rows are read, and how a row becomes a document."""

    name: str
    key: str
    mappings: Mapping[str, Any]
    document: Callable[[Mapping[Any, Any], str], dict[str, Any]]
    read: Callable[[Session, Sequence[int]], list[RowMapping]]
    every: Callable[[Session], Iterator[list[RowMapping]]]

    def write(
        self,
        client: Any,
        index: str,
        rows: Sequence[RowMapping],
        gone: Sequence[int],
        moment: int,
        *,
        language: str,
        refresh: bool,
    ) -> list[str]:
        """Write the rows, and delete documents.

        Parameters
        ----------
        client
            The API of the engine.
        index
            Name of the index.
        rows
            What to write; the moment of reading is the version (in microseconds), so an older reading loses.
        gone
            The ids to delete.
        moment
            The version as of which they are deleted, in microseconds.
        language
            Of the tokens.
        refresh
            Whether searches see the changes at once.

        Returns
        -------
        list of str
            A line for each refused document.
        """
        changes: list[list[dict[str, Any]]] = [
            [
                {"index": _target(index, row[self.key], int(row["as_of"].timestamp() * 1_000_000))},
                self.document(row, language),
            ]
            for row in rows
        ]
        changes += [[{"delete": _target(index, number, moment)}] for number in gone]
        errors = []
        for start in range(0, len(changes), _BULK):
            operations = [line for lines in changes[start : start + _BULK] for line in lines]
            response = client.bulk(body=operations, refresh=refresh)
            for item in response["items"]:
                (result,) = item.values()
                if "error" in result and result["status"] not in (_MISSING, _CONFLICT):
                    errors.append(f"{self.name} {result['_id']}: {result['error'].get('reason', 'refused')}")
        return errors


def _target(index: str, number: int, version: int) -> dict[str, Any]:
    return {"_index": index, "_id": str(number), "version": version, "version_type": "external_gte"}


class IndexComparison:
    """Compares the documents of the database, batch by batch, with those of the index by their ids."""

    def __init__(self, kind: DocumentKind, client: Any, alias: str, language: str) -> None:
        self._kind = kind
        self._client = client
        self._alias = alias
        self._language = language
        self._database_ids = array("q")
        self._missing: list[int] = []
        self._stale: list[int] = []
        self._superfluous: list[int] = []

    def take(self, rows: Sequence[RowMapping]) -> None:
        """Compare the next documents of the database, in the order of their ids."""
        expected = {row[self._kind.key]: self._kind.document(row, self._language) for row in rows}
        ids = {"ids": [str(number) for number in expected]}
        response = self._client.mget(index=self._alias, body=ids)
        indexed = {int(hit["_id"]): hit["_source"] for hit in response["docs"] if hit.get("found")}
        for number, document in sorted(expected.items()):
            self._database_ids.append(number)
            if number not in indexed:
                self._missing.append(number)
            elif _comparable(document) != _comparable(indexed[number]):
                self._stale.append(number)

    def take_rest(self, session: Session) -> None:
        """Compare what the index has beyond the database; it is read only if it has more documents."""
        indexed = self._client.count(index=self._alias)["count"]
        if indexed <= len(self._database_ids) - len(self._missing):
            return
        unknown = [number for number in self._ids() if not self._in_database(number)]
        for start in range(0, len(unknown), _BULK):
            batch = unknown[start : start + _BULK]
            # a document that was added during the comparison is in the database by now
            added = {row[self._kind.key] for row in self._kind.read(session, batch)}
            self._superfluous += [number for number in batch if number not in added]

    @property
    def differing(self) -> list[int]:
        """The ids of all that differ."""
        return sorted([*self._missing, *self._stale, *self._superfluous])

    def differences(self) -> Differences:
        """Numbers and examples of the documents that differ."""
        return Differences(
            len(self._database_ids) + len(self._superfluous),
            len(self._missing),
            len(self._superfluous),
            len(self._stale),
            tuple(self.differing[:10]),
        )

    def _in_database(self, number: int) -> bool:
        place = bisect_left(self._database_ids, number)
        return place < len(self._database_ids) and self._database_ids[place] == number

    def _ids(self) -> Iterator[int]:
        last = -1
        while True:
            body = {
                "query": {"range": {"id": {"gt": last}}},
                "sort": [{"id": "asc"}],
                "_source": False,
                "size": _PAGE,
                "track_total_hits": False,
            }
            response = self._client.search(index=self._alias, body=body)
            ids = [int(hit["_id"]) for hit in response["hits"]["hits"]]
            if not ids:
                return
            yield from ids
            last = max(ids)


def _comparable(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None and name != _NOT_COMPARED}
