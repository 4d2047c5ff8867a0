"""The database ids of the names in a stream, each asked for once, with a bound on what is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from recsys.imports.loading.staging import Connection

__all__ = ["KnownIds"]

REMEMBERED = 2_000_000


class KnownIds:
    """`ask(connection, names)` returns `name` and `id` of those that exist; only those are remembered."""

    def __init__(self, ask: Callable[[Connection, Sequence[str]], pl.DataFrame]) -> None:
        self._ask = ask
        self._known = pl.DataFrame(schema={"name": pl.String, "id": pl.Int32})

    def of(self, connection: Connection, names: pl.Series) -> pl.Series:
        """The id of each name, Int32; null where there is none (or no name)."""
        self.missing(connection, names)
        return pl.DataFrame({"name": names}).join(self._known, on="name", how="left", maintain_order="left")[
            "id"
        ]

    def missing(self, connection: Connection, names: pl.Series) -> pl.Series:
        """The distinct names that have no id, in the order of their first appearance."""
        distinct = pl.DataFrame({"name": names.drop_nulls().unique(maintain_order=True)})
        unknown = distinct.join(self._known, on="name", how="anti", maintain_order="left")
        if unknown.height:
            found = self._ask(connection, unknown["name"].to_list())
            # forgetting the rest keeps memory bounded; what this batch needs is asked for again
            kept = self._known if self._known.height < REMEMBERED else self._known.clear()
            if kept.height < self._known.height:
                found = self._ask(connection, distinct["name"].to_list())
            self._known = pl.concat([kept, found])
        return distinct.join(self._known, on="name", how="anti", maintain_order="left")["name"]
