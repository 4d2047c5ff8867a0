"""What users did, weighed at request time exactly as the training matrix weighs it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row
from sqlalchemy.orm import Session

from features.caps import KEPT, outliers
from features.interactions import History, InteractionWeights
from recsys.domains.recommendations.vocabulary import INTERACTION_TYPES

__all__ = ["LIMIT", "guest_history", "histories"]

LIMIT = 1000
"""Events of one user that a fold-in looks at, the newest first, unless the caller says otherwise."""

Source = Session | psycopg.Connection[Any]

_CODES = {word: code for code, word in enumerate(INTERACTION_TYPES)}
_ASKED = """
SELECT asked.place, event.* FROM unnest(%(ids)s::{type}[]) WITH ORDINALITY AS asked (id, place)
CROSS JOIN LATERAL (
    SELECT product_id, interaction_type, coalesce(interaction_value::float4, 'NaN') AS value,
           (extract(epoch FROM created_at) * 1000000)::int8 AS time,
           coalesce(hashtextextended(session_id, 0), 0) AS session
    FROM recommendations_db.user_interactions
    WHERE {column} = asked.id AND created_at < 'infinity' AND created_at > '-infinity'
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
) AS event
ORDER BY asked.place, event.time, event.product_id
"""


def histories(
    source: Source,
    user_ids: Sequence[int],
    weights: InteractionWeights,
    moment: int,
    *,
    limit: int | None = LIMIT,
) -> list[History]:
    """The history of each of `user_ids`, oldest event first; empty for a user who did nothing.

    source : a SQLAlchemy session or a psycopg connection; read within the transaction it is in.
    moment : what ages count from, microseconds since 1970-01-01 UTC. With the moment of a dataset and no
        limit, the weights of a product add up to the user's entry in the dataset's matrix.
    limit : only so many of the newest events of each user; None for all.
    """
    return _read(source, "user_id", sql.SQL("int8"), [int(user) for user in user_ids], weights, moment, limit)


def guest_history(
    source: Source, session_id: str, weights: InteractionWeights, moment: int, *, limit: int | None = LIMIT
) -> History:
    """The same for one session of the shop, whoever it belongs to."""
    return _read(source, "session_id", sql.SQL("text"), [session_id], weights, moment, limit)[0]


def _read(
    source: Source,
    column: str,
    id_type: sql.SQL,
    ids: Sequence[int | str],
    weights: InteractionWeights,
    moment: int,
    limit: int | None,
) -> list[History]:
    if not ids:
        return []
    asked = sql.SQL(_ASKED).format(column=sql.Identifier(column), type=id_type)
    with _connection(source).cursor(binary=True, row_factory=tuple_row) as cursor:
        rows = cursor.execute(asked, {"ids": list(ids), "limit": limit}).fetchall()
    columns = list(zip(*rows, strict=True)) or [(), (), (), (), (), ()]
    place = np.array(columns[0], dtype=np.int64) - 1
    products = np.array(columns[1], dtype=np.int64)
    kinds = np.array([_CODES.get(word, -1) for word in columns[2]], dtype=np.int8)
    values = np.array(columns[3], dtype=np.float32)
    times = np.array(columns[4], dtype=np.int64)
    kept = _kept(place, products, kinds, values, times, np.array(columns[5], dtype=np.int64), weights)
    if kept is not None:
        place, products, kinds = place[kept], products[kept], kinds[kept]
        values, times = values[kept], times[kept]
    weighed = weights.weigh(kinds, values, times, moment)
    bounds = np.searchsorted(place, np.arange(len(ids) + 1))
    return [
        History(products[start:end], weighed[start:end], times[start:end])
        for start, end in pairwise(bounds.tolist())
    ]


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
        "user": place,  # one asked for is one person; a session is cut like a user
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
        return cast("psycopg.Connection[Any]", source.connection().connection.driver_connection)
    return source
