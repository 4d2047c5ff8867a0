"""What a migration takes from the programs of the version before: the difference of two catalogues."""

from __future__ import annotations

import re

from tests.recsys.database import catalog

__all__ = ["Built", "restrictions"]

Built = tuple[catalog.Facts, dict[str, str]]
"""Facts of tables, and indexes by name (`tests.recsys.database.catalog`)."""

_LOCAL_COLUMNS = re.compile(r"(?:FOREIGN KEY|UNIQUE|PRIMARY KEY) \(([^)]*)\)")


def restrictions(before: Built, after: Built) -> list[str]:
    """One line for each change that can make a program of the version before fail, or misread.

    Not counted: new tables and sequences, new columns that may be left out of an INSERT, constraints of such
    columns alone, nullability that is lifted, defaults that are added, and indexes that are not unique.
    """
    lines = []
    for (table, what), value in before[0].items():
        now = after[0].get((table, what))
        lifted = value == "not null" and now == "null"
        added = what.endswith(": default") and value == "none" and now is not None
        if now != value and not lifted and not added:
            lines.append(f"{table} {what}: {value} becomes {now or 'nothing'}")
    tables = catalog.tables(before[0])
    for (table, what), value in after[0].items():
        if table in tables and (table, what) not in before[0]:
            lines += _of_new(table, what, value, before[0], after[0])
    for name, definition in before[1].items():
        if "UNIQUE" in definition and after[1].get(name) != definition:
            lines.append(f"index {name}: {definition} becomes {after[1].get(name, 'nothing')}")
    for name, definition in after[1].items():
        table = definition.partition(" ON ")[2].partition(" ")[0]
        if "UNIQUE" in definition and name not in before[1] and table in tables:
            lines.append(f"index {name}: new, and unique on a table that is there")
    return sorted(lines)


def _of_new(table: str, what: str, value: str, before: catalog.Facts, after: catalog.Facts) -> list[str]:
    if what.startswith("trigger "):
        return [f"{table} {what}: new on a table that is there"]
    if what.startswith("constraint ") and _columns(value) & _names(table, before):
        return [f"{table} {what}: new on columns that are there: {value}"]
    if what.endswith(": nullability") and value == "not null":
        column = what.removesuffix(": nullability")
        filled = after[table, f"{column}: default"] != "none" or after[table, f"{column}: identity, sequence"]
        return [] if filled else [f"{table} {column}: new, not null and without a default"]
    return []


def _columns(definition: str) -> set[str]:
    """The words of a constraint's definition that may be columns of its own table."""
    local = _LOCAL_COLUMNS.search(definition)
    return set(re.findall(r"\w+", local[1] if local else definition))


def _names(table: str, facts: catalog.Facts) -> set[str]:
    return {
        what.removeprefix("column ").removesuffix(": type")
        for owner, what in facts
        if owner == table and what.startswith("column ") and what.endswith(": type")
    }
