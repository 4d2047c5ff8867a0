"""Products by attribute, read from PostgreSQL when a request first filters by it."""

from __future__ import annotations

import difflib
import math
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache
from psycopg import sql

from recsys.database.session import copy_connection
from recsys.errors import Invalid, Unavailable
from recsys.log import get_logger

__all__ = ["COLUMNS", "Attributes"]

COLUMNS = (
    "sku", "slug", "status", "weight", "compare_price", "is_featured", "track_inventory", "seo_title",
)  # fmt: skip
"""Columns of `products` that are attributes; other names are keys of `dimensions`."""
OPTIONS = ("option1", "option2", "option3", "barcode")
"""Columns of `product_variants`: a product has the values of all its variants."""
FRESH_SECONDS = 5.0
NAMES_SECONDS = 60.0
CACHE_SIZE = 50
"""Attributes in the cache."""
_log = get_logger(__name__)

_DIMENSIONS_QUERY = """
    SELECT DISTINCT jsonb_object_keys(dimensions) FROM products_db.products
    WHERE jsonb_typeof(dimensions) = 'object'
"""
_NO_PRODUCTS = np.empty(0, dtype=np.int64)
_ProductsByValue = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class _CachedAttribute:
    read_at: float
    values: _ProductsByValue


class Attributes:
    """Attributes, cached for `FRESH_SECONDS`; thread-safe. Older values are used while PostgreSQL is away."""

    def __init__(self) -> None:
        self._cache: LRUCache[str, _CachedAttribute] = LRUCache(CACHE_SIZE)
        self._dimension_names: tuple[float, frozenset[str]] = (-math.inf, frozenset())
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def check(self, names: Collection[str]) -> None:
        """Raise Invalid for an attribute that no product has; Unavailable when that cannot be read."""
        dimension_names = [name for name in names if name not in COLUMNS and name not in OPTIONS]
        for name in dimension_names:
            if name not in self._dimensions():
                close_matches = difflib.get_close_matches(
                    name, {*COLUMNS, *OPTIONS, *self._dimensions()}, n=1
                )
                hint = f" Did you mean attr.{close_matches[0]}?" if close_matches else ""
                raise Invalid(
                    f"attr.{name}: no product has this attribute. Expected a column of products or variants, "
                    f"or a key of `dimensions`.{hint}",
                    field="attr",
                )

    def products(self, name: str, value: str, *, wait: bool = True) -> npt.NDArray[np.int64]:
        """Return the products whose attribute has a value.

        Parameters
        ----------
        name
            Of the attribute.
        value
            As PostgreSQL writes it; case does not matter.
        wait
            False to use cached values only.

        Returns
        -------
        int64, shape (n,)
            Ids of the products.

        Raises
        ------
        Unavailable
            The attribute must be read and PostgreSQL is away.
        """
        with self._lock:
            cached = self._cache.get(name)
        if wait and (cached is None or time.monotonic() - cached.read_at > FRESH_SECONDS):
            cached = self._refresh(name)
        return _NO_PRODUCTS if cached is None else cached.values.get(value.casefold(), _NO_PRODUCTS)

    def _refresh(self, name: str) -> _CachedAttribute:
        with self._reading:  # one query over the whole catalogue at a time
            with self._lock:
                cached = self._cache.get(name)
            if cached is not None and time.monotonic() - cached.read_at <= FRESH_SECONDS:
                return cached
            try:
                cached = _CachedAttribute(time.monotonic(), _read_attribute(name))
            except Unavailable as error:
                if cached is None:
                    message = f"Products cannot be filtered by attr.{name} while PostgreSQL is away."
                    raise Unavailable(message, public=message) from error
                _log.warning("an attribute is not fresh: PostgreSQL is away", attribute=name)
                return cached
            with self._lock:
                self._cache[name] = cached
            return cached

    def _dimensions(self) -> frozenset[str]:
        """The keys of all products' `dimensions`, at most `NAMES_SECONDS` old."""
        with self._reading:
            read_at, names = self._dimension_names
            if time.monotonic() - read_at > NAMES_SECONDS:
                try:
                    with copy_connection() as connection:
                        names = frozenset(row[0] for row in connection.execute(_DIMENSIONS_QUERY))
                except Unavailable as error:
                    if math.isinf(read_at):
                        message = "Products cannot be filtered by attributes while PostgreSQL is away."
                        raise Unavailable(message, public=message) from error
                    _log.warning("names of attributes are not fresh: PostgreSQL is away")
                self._dimension_names = time.monotonic(), names
            return names


def _read_attribute(name: str) -> _ProductsByValue:
    ids_by_value: dict[str, list[int]] = {}
    with copy_connection() as connection:
        for product, value in connection.execute(_query(name), {"name": name}):
            ids_by_value.setdefault(value.casefold(), []).append(product)
    return {value: np.array(products, dtype=np.int64) for value, products in ids_by_value.items()}


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
