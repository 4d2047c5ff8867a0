"""Cost prices of products, for the margin that lists could bring."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from features.dataset import Dataset
from recsys.database.session import unit_of_work
from recsys.domains.products.tables import Product

__all__ = ["read_costs"]


def read_costs(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Cost price of each item as the catalogue says now, float64 (items,); NaN where it says none."""
    costs = np.full(len(dataset.items), np.nan)
    with unit_of_work() as session:
        rows = session.execute(
            select(Product.id, Product.cost_price).where(Product.cost_price.is_not(None))
        ).all()
    if rows:
        places = dataset.items.index(np.array([row[0] for row in rows], dtype=np.int64))
        found = np.array([float(cost or 0) for _, cost in rows])
        costs[places[places >= 0]] = found[places >= 0]
    return costs
