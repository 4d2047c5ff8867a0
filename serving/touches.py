"""What users touched and bought, as sorted keys: asked of many users and products at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.orm import Session

from serving.packed import read_integers
from serving.rules import Visitor

__all__ = ["Touches", "of_user"]

_QUERY = sql.SQL(
    """
    SELECT user_id, product_id, max((interaction_type = 'purchase')::integer) AS bought
    FROM recommendations_db.user_interactions WHERE user_id = ANY(%s) GROUP BY user_id, product_id
    """
)
_ONE = text(
    """
    SELECT product_id, bool_or(interaction_type = 'purchase') AS bought
    FROM recommendations_db.user_interactions WHERE user_id = :user_id GROUP BY product_id
    """
)


@dataclass(frozen=True, eq=False)
class Touches:
    """Pairs (user, product) that had an interaction, as sorted int64 keys, and those that were bought."""

    touched: npt.NDArray[np.int64]
    bought: npt.NDArray[np.int64]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any], users: npt.NDArray[np.int64]) -> Self:
        """Of these users, all that is stored."""
        user, product, bought = read_integers(
            connection, _QUERY, ["user_id", "product_id", "bought"], [users.tolist()]
        )
        keys = _keys(user, product)
        order = np.argsort(keys)
        return cls(keys[order], keys[order][bought[order] > 0])

    def of(self, user: int) -> Visitor:
        """The past of one of these users."""
        return Visitor(_of(self.touched, user), _of(self.bought, user))

    def were_touched(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was touched by its user; shapes broadcast."""
        return _among(_keys(users, products), self.touched)

    def were_bought(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was bought by its user; shapes broadcast."""
        return _among(_keys(users, products), self.bought)


def of_user(session: Session, user_id: int) -> Visitor:
    """What one user touched and bought."""
    rows = session.execute(_ONE, {"user_id": user_id}).all()
    return Visitor({row.product_id for row in rows}, {row.product_id for row in rows if row.bought})


def _of(keys: npt.NDArray[np.int64], user: int) -> frozenset[int]:
    first, last = np.searchsorted(keys, [user << 32, (user + 1) << 32])
    return frozenset((keys[first:last] & 0xFFFFFFFF).tolist())


def _keys(users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.asarray(users, np.int64) << 32 | np.asarray(products, np.int64)


def _among(keys: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    if known.size == 0:
        return np.zeros(keys.shape, dtype=bool)
    places = np.searchsorted(known, keys)
    places[places == known.size] = 0
    found: npt.NDArray[np.bool_] = known[places] == keys
    return found
