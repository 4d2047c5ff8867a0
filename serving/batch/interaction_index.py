"""What users touched, bought and dismissed, as sorted keys: asked of many users and products at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql
from sqlalchemy.orm import Session

from features.user_history import FIRST, UserInteractions
from recsys.domains.recommendations.interactions.recent import TAKES_BACK
from recsys.domains.recommendations.types import INTERACTION_TYPES
from serving.batch.packed_columns import read_integers
from serving.ranking.eligibility import SeenProducts

__all__ = ["Touches", "among", "keys_of", "of_interactions", "of_session", "of_user"]

_PURCHASE, _DISMISSED = (INTERACTION_TYPES.index(word) for word in ("purchase", "dismissed"))
_TAKES_BACK = [INTERACTION_TYPES.index(word) for word in sorted(TAKES_BACK)]

# a dismissal holds until it is taken back, or the product liked, put into a cart or bought (see
# `recent.Touched.takes_back`)
_EACH = """
    product_id, bool_or(interaction_type = 'purchase')::integer AS bought,
    coalesce(max(created_at) FILTER (WHERE interaction_type = 'dismissed'
                                       AND coalesce(interaction_value, 1) >= 0)
             > coalesce(max(created_at)
                            FILTER (WHERE interaction_type IN ('like', 'add_to_cart', 'purchase')
                                    OR interaction_type = 'dismissed' AND interaction_value < 0),
                        '-infinity'), false)::integer AS dismissed
    FROM recommendations_db.user_interactions
"""
_QUERY = sql.SQL("SELECT user_id, " + _EACH + "WHERE user_id = ANY(%s) GROUP BY user_id, product_id")
_OF_USER = sql.SQL("SELECT " + _EACH + "WHERE user_id = %s GROUP BY product_id")
_OF_SESSION = sql.SQL("SELECT " + _EACH + "WHERE session_id = %s AND user_id IS NULL GROUP BY product_id")


@dataclass(frozen=True, eq=False)
class Touches:
    """Pairs (user, product) that had an interaction, as sorted int64 keys; those bought; those dismissed."""

    touched: npt.NDArray[np.int64]
    bought: npt.NDArray[np.int64]
    dismissed: npt.NDArray[np.int64]

    @classmethod
    def read(cls, connection: psycopg.Connection[Any], users: npt.NDArray[np.int64]) -> Self:
        """Of these users, all that is stored."""
        user, product, bought, dismissed = read_integers(
            connection, _QUERY, ["user_id", "product_id", "bought", "dismissed"], [users.tolist()]
        )
        keys = keys_of(user, product)
        order = np.argsort(keys)
        keys = keys[order]
        return cls(keys, keys[bought[order] > 0], keys[dismissed[order] > 0])

    def of(self, user: int) -> SeenProducts:
        """The past of one of these users."""
        return SeenProducts(_of(self.touched, user), _of(self.bought, user), _of(self.dismissed, user))

    def were_touched(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was touched by its user; shapes broadcast."""
        return among(keys_of(users, products), self.touched)

    def were_bought(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was bought by its user; shapes broadcast."""
        return among(keys_of(users, products), self.bought)

    def were_dismissed(self, users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each product was dismissed by its user and not taken back; shapes broadcast."""
        return among(keys_of(users, products), self.dismissed)


def of_user(session: Session, user_id: int) -> SeenProducts:
    """What one user touched, bought and dismissed."""
    return _visitor(session, _OF_USER, user_id)


def of_interactions(interactions: UserInteractions) -> SeenProducts:
    """The same from all that somebody did, without asking again."""
    products, bought = interactions.products, interactions.kinds == _PURCHASE
    refused = (interactions.kinds == _DISMISSED) & ~(interactions.values < 0)
    dismissed = set[int]()
    if refused.any():
        takes = np.isin(interactions.kinds, _TAKES_BACK) | (interactions.kinds == _DISMISSED) & (
            interactions.values < 0
        )
        taken = dict.fromkeys(products.tolist(), FIRST)  # later ones, in the order of time, win
        taken.update(zip(products[takes].tolist(), interactions.times[takes].tolist(), strict=True))
        last = dict(zip(products[refused].tolist(), interactions.times[refused].tolist(), strict=True))
        dismissed = {product for product, moment in last.items() if moment > taken[product]}
    return SeenProducts(set(products.tolist()), set(products[bought].tolist()), dismissed)


def of_session(session: Session, session_id: str) -> SeenProducts:
    """The same of a guest."""
    return _visitor(session, _OF_SESSION, session_id)


def _visitor(session: Session, query: sql.SQL, who: int | str) -> SeenProducts:
    connection = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    rows = connection.execute(query, [who]).fetchall()
    return SeenProducts(
        {row[0] for row in rows}, {row[0] for row in rows if row[1]}, {row[0] for row in rows if row[2]}
    )


def _of(keys: npt.NDArray[np.int64], user: int) -> frozenset[int]:
    first, last = np.searchsorted(keys, [user << 32, (user + 1) << 32])
    return frozenset((keys[first:last] & 0xFFFFFFFF).tolist())


def keys_of(users: npt.ArrayLike, products: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """One number for each pair (user, product), in the order of users; shapes broadcast."""
    return np.asarray(users, np.int64) << 32 | np.asarray(products, np.int64)


def among(keys: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which keys are among `known`, which is sorted; bool, the shape of `keys`."""
    if known.size == 0:
        return np.zeros(keys.shape, dtype=bool)
    places = np.searchsorted(known, keys)
    places[places == known.size] = 0
    found: npt.NDArray[np.bool_] = known[places] == keys
    return found
