"""Reads what users said they like (`user_preferences`), in any of the spellings that its JSON allows.

The columns hold two sorts of entries. What the user said is a number under a name, `{"Toys": 1}` (or an
object, `{"Toys": {"affinity": 1, "source": "explicit"}}`), or a list of names. What the preferences job
inferred from behaviour is marked: `{"Toys": {"affinity": 0.4, "source": "inferred"}}`, and for prices
`{"min": 1, "max": 9, "source": "inferred"}`. A Dataset takes in what was said and leaves the inferred
entries to the events, of which they are made: it computes them itself for its own moment
(`features.affinities`), so that nothing of a later day gets into an earlier snapshot, nothing counts twice,
and the job's own output is not learned from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql
from scipy import sparse

from features.columns import NO_ID, Column, Snapshot
from features.dataset import Preferences
from features.ids import IdMap
from features.products import SEPARATOR, Taxonomy

__all__ = [
    "FACETS",
    "INFERRED",
    "Affinities",
    "RawPreferences",
    "affinities",
    "anything_inferred",
    "anything_said",
    "is_inferred",
    "price_range",
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
}
INFERRED = "inferred"
FACETS = ("category", "brand", "color", "size", "style")
"""The columns `…_preferences` of the table."""
_LARGEST = float(np.finfo(np.float32).max)


_FACET_SAID = """(jsonb_typeof({0}) NOT IN ('object', 'null')
    OR jsonb_path_exists({0}, '$.* ? (!(@.source == "inferred"))'))"""
_FACET_GUESSED = """jsonb_path_exists({0}, '$.* ? (@.source == "inferred")')"""
_PRICE_SAID = """({0} <> '{{}}' AND jsonb_typeof({0}) <> 'null'
    AND NOT jsonb_path_exists({0}, '$ ? (@.source == "inferred")'))"""
_PRICE_GUESSED = """jsonb_path_exists({0}, '$ ? (@.source == "inferred")')"""


@dataclass(frozen=True, eq=False)
class RawPreferences:
    """One row per user who has preferences, in the order of their ids; the JSON as text."""

    user: npt.NDArray[np.int32]
    updated: npt.NDArray[np.int64]
    categories: list[str]
    brands: list[str]
    price: list[str]


@dataclass
class Affinities:
    """What one JSON value says: code → affinity; and what of it could not be used.

    malformed  parts that are no affinity at all; unknown  names that the catalogue does not have
    inferred   code → affinity that nobody said
    """

    by_code: dict[int, float] = field(default_factory=dict)
    malformed: int = 0
    unknown: int = 0
    inferred: dict[int, float] = field(default_factory=dict)


def anything_said(row: str = "user_preferences") -> sql.Composed:
    """SQL: whether the row holds anything that the user said."""
    return _any_column(row, _FACET_SAID, _PRICE_SAID)


def anything_inferred(row: str = "user_preferences") -> sql.Composed:
    """SQL: whether the row holds anything that the preferences job wrote."""
    return _any_column(row, _FACET_GUESSED, _PRICE_GUESSED)


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


def read_preferences(snapshot: Snapshot, until: sql.Composable | None = None) -> RawPreferences:
    """What was said up to `until` (an SQL timestamptz), or all there is.

    A row that holds nothing but what the preferences job inferred is nobody's word and is left out.
    """
    conditions: list[sql.Composable] = [
        sql.SQL("user_id IS NOT NULL"),
        sql.SQL("({} OR NOT {})").format(anything_said(), anything_inferred()),
    ]
    if until is not None:
        told = sql.SQL("coalesce(updated_at, created_at, '-infinity') <= {}").format(until)
        conditions.append(told)
    where = sql.SQL(" AND ").join(conditions)
    pieces: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for part in snapshot.read(TABLE, _COLUMNS, where=where):
        for name, piece in pieces.items():
            piece.append(part[name])
    user = np.concatenate(pieces["user"])
    order = np.argsort(user)
    texts = {
        name: [value for part in pieces[name] for value in part] for name in ("categories", "brands", "price")
    }
    return RawPreferences(
        user[order],
        np.concatenate(pieces["updated"])[order],
        *([values[i] for i in order] for values in texts.values()),
    )


def user_preferences(
    raw: RawPreferences, users: IdMap, categories: Taxonomy, brands: Taxonomy
) -> tuple[Preferences, dict[str, int]]:
    """The preferences as matrices, and the counts of what was read, malformed and unknown.

    `users` must know every user of `raw`.
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
    return Preferences(liked[0], liked[1], price, updated), counts


def affinities(text: str, taxonomy: Taxonomy) -> Affinities:
    """Read one JSON value: {"id, name, slug or path": number, …}, or a list of those, counting 1 each.

    In place of a number may stand {"affinity": number, "source": "explicit" or "inferred"}.
    """
    found = Affinities()
    for key, value in _entries(text, found):
        guessed = is_inferred(value)
        number = _number(value.get("affinity") if isinstance(value, dict) else value)
        if number is None:
            found.malformed += 1
            continue
        code = _code(key, taxonomy)
        if code is None:
            found.unknown += 1
        elif guessed:
            found.inferred[code] = number
        elif number != 0.0 and abs(number) > abs(found.by_code.get(code, 0.0)):
            # the same thing under two spellings is said once, the stronger way
            found.by_code[code] = number
    return found


def is_inferred(value: object) -> bool:
    """Whether a part of the JSON was written by the preferences job, not said by the user."""
    return isinstance(value, dict) and value.get("source") == INFERRED


def price_range(text: str) -> tuple[tuple[float, float], int]:
    """Read {"min": …, "max": …} or [min, max]: the ends, NaN where not given, and how much was wrong.

    An inferred range was not said: it is read as none.
    """
    nothing = (math.nan, math.nan)
    try:
        value = _parse(text)
    except ValueError:
        return nothing, 1
    if value is None or is_inferred(value):
        return nothing, 0
    if isinstance(value, dict):
        given = [value.get("min"), value.get("max")]
    elif isinstance(value, list) and len(value) == 2:
        given = value
    else:
        return nothing, 1
    numbers = [None if end is None else _number(end) for end in given]
    ends = [math.nan if number is None or number < 0 else number for number in numbers]
    wrong = sum(end is not None and math.isnan(number) for end, number in zip(given, ends, strict=True))
    if ends[0] > ends[1]:
        ends.reverse()
    return (ends[0], ends[1]), wrong


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


def _entries(text: str, found: Affinities) -> Iterator[tuple[object, object]]:
    try:
        value = _parse(text)
    except ValueError:
        found.malformed += 1
        return
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((key, 1.0) for key in value)
    elif value is not None:
        found.malformed += 1


def _parse(text: str) -> Any:
    """Raises ValueError. Numbers all become float: a JSON integer may be longer than Python reads."""
    if not text:
        return None
    try:
        return json.loads(text, parse_int=float)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _number(value: object) -> float | None:
    """A finite number that float32 holds, from a number, a truth value or a text; None for anything else."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) <= _LARGEST else None


def _code(key: object, taxonomy: Taxonomy) -> int | None:
    if isinstance(key, float) and key.is_integer():
        return taxonomy.by_id.get(int(key))
    if not isinstance(key, str):
        return None
    if key.strip().isdecimal() and (code := taxonomy.by_id.get(int(key.strip()[:20]))) is not None:
        return code
    spelled = SEPARATOR.join(part.strip() for part in key.split(">"))
    return taxonomy.by_spelling.get(spelled.casefold())
