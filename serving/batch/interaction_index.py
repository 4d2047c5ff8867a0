"""The products that users interacted with, bought and dismissed, as sorted keys for vectorized look-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from sqlalchemy.orm import Session

from features.user_history import FIRST, UserInteractions
from recsys.database.session import driver_connection
from recsys.domains.recommendations.interactions.recent import TAKES_BACK
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.recommendations.types import INTERACTION_TYPES
from serving.batch.packed_columns import read_integers
from serving.ranking.eligibility import SeenProducts

__all__ = ["InteractionIndex", "among", "keys_of", "of_interactions", "of_rows", "of_session", "of_user"]

_PURCHASE, _DISMISSED = (INTERACTION_TYPES.index(name) for name in ("purchase", "dismissed"))
_TAKES_BACK = [INTERACTION_TYPES.index(name) for name in sorted(TAKES_BACK)]

# a dismissal is valid until it is withdrawn, or the product liked, put into a cart or bought (see
# `recent.Touched.takes_back`)
_SEEN_SQL = """
    product_id, bool_or(interaction_type = 'purchase')::integer AS bought,
    coalesce(max(created_at) FILTER (WHERE interaction_type = 'dismissed'
                                       AND coalesce(interaction_value, 1) >= 0)
             > coalesce(max(created_at)
                            FILTER (WHERE interaction_type IN ('like', 'add_to_cart', 'purchase')
                                    OR interaction_type = 'dismissed' AND interaction_value < 0),
                        '-infinity'), false)::integer AS dismissed
    FROM recommendations_db.user_interactions
"""
# the aggregates with moments take as long as reading the rows: they are for the few pairs with a dismissal
_OF_USERS = sql.SQL(
    """
    SELECT user_id, product_id, bool_or(interaction_type = 'purchase')::integer AS bought,
        bool_or(interaction_type = 'dismissed')::integer AS ever_dismissed
    FROM recommendations_db.user_interactions WHERE user_id = ANY(%s) GROUP BY user_id, product_id
    """
)
_OF_PAIRS = sql.SQL(
    "SELECT user_id, " + _SEEN_SQL + "JOIN unnest(%s::integer[], %s::integer[]) AS given(user_id, product_id)"
    " USING (user_id, product_id) GROUP BY user_id, product_id"
)
_OF_USER = sql.SQL("SELECT " + _SEEN_SQL + "WHERE user_id = %s GROUP BY product_id")
_OF_SESSION = sql.SQL("SELECT " + _SEEN_SQL + "WHERE session_id = %s AND user_id IS NULL GROUP BY product_id")


@dataclass(frozen=True, eq=False)
class InteractionIndex:
    """Pairs (user, product) as sorted int64 keys: with an interaction, bought, and dismissed."""

    touched: npt.NDArray[np.int64]
    bought: npt.NDArray[np.int64]
    dismissed: npt.NDArray[np.int64]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any], users: npt.NDArray[np.int64]) -> Self:
        """Read the stored interactions of these users."""
        user, product, bought, ever = read_integers(
            connection, _OF_USERS, ["user_id", "product_id", "bought", "ever_dismissed"], [users.tolist()]
        )
        keys = keys_of(user, product)
        dismissed = np.empty(0, dtype=np.int64)
        if ever.any():
            pairs = [user[ever > 0].tolist(), product[ever > 0].tolist()]
            owner, item, is_valid = read_integers(
                connection, _OF_PAIRS, ["user_id", "product_id", "dismissed"], pairs
            )
            dismissed = np.sort(keys_of(owner, item)[is_valid > 0])
        return cls(np.sort(keys), np.sort(keys[bought > 0]), dismissed)

    def of(self, user: int) -> SeenProducts:
        """Return the seen products of one of these users."""
        return SeenProducts(
            _products_of(self.touched, user),
            _products_of(self.bought, user),
            _products_of(self.dismissed, user),
        )

    def were_touched(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was touched by its user; shapes broadcast."""
        return among(keys_of(users, products), self.touched)

    def were_bought(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was bought by its user; shapes broadcast."""
        return among(keys_of(users, products), self.bought)

    def were_dismissed(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was dismissed by its user and not restored; shapes broadcast."""
        return among(keys_of(users, products), self.dismissed)


def of_user(session: Session, user_id: int) -> SeenProducts:
    """Read the seen products of one user."""
    return _seen_products(session, _OF_USER, user_id)


def of_interactions(interactions: UserInteractions) -> SeenProducts:
    """Return the seen products from interactions that were already read."""
    products, bought = interactions.products, interactions.kinds == _PURCHASE
    is_dismissal = (interactions.kinds == _DISMISSED) & ~(interactions.values < 0)
    dismissed = set[int]()
    if is_dismissal.any():
        is_restoring = np.isin(interactions.kinds, _TAKES_BACK) | (interactions.kinds == _DISMISSED) & (
            interactions.values < 0
        )
        restored_at = dict.fromkeys(products.tolist(), FIRST)  # later interactions overwrite earlier ones
        restored_at.update(
            zip(products[is_restoring].tolist(), interactions.times[is_restoring].tolist(), strict=True)
        )
        last_at = dict(
            zip(products[is_dismissal].tolist(), interactions.times[is_dismissal].tolist(), strict=True)
        )
        dismissed = {product for product, moment in last_at.items() if moment > restored_at[product]}
    return SeenProducts(set(products.tolist()), set(products[bought].tolist()), dismissed)


def of_rows(rows: Sequence[UserInteraction]) -> SeenProducts:
    """Return the seen products from rows of the table, in any order; a row without a time is the oldest."""
    epoch = datetime.fromtimestamp(0, UTC)
    times = [
        FIRST if row.created_at is None else int((row.created_at - epoch).total_seconds() * 1_000_000)
        for row in rows
    ]
    order = np.argsort(np.array(times, dtype=np.int64), kind="stable")
    codes = {name: code for code, name in enumerate(INTERACTION_TYPES)}
    values = [np.nan if row.interaction_value is None else float(row.interaction_value) for row in rows]
    return of_interactions(
        UserInteractions(
            np.array([row.product_id for row in rows], dtype=np.int64)[order],
            np.array([codes.get(row.interaction_type, -1) for row in rows], dtype=np.int8)[order],
            np.array(values, dtype=np.float32)[order],
            np.array(times, dtype=np.int64)[order],
            np.zeros(len(rows), dtype=np.int64),
        )
    )


def of_session(session: Session, session_id: str) -> SeenProducts:
    """Read the seen products of a guest."""
    return _seen_products(session, _OF_SESSION, session_id)


def _seen_products(session: Session, query: sql.SQL, person: int | str) -> SeenProducts:
    connection = driver_connection(session, "recommendations")
    rows = connection.execute(query, [person]).fetchall()
    return SeenProducts(
        {row[0] for row in rows}, {row[0] for row in rows if row[1]}, {row[0] for row in rows if row[2]}
    )


def _products_of(keys: npt.NDArray[np.int64], user: int) -> frozenset[int]:
    first, last_at = np.searchsorted(keys, [user << 32, (user + 1) << 32])
    return frozenset((keys[first:last_at] & 0xFFFFFFFF).tolist())


def keys_of(users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return one int64 key per pair (user, product), ordered by user; shapes broadcast."""
    return np.asarray(users, np.int64) << 32 | np.asarray(products, np.int64)


def among(keys: npt.NDArray[np.int64], sorted_keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which keys are among `sorted_keys`; bool, the shape of `keys`."""
    if sorted_keys.size == 0:
        return np.zeros(keys.shape, dtype=bool)
    positions = np.searchsorted(sorted_keys, keys)
    positions[positions == sorted_keys.size] = 0
    is_member: npt.NDArray[np.bool_] = sorted_keys[positions] == keys
    return is_member
