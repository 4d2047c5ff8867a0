"""The category tree and the brands: found again by path and name, added where they are new."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from recsys.imports.loading.staging import Connection
from recsys.imports.slugs import slug_of

__all__ = ["SEPARATOR", "Brands", "Categories", "path_parts"]

SEPARATOR = " > "
LONGEST_NAME = 100


def path_parts(path: str) -> tuple[str, ...]:
    """The levels of "A > B", each with single spaces."""
    return tuple(" ".join(part.split()) for part in path.split(">"))


class Categories:
    """The tree as one transaction sees it. Paths that differ only in case are the same category.

    Names are unique in the database whatever the parent: where "Snacks" exists elsewhere, "Baby > Snacks" is
    named "Snacks (Baby)". Its slug tells its path, by which it is found again.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT id, name, slug, parent_id FROM products_db.categories").fetchall()
        self._names = {name for _, name, _, _ in rows}
        self._by_slug = {slug: id_ for id_, _, slug, _ in rows}
        self._by_path: dict[tuple[str, ...], int] = {}
        by_id = {id_: (name, parent) for id_, name, _, parent in rows}
        for id_ in by_id:
            self._by_path.setdefault(_walk(id_, by_id), id_)
        self.added = 0

    def ensure(self, paths: Iterable[str], now: datetime) -> dict[str, int]:
        """The id of each path, its last level and all above it added where missing, in the order given."""
        return {path: self._ensure(path_parts(path), now) for path in paths}

    def find(self, path: str) -> int | None:
        """The id of the path, None where there is no such category."""
        key = tuple(part.casefold() for part in path_parts(path))
        return self._by_path.get(key, self._by_slug.get(_path_slug(key)))

    def _ensure(self, parts: tuple[str, ...], now: datetime) -> int:
        key = tuple(part.casefold() for part in parts)
        known = self._by_path.get(key)
        if known is not None:
            return known
        slug = _path_slug(key)
        if slug in self._by_slug:
            self._by_path[key] = self._by_slug[slug]
            return self._by_path[key]
        parent = self._ensure(parts[:-1], now) if len(parts) > 1 else None
        name = self._free_name(parts)
        row = self._connection.execute(
            """INSERT INTO products_db.categories (name, slug, parent_id, created_at)
            VALUES (%s, %s, %s, %s) RETURNING id""",
            (name, slug, parent, now),
        ).fetchone()
        if row is None:
            raise RuntimeError("an insert returned no id")
        self._names.add(name)
        self._by_slug[slug] = self._by_path[key] = int(row[0])
        self.added += 1
        return int(row[0])

    def _free_name(self, parts: tuple[str, ...]) -> str:
        candidates = [parts[-1]]
        if len(parts) > 1:
            candidates += [f"{parts[-1]} ({parts[-2]})", SEPARATOR.join(parts)]
        for candidate in candidates:
            if len(candidate) <= LONGEST_NAME and candidate not in self._names:
                return candidate
        digest = _path_slug((SEPARATOR.join(parts) + "\0",))[-10:]
        return f"{parts[-1][: LONGEST_NAME - len(digest) - 3]} ({digest})"


class Brands:
    """The brands as one transaction sees them; names that differ only in case are the same brand."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.execute("SELECT id, name, slug FROM products_db.brands ORDER BY id DESC").fetchall()
        self._by_name = {name.casefold(): id_ for id_, name, _ in rows}
        self._by_slug = {slug: id_ for id_, _, slug in rows}
        self.added = 0

    def ensure(self, names: Iterable[str], now: datetime) -> dict[str, int]:
        """The id of each name, added where missing, in the order given."""
        ids: dict[str, int] = {}
        missing: dict[str, tuple[str, str]] = {}
        for given in names:
            name = " ".join(given.split())
            key = name.casefold()
            slug = slug_of(key, exact=True, longest=LONGEST_NAME)
            known = self._by_name.get(key, self._by_slug.get(slug))
            if known is None:
                missing.setdefault(key, (name, slug))
            else:
                ids[given] = known
        if missing:
            rows = self._connection.execute(
                """INSERT INTO products_db.brands (name, slug, created_at)
                SELECT name, slug, %s
                FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS new(name, slug, place)
                ORDER BY place RETURNING id, name, slug""",
                (now, [name for name, _ in missing.values()], [slug for _, slug in missing.values()]),
            ).fetchall()
            for id_, name, slug in rows:
                self._by_name[name.casefold()] = self._by_slug[slug] = id_
            self.added += len(rows)
        return {
            given: ids[given] if given in ids else self._by_name[" ".join(given.split()).casefold()]
            for given in names
        }


def _walk(start: int, by_id: dict[int, tuple[str, int | None]]) -> tuple[str, ...]:
    names: list[str] = []
    seen: set[int] = set()
    at: int | None = start
    while at is not None and at in by_id and at not in seen:
        seen.add(at)
        name, parent = by_id[at]
        names.append(" ".join(name.split()).casefold())
        at = parent
    return tuple(reversed(names))


def _path_slug(key: tuple[str, ...]) -> str:
    """Different paths, different slugs: hyphens spell spaces, anything else needs the digest."""
    spelled = "-".join(part.replace(" ", "-") for part in key)
    ambiguous = any("-" in part for part in key) or (len(key) > 1 and any(" " in part for part in key))
    return slug_of(SEPARATOR.join(key) if ambiguous else spelled, exact=True, longest=LONGEST_NAME)
