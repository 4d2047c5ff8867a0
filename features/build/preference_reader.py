"""Reads the preferences of users (`user_preferences`), in any of the spellings that its JSON allows.

The columns hold two sorts of entries. An explicit preference is a number under a name, `{"Toys": 1}` (or an
object, `{"Toys": {"affinity": 1, "source": "explicit"}}`), or a list of names. What the preferences job
inferred from behaviour is marked: `{"Toys": {"affinity": 0.4, "source": "inferred"}}`, and for prices
`{"min": 1, "max": 9, "source": "inferred"}`. A Dataset holds the explicit entries and leaves the inferred
entries to the events, of which they are made: it computes them itself for its own moment
(`features.affinities`), so that nothing of a later day gets into an earlier snapshot, nothing counts twice,
and the job's own output is not learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql
from scipy import sparse

from features.build.column_reader import NO_ID, Column, Snapshot
from features.build.consents import ConsentFilter
from features.build.product_reader import Taxonomy
from features.dataset import Preferences
from features.ids import IdMap
from features.preference_parsing import affinities, price_range, worded
from features.tables import ItemFeatures, Words

__all__ = [
    "FACETS",
    "RawPreferences",
    "anything_explicit",
    "anything_inferred",
    "read_preferences",
    "user_preferences",
]

TABLE = sql.Identifier("recommendations_db", "user_preferences")
_COLUMNS = {
    "user": Column(f"coalesce(user_id, {NO_ID})", "int4"),
    "updated": Column("coalesce(updated_at, created_at, '-infinity')", "timestamptz"),
    "categories": Column("coalesce(category_preferences::text, '')", "text"),
    "brands": Column("coalesce(brand_preferences::text, '')", "text"),
    "price": Column("coalesce(price_range::text, '')", "text"),
    "colours": Column("coalesce(color_preferences::text, '')", "text"),
    "sizes": Column("coalesce(size_preferences::text, '')", "text"),
    "styles": Column("coalesce(style_preferences::text, '')", "text"),
}
_TEXTS = tuple(name for name, column in _COLUMNS.items() if column.kind == "text")
TRAITS = ("colours", "sizes", "styles")
FACETS = ("category", "brand", "color", "size", "style")
"""The columns `…_preferences` of the table."""


_FACET_EXPLICIT = """(jsonb_typeof({0}) NOT IN ('object', 'null')
    OR jsonb_path_exists({0}, '$.* ? (!(@.source == "inferred"))'))"""
_FACET_INFERRED = """jsonb_path_exists({0}, '$.* ? (@.source == "inferred")')"""
_PRICE_EXPLICIT = """({0} <> '{{}}' AND jsonb_typeof({0}) <> 'null'
    AND NOT jsonb_path_exists({0}, '$ ? (@.source == "inferred")'))"""
_PRICE_INFERRED = """jsonb_path_exists({0}, '$ ? (@.source == "inferred")')"""


@dataclass(frozen=True, eq=False)
class RawPreferences:
    """One row per user who has preferences, in the order of their ids; the JSON as text."""

    user: npt.NDArray[np.int32]
    updated: npt.NDArray[np.int64]
    categories: list[str]
    brands: list[str]
    price: list[str]
    colours: list[str]
    sizes: list[str]
    styles: list[str]


def anything_explicit(row: str = "user_preferences") -> sql.Composed:
    """SQL: whether the row holds an explicit preference."""
    return _any_column(row, _FACET_EXPLICIT, _PRICE_EXPLICIT)


def anything_inferred(row: str = "user_preferences") -> sql.Composed:
    """SQL: whether the row holds a preference that the preferences job inferred."""
    return _any_column(row, _FACET_INFERRED, _PRICE_INFERRED)


def _any_column(row: str, facet: str, price: str) -> sql.Composed:
    parts = [
        sql.SQL("coalesce({}, false)").format(
            sql.SQL(facet).format(sql.Identifier(row, f"{name}_preferences"))
        )
        for name in FACETS
    ]
    parts.append(
        sql.SQL("coalesce({}, false)").format(sql.SQL(price).format(sql.Identifier(row, "price_range")))
    )
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts))


def read_preferences(
    snapshot: Snapshot, consents: ConsentFilter, until: sql.Composable | None = None
) -> RawPreferences:
    """The explicit preferences up to `until` (an SQL timestamptz), or all of them.

    Rows of users who refuse personalisation, and rows with inferred preferences alone, are left out.
    """
    conditions: list[sql.Composable] = [
        sql.SQL("user_id IS NOT NULL"),
        sql.SQL("({} OR NOT {})").format(anything_explicit(), anything_inferred()),
    ]
    if until is not None:
        updated_in_time = sql.SQL("coalesce(updated_at, created_at, '-infinity') <= {}").format(until)
        conditions.append(updated_in_time)
    where = sql.SQL(" AND ").join(conditions)
    pieces: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for part in snapshot.events.read(TABLE, _COLUMNS, where=where):
        for name, piece in pieces.items():
            piece.append(part[name])
    user = np.concatenate(pieces["user"])
    order = np.argsort(user)
    order = order[~np.isin(user[order], consents.users)]
    texts = {name: [value for part in pieces[name] for value in part] for name in _TEXTS}
    return RawPreferences(
        user[order],
        np.concatenate(pieces["updated"])[order],
        *([values[i] for i in order] for values in texts.values()),
    )


def user_preferences(
    raw: RawPreferences, users: IdMap, categories: Taxonomy, brands: Taxonomy, features: ItemFeatures
) -> tuple[Preferences, dict[str, int]]:
    """The preferences as matrices, and the counts of what was read, malformed and unknown.

    Colours, sizes and styles that none of `features` has are kept, and counted as unknown.

    Parameters
    ----------
    users
        Must know every user of `raw`.
    """
    counts = {"read": int(raw.user.size), "malformed": 0, "unknown": 0, "inferred": 0}
    rows = users.index(raw.user)
    updated = np.zeros(len(users), dtype=np.int64)
    updated[rows] = raw.updated
    price = np.full((len(users), 2), np.nan, dtype=np.float32)
    for row, text in zip(rows.tolist(), raw.price, strict=True):
        price[row], wrong = price_range(text)
        counts["malformed"] += wrong
    liked = [
        _matrix(texts, rows, taxonomy, len(users), counts)
        for texts, taxonomy in ((raw.categories, categories), (raw.brands, brands))
    ]
    traits = [
        _worded(getattr(raw, name), rows, getattr(features, name).words, len(users), counts)
        for name in TRAITS
    ]
    return Preferences(liked[0], liked[1], price, updated, *traits), counts


def _worded(
    texts: list[str], rows: npt.NDArray[np.int64], known: Sequence[str], users: int, counts: dict[str, int]
) -> Words:
    there = set(known)
    entries: list[tuple[int, str, float]] = []
    for row, text in zip(rows.tolist(), texts, strict=True):
        found = worded(text)
        counts["malformed"] += found.malformed
        counts["inferred"] += found.inferred
        counts["unknown"] += len(found.by_word.keys() - there)
        entries += [(row, word, number) for word, number in found.by_word.items()]
    words = sorted({word for _, word, _ in entries})
    code = {word: i for i, word in enumerate(words)}
    matrix = sparse.csr_matrix(
        (
            np.array([number for _, _, number in entries], dtype=np.float32),
            (
                np.array([row for row, _, _ in entries], dtype=np.int32),
                np.array([code[word] for _, word, _ in entries], dtype=np.int32),
            ),
        ),
        shape=(users, len(words)),
    )
    matrix.sort_indices()
    return Words(matrix, words)


def _matrix(
    texts: list[str], rows: npt.NDArray[np.int64], taxonomy: Taxonomy, users: int, counts: dict[str, int]
) -> sparse.csr_matrix:
    owner: list[int] = []
    codes: list[int] = []
    values: list[float] = []
    for row, text in zip(rows.tolist(), texts, strict=True):
        found = affinities(text, taxonomy)
        counts["malformed"] += found.malformed
        counts["unknown"] += found.unknown
        counts["inferred"] += len(found.inferred)
        owner.extend([row] * len(found.by_code))
        codes.extend(found.by_code.keys())
        values.extend(found.by_code.values())
    matrix = sparse.csr_matrix(
        (
            np.array(values, dtype=np.float32),
            (np.array(owner, dtype=np.int32), np.array(codes, dtype=np.int32)),
        ),
        shape=(users, len(taxonomy.words)),
    )
    matrix.sort_indices()
    return matrix
