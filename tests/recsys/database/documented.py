"""The documented DDL of `docs/spec/schema.sql`, in PostgreSQL schemas named after its clusters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

SOURCE = Path(__file__).resolve().parents[3] / "docs" / "spec" / "schema.sql"
HEADING = re.compile(r"^-- ### \d+\. (\w+)$", re.MULTILINE)
CREATES = re.compile(r"^CREATE TABLE (\w+) \(")
REFERENCES = re.compile(r"\bREFERENCES (\w+)\s*\(")


@dataclass(frozen=True)
class DocumentedTable:
    """One `CREATE TABLE` of the document, with every table name made `cluster.table`."""

    name: str
    statement: str
    refers_to: frozenset[str]


def documented_tables(text: str | None = None) -> list[DocumentedTable]:
    """The tables, each after those it refers to. Raises ValueError for whatever cannot be understood."""
    written = _statements(SOURCE.read_text(encoding="utf-8") if text is None else text)
    clusters: dict[str, list[str]] = {}
    for cluster, table, _ in written:
        if cluster in clusters.setdefault(table, []):
            raise ValueError(f"{cluster}.{table} is documented twice")
        clusters[table].append(cluster)
    return _in_order(
        [_qualified(cluster, table, statement, clusters) for cluster, table, statement in written]
    )


def create_documented(connection: psycopg.Connection) -> None:
    """Build all of it; the caller decides whether it stays."""
    tables = documented_tables()
    for cluster in dict.fromkeys(table.name.partition(".")[0] for table in tables):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(cluster)))
    for table in tables:
        connection.execute(table.statement.encode())


def _statements(text: str) -> list[tuple[str, str, str]]:
    parts = HEADING.split(text)
    found = []
    for cluster, block in zip(parts[1::2], parts[2::2], strict=True):
        for statement in re.sub(r"--[^\n]*", "", block).split(";"):
            if statement := statement.strip():
                match = CREATES.match(statement)
                if match is None:
                    raise ValueError(f"{cluster}: expected CREATE TABLE, not {statement[:60]!r}")
                found.append((cluster, match[1], statement))
    return found


def _qualified(cluster: str, table: str, statement: str, clusters: dict[str, list[str]]) -> DocumentedTable:
    refers_to = set()

    def target(match: re.Match[str]) -> str:
        owners = clusters.get(match[1], [])
        owner = cluster if cluster in owners else owners[0] if len(owners) == 1 else None
        if owner is None:
            raise ValueError(
                f"{cluster}.{table} refers to {match[1]}, documented in: {owners or 'no cluster'}"
            )
        refers_to.add(f"{owner}.{match[1]}")
        return f"REFERENCES {owner}.{match[1]}("

    name = f"{cluster}.{table}"
    body = REFERENCES.sub(target, statement)
    return DocumentedTable(name, CREATES.sub(f"CREATE TABLE {name} (", body), frozenset(refers_to - {name}))


def _in_order(tables: list[DocumentedTable]) -> list[DocumentedTable]:
    ordered: dict[str, DocumentedTable] = {}
    waiting = list(tables)
    while waiting:
        ready = [table for table in waiting if table.refers_to <= ordered.keys()]
        if not ready:
            raise ValueError(f"these tables refer to each other in a circle: {[t.name for t in waiting]}")
        ordered.update((table.name, table) for table in ready)
        waiting = [table for table in waiting if table.name not in ordered]
    return list(ordered.values())
