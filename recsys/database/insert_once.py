"""Idempotent inserts: rows that carry the event id of their sender, each stored once, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Numeric, String, Table, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, NUMERIC, VARCHAR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from recsys.database.base import Base

__all__ = ["EventRow", "insert_once"]


@dataclass(frozen=True)
class EventRow:
    """One row to insert: its event id, and its values by column name, without `id`."""

    event_id: UUID
    values: Mapping[str, Any]


def insert_once(
    session: Session, table: type[Base], event_table: type[Base], rows: Sequence[EventRow]
) -> dict[int, int]:
    """Insert the rows whose event id is new.

    Parameters
    ----------
    table
        Where the rows go; its primary key is a serial column `id`.
    event_table
        Where their event ids go: a column `event_id` and one foreign key to `table`.
    rows
        All have values for the same columns.

    Returns
    -------
    dict of int to int
        Position in `rows` to the id of the inserted row; a repeated row has no entry. Of two rows with one
        event id the first is inserted.
    """
    if not rows:
        return {}
    names = tuple(rows[0].values)
    values: dict[str, Any] = {name: [row.values[name] for row in rows] for name in names}
    values["place"] = list(range(len(rows)))
    values["event_id"] = [row.event_id for row in rows]
    stored = session.execute(_statement(table, event_table, names), values)
    return {row.place: row.id for row in stored}


@lru_cache(maxsize=32)
def _statement(table: type[Base], event_table: type[Base], names: tuple[str, ...]) -> TextClause:
    # Both rows of an event are written by one statement, so that the reference between them is whole at its
    # end. The order by event_id keeps two batches with the same events from waiting for each other in a
    # circle.
    target, events = _table(table), _table(event_table)
    (reference,) = (
        column.name
        for column in events.columns
        if any(key.column is target.columns["id"] for key in column.foreign_keys)
    )
    columns = ", ".join(names)
    return text(
        f"""
        WITH incoming AS MATERIALIZED (
            SELECT nextval('{target.fullname}_id_seq')::integer AS id, given.*
            FROM unnest(:place, :event_id, {", ".join(f":{name}" for name in names)})
                AS given(place, event_id, {columns})
            ORDER BY event_id, place
        ), fresh AS (
            INSERT INTO {events.fullname} (event_id, {reference})
            SELECT event_id, id FROM incoming ORDER BY event_id, place
            ON CONFLICT (event_id) DO NOTHING
            RETURNING {reference} AS id
        ), stored AS (
            INSERT INTO {target.fullname} (id, {columns})
            SELECT id, {columns} FROM incoming JOIN fresh USING (id)
            RETURNING id
        )
        SELECT place, id FROM incoming JOIN stored USING (id)
        """  # noqa: S608 all names come from the tables of this program
    ).bindparams(
        bindparam("place", type_=ARRAY(INTEGER)),
        bindparam("event_id", type_=ARRAY(PG_UUID(as_uuid=True))),
        *(bindparam(name, type_=ARRAY(_unlimited(target.columns[name].type))) for name in names),
    )


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)
    return table


def _unlimited(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type without its length: a cast to `varchar(3)` cuts what an insert refuses."""
    if isinstance(kind, String):
        return VARCHAR()
    return NUMERIC() if isinstance(kind, Numeric) else kind
