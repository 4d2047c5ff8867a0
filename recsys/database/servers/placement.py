"""Which tables may lie on a database server of their own, and which of them a statement touches."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal, get_args

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import TextClause

__all__ = ["SERVER_NAMES", "ServerName", "is_on", "server_of", "server_of_statement", "server_of_text"]

ServerName = Literal["analytics", "notifications", "recommendations"]
"""A server beside the shop's."""
SERVER_NAMES: tuple[ServerName, ...] = get_args(ServerName)

# Tables that the work of the whole program needs lie in the documented schema of analytics, and stay with the
# shop's other tables: an event is published, and noted as handled, in the transaction of its cause.
_STAYS = frozenset(
    f"analytics_db.{table}"
    for table in ("outbox", "inbox", "job_runs", "import_runs", "search_counts", "search_clicks")
    # what a category allows is a part of the catalogue
) | {"recommendations_db.category_policies"}
_SCHEMAS: dict[str, ServerName] = {f"{name}_db": name for name in SERVER_NAMES}
_TABLE = re.compile(r"\b([a-z]+_db)\.([a-z_]+)")
_SEQUENCE = "_id_seq"


def server_of(table: str) -> ServerName | None:
    """The server that the table (`schema.name`) may lie on; None: always the shop's own."""
    return None if table in _STAYS else _SCHEMAS.get(table.partition(".")[0])


def is_on(name: ServerName, tables: Iterable[str]) -> list[str]:
    """Those of the tables that the server `name` holds."""
    return [table for table in tables if server_of(table) == name]


@lru_cache(maxsize=4096)
def server_of_text(statement: str) -> ServerName | None:
    """The server that holds the tables that the text of a statement names.

    Raises
    ------
    RuntimeError
        They are tables of several servers; no server can answer it.
    """
    return _only(
        server_of(f"{schema}.{name.removesuffix(_SEQUENCE)}") for schema, name in _TABLE.findall(statement)
    )


def server_of_statement(clause: Any, mapper: Mapper[Any] | None) -> ServerName | None:
    """The server of a statement, or else of the rows of a mapping; raises like `server_of_text`."""
    if isinstance(clause, TextClause) and _TABLE.search(clause.text):
        return server_of_text(clause.text)
    tables = set() if clause is None else _tables_of(clause)
    if not tables and mapper is not None:
        tables = {table.fullname for table in mapper.tables if isinstance(table, Table)}
    return _only(map(server_of, tables))


def _only(servers: Iterable[ServerName | None]) -> ServerName | None:
    found = set(servers)
    if len(found) > 1:
        names = ", ".join(sorted(each or "the shop's" for each in found))
        raise RuntimeError(f"a statement touches tables of several servers ({names}); make one of each")
    return found.pop() if found else None


def _tables_of(clause: Any) -> set[str]:
    found = set()
    for each in visitors.iterate(clause):
        table = each.table if isinstance(each, Column) else each
        if isinstance(table, Table):
            found.add(table.fullname)
    return found
