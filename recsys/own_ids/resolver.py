"""Numbers of rows by own id, from PostgreSQL with a cache in the process.

The cache follows a version in Redis, which each change of an own id replaces and each process reads once a
second. So a renamed product is found by its new name at once, and by its old one for a second at most. An own
id that names nothing is looked up each time: it may be new.

While PostgreSQL does not answer, older entries are used as well, except those from before a change that this
process has seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import uuid4

from cachetools import LRUCache
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
_FRESH_SECONDS = 60.0
"""Bounds how long a change by SQL alone, which replaces no version, is not seen."""
_RETRY_SECONDS = 1.0
"""After PostgreSQL did not answer, cached entries are used this long before it is tried again."""

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


class _Entry(NamedTuple):
    """Numbers of one own id, with the version of the cache and the moment at which they were read."""

    numbers: dict[IdKind, int]
    version: object
    read_at: float


class OwnIdResolver:
    """Resolves own ids; any thread may call it."""

    def __init__(self) -> None:
        self._cache: LRUCache[OwnId, _Entry] = LRUCache(_CACHED)
        self._lock = threading.Lock()
        self._version: object = None
        self._latest_in_redis: object = None
        self._checked_at = -float("inf")
        self._away_until = -float("inf")

    def cached(self, own_ids: Collection[OwnId]) -> Resolution | None:
        """Resolve without waiting; None where one is not cached or the version has to be read."""
        if time.monotonic() - self._checked_at > VERSION_SECONDS:
            return None
        numbers = self._fresh(own_ids)
        return _resolution(numbers) if len(numbers) == len(set(own_ids)) else None

    def look_up(self, own_ids: Collection[OwnId]) -> Resolution:
        """Resolve with one query at most; what is not in the result does not exist.

        Raises
        ------
        Unavailable
            PostgreSQL does not answer and one of them was not read before.
        """
        version = self._current_version()
        numbers = self._fresh(own_ids)
        missing = [own_id for own_id in own_ids if own_id not in numbers and fault_of(own_id) is None]
        if missing:
            numbers |= self._read(missing, version)
        return _resolution(numbers)

    def forget(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache.clear()
            self._version, self._checked_at = None, -float("inf")
            self._away_until = -float("inf")

    def _fresh(self, own_ids: Collection[OwnId]) -> dict[OwnId, dict[IdKind, int]]:
        since = time.monotonic() - _FRESH_SECONDS
        with self._lock:
            entries = {own_id: self._cache.get(own_id) for own_id in own_ids}
            return {
                own_id: entry.numbers
                for own_id, entry in entries.items()
                if entry is not None and entry.version is self._version and entry.read_at > since
            }

    def _read(self, missing: Collection[OwnId], version: object) -> dict[OwnId, dict[IdKind, int]]:
        """Read from PostgreSQL, or from older entries while it does not answer. Raises Unavailable."""
        older = self._older(missing)
        if older is not None and time.monotonic() < self._away_until:
            return older
        try:
            rows = _read(missing)
        except Unavailable:
            self._away_until = time.monotonic() + _RETRY_SECONDS
            if older is None:
                raise
            return older
        read_at = time.monotonic()
        with self._lock:
            # a change since then has replaced the version, and what was read is older
            if version is self._version:
                for own_id, numbers in rows.items():
                    self._cache[own_id] = _Entry(numbers, version, read_at)
        return rows

    def _older(self, own_ids: Collection[OwnId]) -> dict[OwnId, dict[IdKind, int]] | None:
        """The entries of these own ids whatever their age; None where one has none."""
        with self._lock:
            entries = {own_id: self._cache.get(own_id) for own_id in own_ids}
        if None in entries.values():
            return None
        return {own_id: entry.numbers for own_id, entry in entries.items() if entry is not None}

    def _current_version(self) -> object:
        """Read the version where that is due, and empty the cache where it is another.

        While Redis does not answer, entries count as old at each reading: a change may have been missed.
        """
        if time.monotonic() - self._checked_at <= VERSION_SECONDS:
            return self._version
        started = time.monotonic()
        try:
            client = get_redis()
            in_redis: object = client.get(keys.own_ids_version())
            if in_redis is None:
                # Redis has lost it, and with it perhaps a change
                client.set(keys.own_ids_version(), uuid4().hex, nx=True)
                in_redis = client.get(keys.own_ids_version())
        except (RedisError, OSError, Unavailable):
            in_redis = None
        with self._lock:
            if in_redis is None:
                self._version = object()
            else:
                changed = in_redis != self._latest_in_redis
                if changed:
                    self._cache.clear()
                # the same version after an absence is another object: entries from before it count as old
                if changed or self._version is not self._latest_in_redis:
                    self._version = self._latest_in_redis = in_redis
            self._checked_at = started
            return self._version


def _resolution(numbers: Mapping[OwnId, Mapping[IdKind, int]]) -> Resolution:
    return {(kind, own_id): number for own_id, by_kind in numbers.items() for kind, number in by_kind.items()}


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
