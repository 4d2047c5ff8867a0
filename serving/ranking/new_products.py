"""Counts of new products, and the choice among them by Thompson sampling.

The click rate of each new product has a Beta distribution by its clicks and displays so far. A draw from each
chooses the products, so that one is displayed as often as it may be the best: Chapelle & Li (2011), "An
empirical evaluation of Thompson sampling", NeurIPS, algorithm 2 (Beta-Bernoulli).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys import clock
from serving.catalogue.catalogue import Catalogue

__all__ = ["NewProducts", "count_new_products"]

MAX_PRODUCTS = 1_000
"""The newest products that take part."""
PRIOR_DISPLAYS = 20.0
"""So many displays with the click rate of all new products are added to those of each."""
_COUNTS = text(
    """
    SELECT product_id, sum(displays)::bigint AS displays, sum(clicks)::bigint AS clicks FROM (
        SELECT d.product_id, count(*) AS displays, 0 AS clicks
        FROM recommendations_db.exposures x, unnest(x.product_ids) AS d(product_id)
        WHERE x.shown_at >= :since AND x.product_ids && :products AND d.product_id = ANY(:products)
        GROUP BY d.product_id
        UNION ALL
        SELECT f.product_id, 0, count(*) FROM recommendations_db.recommendation_feedback f
        WHERE f.created_at >= :since AND f.feedback_type = 'clicked' AND f.product_id = ANY(:products)
        GROUP BY f.product_id
    ) AS counted
    GROUP BY product_id
    """
).bindparams(bindparam("products", type_=ARRAY(INTEGER)))


@dataclass(frozen=True, eq=False)
class NewProducts:
    """The new products on sale, and how often each was displayed and clicked.

    Attributes
    ----------
    products : int64, shape (n,)
        Ids of the products.
    displays, clicks : float64, shape (n,)
        How often each was displayed and clicked.
    """

    products: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    displays: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    clicks: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def choose(
        self, eligible: npt.NDArray[np.bool_], size: int, generator: np.random.Generator
    ) -> list[tuple[int, float]]:
        """Draw a click rate for each eligible product; return the `size` highest with their expected rates.

        The prior is the rate of all new products together, worth `PRIOR_DISPLAYS`.

        Parameters
        ----------
        eligible : bool, shape (n,)
        """
        rows = np.flatnonzero(eligible)
        if not rows.size:
            return []
        clicks, displays = self.clicks, np.maximum(self.displays, self.clicks)
        rate = (clicks.sum() + 1.0) / (displays.sum() + PRIOR_DISPLAYS)
        successes = PRIOR_DISPLAYS * rate + clicks[rows]
        failures = PRIOR_DISPLAYS * (1.0 - rate) + displays[rows] - clicks[rows]
        best = np.argsort(-generator.beta(successes, failures), kind="stable")[:size]
        expected = successes[best] / (successes[best] + failures[best])
        return list(zip(self.products[rows[best]].tolist(), expected.tolist(), strict=True))


def count_new_products(session: Session, catalogue: Catalogue, days: float) -> NewProducts:
    """Count displays and clicks of the products of the last `days` days; `MAX_PRODUCTS` at most."""
    since = clock.now() - timedelta(days=days)
    rows = np.flatnonzero(catalogue.shown & (catalogue.created >= since.timestamp()))
    rows = np.sort(rows[np.argsort(-catalogue.created[rows], kind="stable")][:MAX_PRODUCTS])
    products = catalogue.ids[rows]
    displays, clicks = np.zeros(products.size), np.zeros(products.size)
    if products.size:
        for row in session.execute(_COUNTS, {"since": since, "products": products.tolist()}):
            place = int(np.searchsorted(products, row.product_id))
            displays[place], clicks[place] = row.displays, row.clicks
    return NewProducts(products, displays, clicks)
