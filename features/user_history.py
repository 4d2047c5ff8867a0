"""The interactions of users, weighed at request time exactly as the training matrix weighs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row
from sqlalchemy.orm import Session

from features.interactions import History, InteractionWeights
from features.outliers import KEPT, outliers
from recsys.database.session import driver_connection
from recsys.domains.recommendations.types import INTERACTION_TYPES

__all__ = [
    "FIRST",
    "LAST",
    "LIMIT",
    "UserInteractions",
    "guest_history",
    "histories",
    "user_interactions",
    "weigh",
]

LIMIT = 1000
"""Events of one user that a fold-in looks at, the newest first, unless the caller sets another limit."""

Source = Session | psycopg.Connection[Any]

_CODES = {word: code for code, word in enumerate(INTERACTION_TYPES)}
# one row for each requested id, with or without events: their events as arrays, which cost a tenth of rows
_ASKED = """
SELECT history.* FROM unnest(%(ids)s::{type}[]) WITH ORDINALITY AS requested (id, place)
CROSS JOIN LATERAL (
    SELECT array_agg(product_id),
           array_agg(coalesce(array_position(%(words)s::text[], interaction_type::text) - 1, -1)),
           array_agg(coalesce(interaction_value::float4, 'NaN')),
           array_agg(coalesce(created_at, '-infinity')),
           array_agg(coalesce(hashtextextended(session_id, 0), 0))
    FROM (
        SELECT product_id, interaction_type, interaction_value, created_at, session_id
        FROM recommendations_db.user_interactions
        WHERE {owner} ORDER BY created_at DESC NULLS LAST, id DESC LIMIT %(limit)s
    ) AS event
) AS history
ORDER BY requested.place
"""
_OF_USER = sql.SQL("user_id = requested.id")
# as the index of sessions has it: without the second half every row of the table would be read
_OF_GUEST = sql.SQL("session_id = requested.id AND user_id IS NULL")
_HEAD = 20
"""Bytes of a one-dimensional array before its elements: three numbers, its length and its first subscript."""
_KINDS = (">i4", ">i4", ">f4", ">i8", ">i8")
_ERA = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000 on; its infinities are the largest and the smallest number."""
FIRST, LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class UserInteractions:
    """The interactions of one user or guest as PostgreSQL has them, oldest first.

    Attributes
    ----------
    products : int64, shape (n,)
        Ids.
    kinds : int8, shape (n,)
        Places in `INTERACTION_TYPES`, -1 for others.
    values : float32, shape (n,)
        NaN for none.
    times : int64, shape (n,)
        Microseconds since 1970-01-01 UTC; FIRST and LAST for infinity, FIRST for no time.
    sessions : int64, shape (n,)
        A number for each.
    """

    products: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.int8]
    values: npt.NDArray[np.float32]
    times: npt.NDArray[np.int64]
    sessions: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return self.products.size

    def newest(self, limit: int | None) -> UserInteractions:
        """The last ones of those with a time, at most so many."""
        timed = np.flatnonzero((self.times != FIRST) & (self.times != LAST))
        kept = timed if limit is None else timed[max(0, timed.size - limit) :]
        if kept.size == len(self):
            return self
        return UserInteractions(
            self.products[kept], self.kinds[kept], self.values[kept], self.times[kept], self.sessions[kept]
        )


def user_interactions(source: Source, user_ids: Sequence[int], limit: int | None) -> list[UserInteractions]:
    """The interactions of each of `user_ids`, with or without a time.

    Parameters
    ----------
    source
        A SQLAlchemy session or a psycopg connection; read within the transaction it is in.
    limit
        Only so many of the newest of each user; None for all.
    """
    return _read(source, _OF_USER, sql.SQL("int8"), [int(user) for user in user_ids], limit)


def histories(
    source: Source,
    user_ids: Sequence[int],
    weights: InteractionWeights,
    moment: int,
    *,
    limit: int | None = LIMIT,
) -> list[History]:
    """The history of each of `user_ids`, oldest event first; empty for a user who did nothing.

    Parameters
    ----------
    source
        As of `user_interactions`.
    moment
        What ages count from, microseconds since 1970-01-01 UTC. With the moment of a dataset and no limit,
        the weights of a product add up to the user's entry in the dataset's matrix.
    limit
        Only so many of the newest events of each user; None for all.
    """
    return weigh(user_interactions(source, user_ids, limit), weights, moment, limit=limit)


def guest_history(
    source: Source, session_id: str, weights: InteractionWeights, moment: int, *, limit: int | None = LIMIT
) -> History:
    """The history of a guest: of one session, without what its user did who was logged in then."""
    found = _read(source, _OF_GUEST, sql.SQL("text"), [session_id], limit)
    return weigh(found, weights, moment, limit=limit)[0]


def weigh(
    interactions: Sequence[UserInteractions],
    weights: InteractionWeights,
    moment: int,
    *,
    limit: int | None = LIMIT,
) -> list[History]:
    """The histories that the newest `limit` interactions of each user make.

    Parameters
    ----------
    moment
        As of `histories`.
    """
    if not interactions:
        return []
    kept = [one.newest(limit) for one in interactions]
    ends = np.cumsum([0, *(len(one) for one in kept)])
    place = np.repeat(np.arange(len(kept)), np.diff(ends))
    products, kinds, values, times, sessions = (
        np.concatenate([getattr(one, each.name) for one in kept]) for each in fields(UserInteractions)
    )
    few = _kept(place, products, kinds, values, times, sessions, weights)
    if few is not None:
        place, products, kinds = place[few], products[few], kinds[few]
        values, times = values[few], times[few]
        ends = np.searchsorted(place, np.arange(len(kept) + 1))
    weighed = weights.weigh(kinds, values, times, moment)
    return [
        History(products[start:end], weighed[start:end], times[start:end])
        for start, end in pairwise(ends.tolist())
    ]


def _read(
    source: Source, owner: sql.SQL, id_type: sql.SQL, ids: Sequence[int | str], limit: int | None
) -> list[UserInteractions]:
    if not ids:
        return []
    asked = sql.SQL(_ASKED).format(owner=owner, type=id_type)
    with _connection(source).cursor(binary=True, row_factory=tuple_row) as cursor:
        cursor.execute(asked, {"ids": list(ids), "words": list(INTERACTION_TYPES), "limit": limit})
        found = cursor.pgresult
        assert found is not None
        return [
            _unpacked([found.get_value(row, place) for place in range(len(_KINDS))])
            for row in range(found.ntuples)
        ]


def _unpacked(packed: Sequence[bytes | None]) -> UserInteractions:
    columns = [
        np.empty(0, kind)
        if data is None
        else np.frombuffer(data, np.dtype([("size", ">i4"), ("value", kind)]), offset=_HEAD)["value"]
        for data, kind in zip(packed, _KINDS, strict=True)
    ]
    products, kinds, values, times, sessions = columns
    times = times.astype(np.int64)
    timed = (times != FIRST) & (times != LAST)
    times[timed] += _ERA
    order = np.lexsort((products, times))
    return UserInteractions(
        products.astype(np.int64)[order],
        kinds.astype(np.int8)[order],
        values.astype(np.float32)[order],
        times[order],
        sessions.astype(np.int64)[order],
    )


def _kept(
    place: npt.NDArray[np.int64],
    products: npt.NDArray[np.int64],
    kinds: npt.NDArray[np.int8],
    values: npt.NDArray[np.float32],
    times: npt.NDArray[np.int64],
    sessions: npt.NDArray[np.int64],
    weights: InteractionWeights,
) -> npt.NDArray[np.bool_] | None:
    """Which events are not too many of one day, as a build cuts them; None when all stay."""
    columns: dict[str, npt.NDArray[Any]] = {
        "user": place,  # one requested id is one person; a session is cut like a user
        "item": products,
        "kind": kinds,
        "value": values,
        "session": sessions,
        "time": times,
    }
    # within a time the order of a build, in which each user's events keep their places among themselves
    order = np.lexsort((sessions, values.view(np.int32), kinds, products, place, times))
    verdict = outliers({name: column[order] for name, column in columns.items()}, weights)
    if verdict is None:
        return None
    kept = np.empty(place.size, dtype=bool)
    kept[order] = verdict == KEPT
    return kept


def _connection(source: Source) -> psycopg.Connection[Any]:
    if isinstance(source, Session):
        return driver_connection(source, "recommendations")
    return source
