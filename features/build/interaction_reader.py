"""Reads `user_interactions` as columns of numbers, in whatever order they lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql

from features.build.column_reader import NO_ID, UNDATED, Column, Snapshot
from features.build.consents import ConsentFilter
from features.build.event_files import EventFiles
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = ["RawInteractions", "read_interactions"]

TABLE = sql.Identifier("recommendations_db", "user_interactions")

ID_HASH = "hashint8extended(id, 0)"
"""What the XOR of a set of rows is made of (`features.build.incremental`)."""
_KIND = "CASE interaction_type {} ELSE -1 END".format(
    " ".join(f"WHEN '{word}' THEN {code}" for code, word in enumerate(INTERACTION_TYPES))
)
_COLUMNS = {
    "user": Column(f"coalesce(user_id, {NO_ID})", "int4"),
    "item": Column("product_id", "int4"),
    "kind": Column(f"({_KIND})::int2", "int2"),
    "value": Column("coalesce(interaction_value::float4, 'NaN')", "float4"),
    "session": Column("coalesce(hashtextextended(session_id, 0), 0)", "int8"),
    "time": Column("coalesce(created_at, '-infinity')", "timestamptz"),
    "digest": Column(ID_HASH, "xor"),
}
EVENT_COLUMNS = {name: column for name, column in _COLUMNS.items() if name != "digest"}
STORED_AS = {
    "user": np.int32,
    "item": np.int32,
    "kind": np.int8,
    "value": np.float32,
    "session": np.int64,
    "time": np.int64,
}


@dataclass(eq=False)
class RawInteractions:
    """The interactions as they were read.

    Attributes
    ----------
    columns
        Those of `features.interactions.Events`, with ids (int32) in place of rows; NO_ID for no user.
    undated
        How many events were left out because they have no time.
    read
        How many rows were read, those included.
    digest
        XOR of the hashes of their ids.
    verdict : int8, shape (n,)
        Of `features.outliers`, where it is known already; the columns are then in canonical order.
    """

    columns: dict[str, npt.NDArray[Any]]
    undated: int
    read: int = 0
    digest: int = 0
    verdict: npt.NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return int(self.columns["time"].size)


def read_interactions(
    snapshot: Snapshot,
    until: sql.Composable | None = None,
    progress: Callable[[int, int], None] | None = None,
    only: sql.Composable | None = None,
    *,
    consents: ConsentFilter,
    files: EventFiles,
) -> RawInteractions:
    """All interactions up to a moment, or all there are, but those of people who refuse.

    Parameters
    ----------
    until
        The moment, an SQL timestamptz; None: all.
    progress
        Called with the ranges done and the number of ranges.
    only
        An SQL condition, in place of `until`.
    consents
        Who refuses.
    files
        Where the columns go, behind what is there; memory holds one range of pages for each reader.
    """
    where = only if until is None else sql.SQL("created_at IS NULL OR created_at <= {}").format(until)
    files.add({name: np.empty(0, STORED_AS[name]) for name in EVENT_COLUMNS})
    undated, read, digest = 0, 0, 0
    for columns in snapshot.events.read(TABLE, _COLUMNS, where=where, progress=progress):
        time = columns["time"]
        read += int(time.size)
        digest ^= int(columns["digest"][0])
        dated = (time != UNDATED) & (time != np.iinfo(np.int64).max)
        left_out = int(time.size - np.count_nonzero(dated))
        undated += left_out
        allowed = dated & ~consents.refused(columns["user"], columns["session"])
        files.add(
            {name: columns[name][allowed].astype(STORED_AS[name], copy=False) for name in EVENT_COLUMNS}
        )
    return RawInteractions(files.columns(), undated, read, digest)
