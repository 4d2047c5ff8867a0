"""A connection of psycopg to all databases of a shop: each statement goes where its tables are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, cast

import psycopg
from psycopg import sql

from recsys.database.addresses import other_urls
from recsys.database.servers.placement import ServerName, server_of_text

__all__ = ["RoutedConnection", "connected"]


class RoutedConnection:
    """What tests use of a connection.

    Parameters
    ----------
    shop
        The address of the shop's database.
    others
        The addresses of those that hold some of its tables.
    """

    def __init__(self, shop: str, others: Mapping[ServerName, str], *, autocommit: bool = False) -> None:
        self._urls: dict[ServerName | None, str] = {None: shop, **others}
        self._autocommit = autocommit
        self._open: dict[ServerName | None, psycopg.Connection] = {}
        self._ends = ExitStack()

    def __enter__(self) -> RoutedConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.__exit__(kind, error, trace)

    def execute(self, query: Any, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Run a statement where its tables are."""
        return self._at(query).execute(query, parameters)

    def executemany(self, query: Any, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        self._at(query).cursor().executemany(query, rows)

    def cursor(self) -> _Cursor:
        """What takes the place of a cursor."""
        return _Cursor(self)

    def commit(self) -> None:
        """Commit everywhere."""
        for each in self._open.values():
            each.commit()

    def rollback(self) -> None:
        """Roll back everywhere."""
        for each in self._open.values():
            each.rollback()

    def _at(self, query: Any) -> psycopg.Connection:
        written = query.as_string() if isinstance(query, sql.Composable) else query
        name = server_of_text((written.decode() if isinstance(written, bytes) else written).replace('"', ""))
        name = name if name in self._urls else None
        if name not in self._open:
            made = psycopg.connect(self._urls[name], autocommit=self._autocommit)
            self._open[name] = self._ends.enter_context(made)
        return self._open[name]


class _Cursor:
    """A part of a connection, whose end is not that of the connection."""

    def __init__(self, connection: RoutedConnection) -> None:
        self.execute = connection.execute
        self.executemany = connection.executemany

    def __enter__(self) -> _Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing ends."""


def connected(url: str, *, autocommit: bool = False) -> psycopg.Connection:
    """A connection to the rows of the shop at `url`, in whichever databases the settings say they lie."""
    others = {name: f"postgresql://{each.partition('://')[2]}" for name, each in other_urls().items()}
    if not others:
        return psycopg.connect(url, autocommit=autocommit)
    return cast("psycopg.Connection", RoutedConnection(url, others, autocommit=autocommit))
