"""The products that pass the filters of a logged list, by the catalogue of now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.domains.products.catalogue import category_and_below
from recsys.errors import NotFound

__all__ = ["OF_PRODUCTS", "passing"]

OF_PRODUCTS = ("categories", "brands", "min_price", "max_price", "tags", "in_stock", "created_since")
"""The filters that `passing` applies; `exclude` and `novelty` are about the visitor's list."""
_PASSING = text(
    """
    SELECT p.id FROM products_db.products p
    WHERE p.status = 'active'
      AND (CAST(:categories AS integer[]) IS NULL OR p.category_id = ANY(CAST(:categories AS integer[])))
      AND (CAST(:brands AS integer[]) IS NULL OR p.brand_id = ANY(CAST(:brands AS integer[])))
      AND (CAST(:min_price AS float8) IS NULL OR p.price >= CAST(:min_price AS float8))
      AND (CAST(:max_price AS float8) IS NULL OR p.price <= CAST(:max_price AS float8))
      AND (CAST(:tags AS text[]) IS NULL OR CAST(p.tags AS text[]) @> CAST(:tags AS text[]))
      AND (CAST(:created_since AS float8) IS NULL
           OR coalesce(CAST(extract(epoch FROM p.created_at) AS float8), 0) >= CAST(:created_since AS float8))
      AND (NOT CAST(:in_stock AS boolean) OR NOT coalesce(p.track_inventory, true)
           OR NOT EXISTS (SELECT FROM products_db.product_variants v WHERE v.product_id = p.id)
           OR EXISTS (SELECT FROM products_db.product_variants v WHERE v.product_id = p.id
                      AND (v.inventory_quantity > 0 OR NOT coalesce(v.inventory_tracking, true))))
    ORDER BY p.id
    """
)


def passing(session: Session, filters: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """The products on sale that pass the filters of `OF_PRODUCTS`, int64, ascending; all without any."""
    values = {name: filters.get(name) for name in OF_PRODUCTS} | {"in_stock": bool(filters.get("in_stock"))}
    if values["categories"]:
        values["categories"] = sorted(
            {below for each in values["categories"] for below in _with_below(session, each)}
        )
    return np.array(session.scalars(_PASSING, values).all(), dtype=np.int64)


def _with_below(session: Session, category: int) -> list[int]:
    try:
        return list(category_and_below(session, category))
    except NotFound:
        return []  # it was deleted since
