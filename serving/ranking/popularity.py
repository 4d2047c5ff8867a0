"""Popular products: the list for visitors without history, and the filling of short lists."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from features.splitting.person_days import LEAD_IN
from features.splitting.windows import NEWEST, dense_end
from models.registry import registry
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.errors import RecsysError
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue

__all__ = [
    "PERSON_SQL",
    "WINDOW_DAYS",
    "CountryPopularity",
    "PopularProducts",
    "dense_until",
    "target_types",
    "weight_people",
]

_log = get_logger(__name__)
COUNTRY_SECONDS = 60.0
WINDOW_DAYS = 28
"""Counted back from the end of the dense events, not from today: an old data set has popular products, too,
and a few much later events do not hide the others."""

PERSON_SQL = "coalesce(user_id::bigint, -abs(hashtextextended(coalesce(session_id, ''), 0) / 2))"
"""SQL for the person of an event: the user, or the guest's session as a negative number."""
_NEWEST_QUERY = text(
    f"""
    SELECT (extract(epoch FROM created_at) * 1000000)::bigint AS time, {PERSON_SQL} AS who
    FROM recommendations_db.user_interactions
    WHERE interaction_type <> 'dismissed' AND isfinite(created_at)
    ORDER BY created_at DESC LIMIT {NEWEST}
    """  # noqa: S608
)
_COUNT_QUERY = text(
    f"""
    WITH recent AS MATERIALIZED (
        SELECT product_id, {PERSON_SQL} AS who, interaction_type = ANY(:target) AS success
        FROM recommendations_db.user_interactions
        WHERE interaction_type <> 'dismissed'
          AND created_at > :until - make_interval(days => :days) AND created_at <= :until
    )
    SELECT product_id, count(DISTINCT who) AS people,
           count(DISTINCT who) FILTER (WHERE success) AS successful,
           (SELECT count(DISTINCT who) FROM recent) AS everybody
    FROM recent GROUP BY product_id
    """  # noqa: S608
)
_COUNT_BY_COUNTRY_QUERY = text(
    """
    WITH recent AS MATERIALIZED (
        SELECT l.product_id, coalesce(o.user_id, -o.id) AS who
        FROM orders_db.shipping_addresses a
        JOIN orders_db.orders o ON o.id = a.order_id
        JOIN orders_db.order_items l ON l.order_id = o.id
        WHERE upper(a.country) = :country AND l.product_id IS NOT NULL
          AND o.financial_status IN ('authorized', 'paid', 'partially_refunded')
          AND o.status IS DISTINCT FROM 'cancelled'
          AND o.created_at > (SELECT max(created_at) FROM orders_db.orders) - make_interval(days => :days)
    )
    SELECT product_id, count(DISTINCT who) AS people, count(DISTINCT who) AS successful,
           (SELECT count(DISTINCT who) FROM recent) AS everybody
    FROM recent GROUP BY product_id
    """
)


def dense_until(session: Session) -> datetime | None:
    """Return the time up to which interactions are dense (`features.splitting.windows.dense_end`).

    Returns
    -------
    datetime or None
        None without interactions.
    """
    rows = session.execute(_NEWEST_QUERY).all()[::-1]
    if not rows:
        return None
    times = np.array([row.time for row in rows], dtype=np.int64)
    end = dense_end(times, np.array([row.who for row in rows], dtype=np.int64))
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=end)


def target_types(session: Session) -> list[str]:
    """Return the types of a success: as configured, else those of the active model, else purchases."""
    configured = get_settings().features.target
    if configured:
        return [word for word, weight in configured.items() if weight > 0]
    active = registry.active(session)
    return list((active.parameters.get("target") if active else None) or ["purchase"])


def weight_people(
    people: npt.NDArray[np.float64], successful: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return weighted counts of people, float64: 1 for a success, `LEAD_IN` for any other interaction."""
    return successful + LEAD_IN * (people - successful)


@dataclass(frozen=True, eq=False)
class PopularProducts:
    """Products by the number of people who chose them recently.

    A person with a success counts 1, one with another interaction (a view, a cart) `LEAD_IN`. Products
    without people follow, the newest first: the order always covers the whole catalogue.

    Attributes
    ----------
    products : int64, shape (n,)
        Ids of the products.
    shares : float64, shape (n,)
        From 0 to 1: their weighted share of all people.
    reason
        Of the entries.
    """

    products: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    reason: ReasonCode = ReasonCode.POPULAR
    _orders: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]] = field(
        default_factory=list, repr=False
    )

    @classmethod
    def none(cls) -> PopularProducts:
        """The order without any counts."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float64))

    @classmethod
    def count(cls, session: Session, country: str | None = None) -> PopularProducts:
        """Count the people of the last `WINDOW_DAYS` days; of a country, those with a paid order to it."""
        if country is None:
            until = dense_until(session)
            if until is None:
                return cls.none()
            values: dict[str, Any] = {"days": WINDOW_DAYS, "until": until, "target": target_types(session)}
            rows = session.execute(_COUNT_QUERY, values).all()
        else:
            values = {"days": WINDOW_DAYS, "country": country.upper()}
            rows = session.execute(_COUNT_BY_COUNTRY_QUERY, values).all()
        products = np.array([row.product_id for row in rows], dtype=np.int64)
        people = np.array([row.people for row in rows], dtype=np.float64)
        successful = np.array([row.successful for row in rows], dtype=np.float64)
        return cls(products, weight_people(people, successful) / max(1, rows[0].everybody if rows else 1))

    def entries(
        self,
        catalogue: Catalogue,
        k: int,
        eligible: npt.NDArray[np.bool_] | None = None,
        *,
        ceiling: int = SCORE_UNIT,
    ) -> list[Entry]:
        """Return the k most popular products on sale among `eligible`.

        Parameters
        ----------
        eligible : bool, shape (catalogue rows,)
            None: every product.
        ceiling
            No score is higher, where they complete a list that ends with this one.
        """
        if k <= 0:
            return []
        order, units = self.order(catalogue)
        selectable = catalogue.shown if eligible is None else eligible & catalogue.shown
        # the head is usually enough, so that not all products need be examined
        for size in (8 * k + 64, order.size):
            positions = np.flatnonzero(selectable[order[:size]])[:k]
            if positions.size == k or size >= order.size:
                break
        rows = order[positions]
        return [
            Entry(product, score, Kind.POPULAR, self.reason, -1, True)
            for product, score in zip(
                catalogue.ids[rows].tolist(), np.minimum(units[positions], ceiling).tolist(), strict=True
            )
        ]

    def prepare(self, catalogue: Catalogue) -> None:
        """Compute the order of this catalogue now, so that no request has to."""
        self.order(catalogue)

    def order(self, catalogue: Catalogue) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return all catalogue rows, the most popular first, and their scores in units; int64 (rows,)."""
        cached = self._orders[-1] if self._orders else None
        if cached is None or cached[0] is not catalogue.ids:
            share = np.zeros(len(catalogue), dtype=np.float64)
            rows = catalogue.rows(self.products)
            share[rows[rows >= 0]] = self.shares[rows >= 0]
            order = np.lexsort((-catalogue.ids, -share))
            units = np.rint(np.clip(share[order], 0, 1) * SCORE_UNIT).astype(np.int64)
            cached = (catalogue.ids, order, units)
            self._orders[:] = [cached]
        return cached[1], cached[2]


class CountryPopularity:
    """Popular products of each country, counted when a request first needs them; thread-safe."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[float, PopularProducts]] = {}
        self._counted_at: dict[str, float] = {}

    def counted_at(self, country: str) -> float:
        """Return when the present count was made, seconds since 1970; 0 before there is one."""
        return self._counted_at.get(country, 0.0)

    def of(self, country: str) -> PopularProducts:
        """Return those of an ISO 3166 code; while PostgreSQL is away, the last count."""
        cached = self._cached.get(country)
        if cached is None or time.monotonic() - cached[0] > COUNTRY_SECONDS:
            try:
                with unit_of_work() as session:
                    cached = time.monotonic(), PopularProducts.count(session, country)
            except RecsysError as error:
                _log.error("popular products of a country cannot be counted", error=str(error))
                return PopularProducts.none() if cached is None else cached[1]
            self._cached[country] = cached
            self._counted_at[country] = clock.now().timestamp()
        return cached[1]
