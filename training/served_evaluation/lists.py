"""Reads the lists that a shop is served, each way that a shop reads them, and what explains them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from features.splitting.holdout import Question
from recsys.domains.recommendations.reasons import Kind
from recsys.domains.recommendations.stored_lists.codec import StoredList
from recsys.domains.recommendations.types import InteractionType
from recsys.errors import Forbidden, Invalid, Unavailable
from recsys.settings import get_settings
from training.served_evaluation.differences import PLACES, Cause, ServedList

__all__ = ["Assortment", "ServedApi", "closed_products", "read_assortment", "read_table", "stored_list"]

Closed = dict[int, dict[int, Cause]]
"""By user: the products that they must not be shown, and why."""

# the second statement of docs/serving.md, "As rows", and the first one, each for several users
_TABLE: dict[Question, Any] = {
    "any": text(
        """
        SELECT user_id, product_id, recommendation_type FROM recommendations_db.product_recommendations
        WHERE user_id = ANY(:users) AND context ? 'any' ORDER BY user_id, score DESC
        """
    ),
    "new": text(
        """
        SELECT user_id, product_id, recommendation_type FROM recommendations_db.product_recommendations
        WHERE user_id = ANY(:users) AND context ? 'new'
        ORDER BY user_id, CAST(context #>> '{new,rank}' AS integer)
        """
    ),
}
# a product may be shown as long as it is active and, where stock is kept, something of it can be sold; it
# may be bought again by the policy of the nearest category that has one
_ASSORTMENT = text(
    """
    WITH RECURSIVE policy AS (
        SELECT c.id, c.parent_id, p.repeat_purchases AS repeats, 1 AS depth
        FROM products_db.categories c
        LEFT JOIN recommendations_db.category_policies p ON p.category_id = c.id
        UNION ALL
        SELECT s.id, c.parent_id, p.repeat_purchases, s.depth + 1
        FROM policy s JOIN products_db.categories c ON c.id = s.parent_id
        LEFT JOIN recommendations_db.category_policies p ON p.category_id = c.id
        WHERE s.repeats IS NULL AND s.depth < 100
    )
    SELECT p.id,
           coalesce(p.status = 'active', false)
               AND (NOT coalesce(p.track_inventory, true) OR coalesce(v.sellable, true)) AS shown,
           coalesce(s.repeats, :default) AS repeats
    FROM products_db.products p
    LEFT JOIN (
        SELECT product_id,
               bool_or(coalesce(inventory_quantity, 0) > 0 OR coalesce(inventory_policy = 'continue', false)
                       OR NOT coalesce(inventory_tracking, true)) AS sellable
        FROM products_db.product_variants GROUP BY product_id
    ) v ON v.product_id = p.id
    LEFT JOIN policy s ON s.id = p.category_id AND s.repeats IS NOT NULL
    ORDER BY p.id
    """
)
# a dismissal holds until it is taken back, or the product liked, put into a cart or bought; what has no time
# is older than everything
_TOUCHED = text(
    """
    SELECT user_id, product_id,
           coalesce(bool_or(interaction_type = :purchase), false) AS bought,
           coalesce(bool_or(interaction_type = :purchase
                            AND coalesce(created_at, '-infinity') <= :moment), false) AS bought_before,
           bool_or(coalesce(created_at, '-infinity') <= :moment) AS before,
           coalesce(max(created_at) FILTER (WHERE interaction_type = :dismissed
                                              AND coalesce(interaction_value, 1) >= 0)
                    > coalesce(max(created_at)
                                   FILTER (WHERE interaction_type IN (:like, :cart, :purchase)
                                           OR interaction_type = :dismissed AND interaction_value < 0),
                               '-infinity'), false) AS dismissed
    FROM recommendations_db.user_interactions WHERE user_id = ANY(:users) GROUP BY user_id, product_id
    """
)


@dataclass(frozen=True, eq=False)
class Assortment:
    """What the shop can show now, and what of it may be recommended again after it was bought."""

    shown_ids: npt.NDArray[np.int64]
    shown: frozenset[int]
    once: frozenset[int]


def read_assortment(session: Session) -> Assortment:
    """All products as they are now."""
    rows = session.execute(_ASSORTMENT, {"default": get_settings().serving.repeat_purchases}).all()
    shown = [row.id for row in rows if row.shown]
    return Assortment(
        np.array(shown, dtype=np.int64),
        frozenset(shown),
        frozenset(row.id for row in rows if not row.repeats),
    )


def closed_products(
    session: Session, users: Sequence[int], assortment: Assortment, moment: Any
) -> dict[Question, Closed]:
    """What each user must not be shown, by question.

    Parameters
    ----------
    moment
        A datetime, up to when the model learned.
    """
    asked = {
        "users": list(users),
        "moment": moment,
        "purchase": InteractionType.PURCHASE.value,
        "dismissed": InteractionType.DISMISSED.value,
        "like": InteractionType.LIKE.value,
        "cart": InteractionType.ADD_TO_CART.value,
    }
    found: dict[Question, Closed] = {"any": {user: {} for user in users}, "new": {user: {} for user in users}}
    for row in session.execute(_TOUCHED, asked):
        if row.dismissed:
            why = every = Cause.POLICY
        else:
            why = Cause.POLICY if row.before else Cause.NEWER
            every = Cause.POLICY if row.bought_before else Cause.NEWER
        found["new"][row.user_id][row.product_id] = why
        if row.dismissed or (row.bought and row.product_id in assortment.once):
            found["any"][row.user_id][row.product_id] = every
    return found


def stored_list(stored: StoredList, question: Question) -> ServedList:
    """A packed list of one question, in the order of its ranks."""
    entries = stored.new if question == "new" else stored.entries
    popular = {one.product for one in entries if one.kind is Kind.POPULAR}
    return ServedList([one.product for one in entries], popular, stored.made_at)


def read_table(
    session: Session, question: Question, stored: Mapping[int, StoredList]
) -> dict[int, ServedList]:
    """What the documented SELECT gives of the users of `stored`, which says when their lists were made."""
    products: dict[int, list[int]] = {user: [] for user in stored}
    popular: dict[int, set[int]] = {user: set() for user in stored}
    for row in session.execute(_TABLE[question], {"users": list(stored)}):
        products[row.user_id].append(row.product_id)
        if row.recommendation_type == Kind.POPULAR.word:
            popular[row.user_id].add(row.product_id)
    return {user: ServedList(found, popular[user], stored[user].made_at) for user, found in products.items()}


class ServedApi:
    """Asks a running API, directly, without a proxy; `key`: an API key with the scope `recommend`."""

    def __init__(self, url: str, key: str | None = None, *, ruled: bool = False) -> None:
        """Remember where the API is.

        Parameters
        ----------
        ruled
            Whether business rules hold for lists now.

        Raises
        ------
        Invalid
            For a URL that is none.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise Invalid(f"--api {url!r} is not an address of an API; expected e.g. http://127.0.0.1:8000")
        self._base, self._key, self._ruled = url.rstrip("/"), key, ruled
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def read(self, users: Iterable[int], question: Question) -> dict[int, ServedList]:
        """The first `PLACES` of each user. Raises Forbidden without a key that opens it, Unavailable."""
        return {user: self._one(user, question) for user in users}

    def _one(self, user: int, question: Question) -> ServedList:
        path = f"/api/v1/users/{user}/recommendations?limit={PLACES}"
        answer = self._get(path + ("&novelty=new" if question == "new" else ""))
        items, provenance = answer["items"], answer["provenance"]
        popular = {one["product_id"] for one in items if one["type"] == Kind.POPULAR.word}
        excuse = Cause.OTHER
        if str(provenance.get("arm") or "").endswith(":challenger"):
            excuse = Cause.AB_TEST
        elif not provenance["complete"]:
            excuse = Cause.DEADLINE
        elif self._ruled:
            excuse = Cause.RULES
        return ServedList([one["product_id"] for one in items], popular, None, excuse)

    def _get(self, path: str) -> Any:
        headers = {} if self._key is None else {"X-Api-Key": self._key}
        request = urllib.request.Request(self._base + path, headers=headers)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (401, 403):
                    raise Forbidden(
                        f"the API at {self._base} asks for a key with the scope `recommend`; give it with "
                        "--api-key-file, or in RECSYS_API_KEY"
                    ) from error
                raise Unavailable(f"the API at {self._base} answered {path} with {error.code}") from error
        except (OSError, ValueError) as error:
            raise Unavailable(f"the API at {self._base} does not answer: {error}") from error
