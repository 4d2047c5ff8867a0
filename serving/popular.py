"""What the shop buys now: the list for whom no model knows, and the filling of lists that are short."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.domains.recommendations.lists import SCORE_UNIT, Entry
from recsys.domains.recommendations.reasons import Kind, ReasonCode
from serving.catalogue import Catalogue

__all__ = ["WINDOW_DAYS", "Popular"]

WINDOW_DAYS = 28
"""Counted from the newest interaction, not from today, so that a log of 2017 has its popular products too."""

_COUNT = text(
    """
    WITH recent AS MATERIALIZED (
        SELECT product_id,
               coalesce(user_id::bigint, -abs(hashtextextended(coalesce(session_id, ''), 0) / 2)) AS who
        FROM recommendations_db.user_interactions
        WHERE interaction_type <> 'dismissed'
          AND created_at > (SELECT max(created_at) FROM recommendations_db.user_interactions)
                           - make_interval(days => :days)
    )
    SELECT product_id, count(DISTINCT who) AS people, (SELECT count(DISTINCT who) FROM recent) AS everybody
    FROM recent GROUP BY product_id
    """
)


@dataclass(frozen=True, eq=False)
class Popular:
    """Products by how many people chose them lately; `shares` (float64, 0..1) is their part of all who chose.

    Products that nobody chose follow, the newest first: the order always covers the whole catalogue.
    """

    products: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    _orders: dict[int, tuple[Catalogue, list[int], list[int], list[int]]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def none(cls) -> Popular:
        """Before anything was counted."""
        return cls(np.empty(0, np.int64), np.empty(0, np.float64))

    @classmethod
    def count(cls, session: Session) -> Popular:
        """Count the interactions of the last `WINDOW_DAYS` days."""
        rows = session.execute(_COUNT, {"days": WINDOW_DAYS}).all()
        products = np.array([row.product_id for row in rows], dtype=np.int64)
        people = np.array([row.people for row in rows], dtype=np.float64)
        return cls(products, people / max(1, rows[0].everybody if rows else 1))

    def entries(
        self, catalogue: Catalogue, leave_out: Collection[int] = (), category: int | None = None
    ) -> Iterator[Entry]:
        """Every product that may be shown, best first, without those to leave out."""
        order, scores, categories = self._order(catalogue)
        for product, score, its in zip(order, scores, categories, strict=True):
            if product in leave_out or (category is not None and its != category):
                continue
            yield Entry(product, score, Kind.POPULAR, ReasonCode.POPULAR, -1, True)

    def _order(self, catalogue: Catalogue) -> tuple[list[int], list[int], list[int]]:
        kept = self._orders.get(0)
        if kept is None or kept[0] is not catalogue:
            share = np.zeros(len(catalogue), dtype=np.float64)
            rows = catalogue.rows(self.products)
            share[rows[rows >= 0]] = self.shares[rows >= 0]
            order = np.lexsort((-catalogue.ids, -share))
            order = order[catalogue.shown[order]]
            units = np.rint(np.clip(share[order], 0, 1) * SCORE_UNIT).astype(np.int64)
            kept = self._orders[0] = (
                catalogue,
                catalogue.ids[order].tolist(),
                units.tolist(),
                catalogue.category[order].tolist(),
            )
        return kept[1:]
