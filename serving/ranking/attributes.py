"""Products by any attribute they have, looked up when a request first filters by it."""

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
"""Columns of `products` that are attributes as they are; other names are keys of `dimensions`."""
OPTIONS = ("option1", "option2", "option3", "barcode")
"""Columns of `product_variants`: a product has the values of all its variants."""
FRESH_SECONDS = 5.0
NAMES_SECONDS = 60.0
CACHE_SIZE = 50
"""Attributes that stay in memory."""
_log = get_logger(__name__)

_DIMENSIONS = """
    SELECT DISTINCT jsonb_object_keys(dimensions) FROM products_db.products
    WHERE jsonb_typeof(dimensions) = 'object'
"""
_NONE = np.empty(0, dtype=np.int64)
_Values = dict[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class _Read:
    at: float
    values: _Values


class Attributes:
    """Thread-safe. What was read once is used while PostgreSQL is away."""

    def __init__(self) -> None:
        self._read: LRUCache[str, _Read] = LRUCache(CACHE_SIZE)
        self._names: tuple[float, frozenset[str]] = (-math.inf, frozenset())
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def check(self, names: Collection[str]) -> None:
        """Raises Invalid for an attribute that no product has; Unavailable when that cannot be looked up."""
        unknown = [name for name in names if name not in COLUMNS and name not in OPTIONS]
        for name in unknown:
            if name not in self._dimensions():
                near = difflib.get_close_matches(name, {*COLUMNS, *OPTIONS, *self._dimensions()}, n=1)
                hint = f" Did you mean attr.{near[0]}?" if near else ""
                raise Invalid(
                    f"attr.{name}: no product has this attribute. Expected a column of products or variants, "
                    f"or a key of `dimensions`.{hint}",
                    field="attr",
                )

    def products(self, name: str, value: str, *, wait: bool = True) -> npt.NDArray[np.int64]:
        """Ids of the products whose attribute `name` is `value`, written as PostgreSQL writes it.

        Case does not matter. Without `wait` only what was read before is used. Raises Unavailable when the
        attribute must be read and PostgreSQL is away.
        """
        with self._lock:
            read = self._read.get(name)
        if wait and (read is None or time.monotonic() - read.at > FRESH_SECONDS):
            read = self._refreshed(name)
        return _NONE if read is None else read.values.get(value.casefold(), _NONE)

    def _refreshed(self, name: str) -> _Read:
        with self._reading:  # one look at the whole catalogue at a time, whoever asks
            with self._lock:
                read = self._read.get(name)
            if read is not None and time.monotonic() - read.at <= FRESH_SECONDS:
                return read
            try:
                read = _Read(time.monotonic(), _values(name))
            except Unavailable as error:
                if read is None:
                    message = f"Products cannot be filtered by attr.{name} while PostgreSQL is away."
                    raise Unavailable(message, public=message) from error
                _log.warning("an attribute is not fresh: PostgreSQL is away", attribute=name)
                return read
            with self._lock:
                self._read[name] = read
            return read

    def _dimensions(self) -> frozenset[str]:
        """The keys of all products' `dimensions`, at most a minute old."""
        with self._reading:
            at, names = self._names
            if time.monotonic() - at > NAMES_SECONDS:
                try:
                    with copy_connection() as connection:
                        names = frozenset(row[0] for row in connection.execute(_DIMENSIONS))
                except Unavailable as error:
                    if math.isinf(at):
                        message = "Products cannot be filtered by attributes while PostgreSQL is away."
                        raise Unavailable(message, public=message) from error
                    _log.warning("names of attributes are not fresh: PostgreSQL is away")
                self._names = time.monotonic(), names
            return names


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
