"""Trending products and new arrivals: lists that are the same for everybody."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.algorithms.popularity.trending import lower_rise
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from serving.catalogue.catalogue import Catalogue
from serving.ranking.popularity import PERSON_SQL, PopularProducts, dense_until, target_types, weight_people

__all__ = ["LONG_DAYS", "RECENT_DAYS", "count_trends", "new_arrivals"]

RECENT_DAYS = 7
LONG_DAYS = 56
PRIOR = 5.0
"""Pseudo-count of people at the expected rate: two buyers instead of one are no trend."""

MIN_PEOPLE = 5
"""Fewer recent people are no trend, whatever the ratio."""

_COUNT_QUERY = text(
    f"""
    WITH events AS MATERIALIZED (
        SELECT product_id, created_at > :until - make_interval(days => :recent) AS is_recent,
               interaction_type = ANY(:target) AS success, {PERSON_SQL} AS who
        FROM recommendations_db.user_interactions
        WHERE interaction_type <> 'dismissed'
          AND created_at > :until - make_interval(days => :recent + :long) AND created_at <= :until
    )
    SELECT product_id, count(DISTINCT who) FILTER (WHERE is_recent) AS now,
           count(DISTINCT who) FILTER (WHERE is_recent AND success) AS now_successful,
           count(DISTINCT who) FILTER (WHERE NOT is_recent) AS before,
           count(DISTINCT who) FILTER (WHERE NOT is_recent AND success) AS before_successful
    FROM events GROUP BY product_id ORDER BY product_id
    """  # noqa: S608
)


def count_trends(session: Session) -> PopularProducts:
    """Products by how much faster they are chosen in the last `RECENT_DAYS` than in the `LONG_DAYS` before.

    The rise is the lower 95% bound of log((now + p) / (expected + p)); `expected` is the rate of the days
    before, scaled by the growth of the whole shop (`models.algorithms.popularity.trending`). A person with a
    success counts 1, another `LEAD_IN`. The score is 1 − exp(−rise): the part of the recent choices that the
    earlier rate does not explain. Products that do not rise, or with fewer than `MIN_PEOPLE` recent people,
    are left out.
    """
    until = dense_until(session)
    if until is None:
        return PopularProducts(np.empty(0, np.int64), np.empty(0, np.float64), ReasonCode.TRENDING)
    values = {"recent": RECENT_DAYS, "long": LONG_DAYS, "until": until, "target": target_types(session)}
    rows = session.execute(_COUNT_QUERY, values).all()
    products = np.array([row.product_id for row in rows], dtype=np.int64)
    now, now_successful, before, before_successful = (
        np.array([getattr(row, name) for row in rows], dtype=np.float64)
        for name in ("now", "now_successful", "before", "before_successful")
    )
    recent, long = weight_people(now, now_successful), weight_people(before, before_successful)
    scale = float(recent.sum() / long.sum()) if long.sum() > 0 else 0.0
    rise = lower_rise(recent, long, scale, PRIOR)
    rising = (rise > 0) & (now >= MIN_PEOPLE)
    return PopularProducts(products[rising], 1.0 - np.exp(-rise[rising]), ReasonCode.TRENDING)


def new_arrivals(catalogue: Catalogue, k: int, eligible: npt.NDArray[np.bool_]) -> list[Entry]:
    """Return the k newest eligible products, scored by the share of the shop's products that are older."""
    rows = np.flatnonzero(eligible & catalogue.shown)
    newest = rows[np.lexsort((-catalogue.ids[rows], -catalogue.created[rows]))[:k]]
    older = np.searchsorted(np.sort(catalogue.created), catalogue.created[newest], side="left")
    units = np.rint(older / max(1, len(catalogue)) * SCORE_UNIT).astype(np.int64)
    return [
        Entry(product, score, Kind.POPULAR, ReasonCode.NEW_ARRIVAL, -1, True)
        for product, score in zip(catalogue.ids[newest].tolist(), units.tolist(), strict=True)
    ]
