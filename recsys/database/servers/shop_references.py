"""References to rows of the shop's server from tables on other servers, which no foreign key keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.sql.dml import Delete, Update

from recsys.database.metadata import metadata
from recsys.database.servers.placement import ServerName, server_of

__all__ = ["ShopReference", "drop_missing_references", "missing_ids", "shop_references"]

_MISSING = """
SELECT id FROM unnest(CAST(:ids AS integer[])) AS given(id)
WHERE NOT EXISTS (SELECT FROM {target} t WHERE t.{column} = given.id)
"""


@dataclass(frozen=True)
class ShopReference:
    """A column with ids of rows of the shop's server.

    Attributes
    ----------
    table
        On another server.
    column
        Of `table`.
    target
        The table on the shop's server.
    key
        The column of `target` with these ids.
    is_cleared
        Whether the column becomes null where the row it refers to is gone; otherwise its own row goes too.
    """

    table: Table
    column: Column[Any]
    target: Table
    key: Column[Any]
    is_cleared: bool

    def removal(self) -> Update | Delete:
        """The statement, still for all rows, that does what the foreign key would."""
        return update(self.table).values({self.column: None}) if self.is_cleared else delete(self.table)


def shop_references(name: ServerName) -> Iterator[ShopReference]:
    """The references of a server's tables to the shop's; those of tables first that refer to other tables."""
    for table in reversed(metadata.sorted_tables):
        if server_of(table.fullname) != name:
            continue
        for key in table.foreign_key_constraints:
            target = key.referred_table
            if server_of(target.fullname) is None:
                (element,) = key.elements
                is_cleared = key.ondelete == "SET NULL"
                yield ShopReference(table, element.parent, target, element.column, is_cleared)


def missing_ids(shop: Connection, reference: ShopReference, ids: Sequence[int]) -> list[int]:
    """Those of `ids` that lead to nothing on the shop's server."""
    if not ids:
        return []
    query = _MISSING.format(target=reference.target.fullname, column=reference.key.name)
    return list(shop.scalars(text(query), {"ids": ids}))


def drop_missing_references(name: ServerName, connection: Connection, shop: Connection) -> int:
    """Delete or clear what leads to nothing on the shop's server, as foreign keys would; how many rows.

    Parameters
    ----------
    connection, shop
        To the server `name` and to the shop's.
    """
    dropped = 0
    for reference in shop_references(name):
        column = reference.column
        ids = list(connection.scalars(select(column).where(column.is_not(None)).distinct()))
        missing = missing_ids(shop, reference, ids)
        if missing:
            given = bindparam("ids", missing, type_=ARRAY(INTEGER))
            dropped += connection.execute(reference.removal().where(column == given.any_())).rowcount
    return dropped
