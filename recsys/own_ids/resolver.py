"""Numbers of rows by own id, from PostgreSQL with a cache in the process.

The cache follows a version in Redis, which each change of an own id replaces and each process reads once a
second. So a renamed product is found by its new name at once, and by its old one for a second at most. An own
id that names nothing is looked up each time: it may be new.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from uuid import uuid4

from cachetools import TTLCache
from redis.exceptions import RedisError
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, VARCHAR
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.own_ids.scheme import IdKind, OwnId, fault_of

__all__ = ["RESOLVER", "OwnIdResolver", "Resolution", "own_ids_changed"]

Resolution = Mapping[tuple[IdKind, OwnId], int]
"""The number of each thing that has a requested own id; one own id may name a category and a brand."""
VERSION_SECONDS = 1.0
"""Seconds between two looks at the version."""
_CACHED = 100_000
_CACHED_SECONDS = 60.0
"""Bounds how long a change by SQL alone, which replaces no version, is not seen."""

# a product's own SKU counts before that of a variant: rows of a higher precedence replace the others
_SELECTS = {
    "sku": """
        SELECT 'variant' AS kind, 'sku' AS scheme, sku AS value, id, 0 AS precedence
        FROM products_db.product_variants WHERE sku = ANY(:sku)
        UNION ALL
        SELECT 'product', 'sku', sku, product_id, 0
        FROM products_db.product_variants WHERE sku = ANY(:sku) AND product_id IS NOT NULL
        UNION ALL
        SELECT 'product', 'sku', sku, id, 1 FROM products_db.products WHERE sku = ANY(:sku)
        """,
    "username": """
        SELECT 'user' AS kind, 'username' AS scheme, username AS value, id, 0 AS precedence
        FROM users_db.users WHERE username = ANY(:username)
        """,
    "slug": """
        SELECT 'category' AS kind, 'slug' AS scheme, slug AS value, id, 0 AS precedence
        FROM products_db.categories WHERE slug = ANY(:slug)
        UNION ALL
        SELECT 'brand', 'slug', slug, id, 0 FROM products_db.brands WHERE slug = ANY(:slug)
        """,
    "name": """
        SELECT 'category' AS kind, 'name' AS scheme, name AS value, id, 0 AS precedence
        FROM products_db.categories WHERE name = ANY(:name)
        UNION ALL
        SELECT 'brand', 'name', name, id, 0 FROM products_db.brands WHERE name = ANY(:name)
        """,
}


class OwnIdResolver:
    """Resolves own ids; any thread may call it."""

    def __init__(self) -> None:
        self._cache: TTLCache[OwnId, dict[IdKind, int]] = TTLCache(_CACHED, _CACHED_SECONDS)
        self._lock = threading.Lock()
        self._version: object = None
        self._checked_at = -float("inf")

    def cached(self, own_ids: Collection[OwnId]) -> Resolution | None:
        """Resolve without waiting; None where one is not cached or the version has to be read."""
        if time.monotonic() - self._checked_at > VERSION_SECONDS:
            return None
        found: dict[tuple[IdKind, OwnId], int] = {}
        with self._lock:
            for own_id in own_ids:
                numbers = self._cache.get(own_id)
                if numbers is None:
                    return None
                found |= {(kind, own_id): number for kind, number in numbers.items()}
        return found

    def look_up(self, own_ids: Collection[OwnId]) -> Resolution:
        """Resolve with one query at most; what is not in the result does not exist.

        Raises Unavailable when PostgreSQL does not answer.
        """
        version = self._current_version()
        with self._lock:
            numbers = {own_id: self._cache[own_id] for own_id in own_ids if own_id in self._cache}
        missing = [own_id for own_id in own_ids if own_id not in numbers and fault_of(own_id) is None]
        if missing:
            read = _read(missing)
            with self._lock:
                # a change since then has emptied the cache, and what was read is older
                if version is self._version:
                    self._cache.update(read)
            numbers |= read
        return {
            (kind, own_id): number for own_id, by_kind in numbers.items() for kind, number in by_kind.items()
        }

    def forget(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache.clear()
            self._version, self._checked_at = None, -float("inf")

    def _current_version(self) -> object:
        """Read the version where that is due, and empty the cache where it is another."""
        if time.monotonic() - self._checked_at <= VERSION_SECONDS:
            return self._version
        started = time.monotonic()
        try:
            client = get_redis()
            version: object = client.get(keys.own_ids_version())
            if version is None:
                # Redis has lost it, and with it perhaps a change
                client.set(keys.own_ids_version(), uuid4().hex, nx=True)
                version = client.get(keys.own_ids_version())
        except (RedisError, OSError, Unavailable):
            version = None
        with self._lock:
            if version is None or version != self._version:
                self._cache.clear()
                self._version = object() if version is None else version
            self._checked_at = started
            return self._version


def _read(own_ids: Collection[OwnId]) -> dict[OwnId, dict[IdKind, int]]:
    values: dict[str, list[str]] = {}
    for own_id in own_ids:
        values.setdefault(own_id.scheme, []).append(own_id.value)
    query = text(" UNION ALL ".join(_SELECTS[scheme] for scheme in values)).bindparams(
        *(bindparam(scheme, type_=ARRAY(VARCHAR)) for scheme in values)
    )
    with unit_of_work() as session:
        rows = session.execute(query, values).all()
    found: dict[OwnId, dict[IdKind, int]] = {}
    for row in sorted(rows, key=lambda row: row.precedence):
        found.setdefault(OwnId(row.scheme, row.value), {})[IdKind(row.kind)] = row.id
    return found


RESOLVER = OwnIdResolver()
"""The resolver of this process."""


def own_ids_changed(session: Session) -> None:
    """Call it where an own id is given to something else, or to nothing: after the commit it is forgotten.

    A new own id needs no call.
    """
    after_commit(session, _replace_version)


def _replace_version() -> None:
    RESOLVER.forget()
    get_redis().set(keys.own_ids_version(), uuid4().hex)
