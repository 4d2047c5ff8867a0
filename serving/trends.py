"""What more people choose than a while ago, and what arrived: lists for everybody beside the popular one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.lists import SCORE_UNIT, Entry
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from serving.catalogue import Catalogue
from serving.popular import Popular

__all__ = ["LONG_DAYS", "RECENT_DAYS", "count_trends", "new_arrivals"]

RECENT_DAYS = 7
LONG_DAYS = 56
PRIOR = 5.0
"""People at the expected rate that each product is given: two buyers against one are no trend."""

_COUNT = text(
    """
    WITH newest AS (SELECT max(created_at) AS at FROM recommendations_db.user_interactions),
    events AS MATERIALIZED (
        SELECT product_id, created_at > at - make_interval(days => :recent) AS is_recent,
               coalesce(user_id::bigint, -abs(hashtextextended(coalesce(session_id, ''), 0) / 2)) AS who
        FROM recommendations_db.user_interactions, newest
        WHERE interaction_type <> 'dismissed' AND created_at > at - make_interval(days => :recent + :long)
    )
    SELECT product_id, count(DISTINCT who) FILTER (WHERE is_recent) AS now,
           count(DISTINCT who) FILTER (WHERE NOT is_recent) AS before
    FROM events GROUP BY product_id
    """
)


def count_trends(session: Session) -> Popular:
    """Products by how much faster they are chosen in the last `RECENT_DAYS` than in the `LONG_DAYS` before.

    log((now + p) / (expected + p)), expected being what the days before make one expect, scaled by how the
    whole shop moved: a gamma prior on the ratio of two Poisson rates (DuMouchel 1999, "Bayesian data mining
    in large frequency tables", section 2). The score shown is 1 − exp(−that): the part of the choices now
    that the past does not explain. Products that do not rise are left to the popular ones.
    """
    rows = session.execute(_COUNT, {"recent": RECENT_DAYS, "long": LONG_DAYS}).all()
    products = np.array([row.product_id for row in rows], dtype=np.int64)
    now = np.array([row.now for row in rows], dtype=np.float64)
    before = np.array([row.before for row in rows], dtype=np.float64)
    scale = now.sum() / before.sum() if before.sum() > 0 else 0.0
    rise = np.log((now + PRIOR) / (before * scale + PRIOR))
    rising = rise > 0
    order = np.argsort(products[rising])
    return Popular(products[rising][order], 1.0 - np.exp(-rise[rising][order]), ReasonCode.TRENDING)


def new_arrivals(catalogue: Catalogue, k: int, allowed: npt.NDArray[np.bool_]) -> list[Entry]:
    """The k newest products of `allowed`; their score: the part of the shop's products that are older."""
    rows = np.flatnonzero(allowed & catalogue.shown)
    newest = rows[np.lexsort((-catalogue.ids[rows], -catalogue.created[rows]))[:k]]
    older = np.searchsorted(np.sort(catalogue.created), catalogue.created[newest], side="left")
    units = np.rint(older / max(1, len(catalogue)) * SCORE_UNIT).astype(np.int64)
    return [
        Entry(product, score, Kind.POPULAR, ReasonCode.NEW_ARRIVAL, -1, True)
        for product, score in zip(catalogue.ids[newest].tolist(), units.tolist(), strict=True)
    ]
