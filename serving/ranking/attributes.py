"""Products by any attribute they have, looked up when somebody first filters by it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql

from recsys.database.session import copy_connection
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["COLUMNS", "Attributes"]

COLUMNS = (
    "sku", "slug", "status", "weight", "compare_price", "is_featured", "track_inventory", "seo_title",
)  # fmt: skip
"""Columns of `products` that are attributes as they are; other names are keys of `dimensions`."""
OPTIONS = ("option1", "option2", "option3", "barcode")
"""Columns of `product_variants`: a product has the values of all its variants."""
FRESH_SECONDS = 5.0
KEPT = 50
"""So many attributes stay in memory."""
_log = get_logger(__name__)

_NONE = np.empty(0, dtype=np.int64)
_Values = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class _Read:
    at: float
    values: _Values


class Attributes:
    """Thread-safe; what was read once is used on while PostgreSQL is away."""

    def __init__(self) -> None:
        self._read: OrderedDict[str, _Read] = OrderedDict()
        self._lock = threading.Lock()

    def products(self, name: str, value: str, *, wait: bool = True) -> npt.NDArray[np.int64]:
        """Ids of the products whose attribute `name` is `value`, written as PostgreSQL writes it.

        Capital letters do not matter. Without `wait` only what was read before is known. Raises Unavailable
        when it must be read and PostgreSQL is away.
        """
        with self._lock:
            kept = self._read.get(name)
        if not wait:
            return _NONE if kept is None else kept.values.get(value.casefold(), _NONE)
        if kept is None or time.monotonic() - kept.at > FRESH_SECONDS:
            try:
                kept = _Read(time.monotonic(), _values(name))
            except Unavailable as error:
                if kept is None:
                    message = f"Products cannot be filtered by attr.{name} while PostgreSQL is away."
                    raise Unavailable(message, public=message) from error
                _log.warning("an attribute is not fresh: PostgreSQL is away", attribute=name)
            with self._lock:
                self._read[name] = kept
                self._read.move_to_end(name)
                while len(self._read) > KEPT:
                    self._read.popitem(last=False)
        return kept.values.get(value.casefold(), _NONE)


def _values(name: str) -> _Values:
    found: dict[str, list[int]] = {}
    with copy_connection() as connection:
        for product, value in connection.execute(_query(name), {"name": name}):
            found.setdefault(value.casefold(), []).append(product)
    return {value: np.array(products, dtype=np.int64) for value, products in found.items()}


def _query(name: str) -> sql.Composed:
    if name in COLUMNS:
        return sql.SQL("SELECT id, CAST({0} AS text) FROM products_db.products WHERE {0} IS NOT NULL").format(
            sql.Identifier(name)
        )
    if name in OPTIONS:
        return sql.SQL(
            "SELECT DISTINCT product_id, {0} FROM products_db.product_variants "
            "WHERE {0} IS NOT NULL AND product_id IS NOT NULL"
        ).format(sql.Identifier(name))
    return sql.SQL(
        "SELECT id, dimensions ->> %(name)s FROM products_db.products "
        "WHERE jsonb_typeof(dimensions) = 'object' AND dimensions ->> %(name)s IS NOT NULL"
    ).format()
