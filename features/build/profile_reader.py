"""Reads who users are from `user_profiles`: gender, year of birth, and what `preferences` says of them.

Every plain value of the profile's JSON, also within an object in it (`{"household": {"age": "35-44"}}`),
is a word of its key and the value: "age: 35-44". Long texts and lists are no demographics and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
from psycopg import sql

from features.build.column_reader import NO_ID, Column, Snapshot
from features.ids import IdMap
from features.tables import Demographics, Words

__all__ = ["read_demographics"]

TABLE = sql.Identifier("users_db", "user_profiles")
LONGEST = 60
_UPDATED_UNTIL = "coalesce(updated_at, created_at, '-infinity') <= {}"
_COLUMNS = {
    "user": Column(f"coalesce(user_id, {NO_ID})", "int4"),
    "updated": Column("coalesce(updated_at, created_at, '-infinity')", "timestamptz"),
    "gender": Column("coalesce(gender, '')", "text"),
    "born": Column("coalesce(extract(year FROM date_of_birth)::int, 0)", "int4"),
    "preferences": Column("coalesce(preferences::text, '')", "text"),
}


def read_demographics(snapshot: Snapshot, users: IdMap, until: sql.Composable | None = None) -> Demographics:
    """Of `users`, what was written up to `until` (an SQL timestamptz), or all there is."""
    updated_in_time = sql.SQL("true") if until is None else sql.SQL(_UPDATED_UNTIL).format(until)
    where = sql.SQL("user_id IS NOT NULL AND {}").format(updated_in_time)
    updated = np.zeros(len(users), dtype=np.int64)
    owners: list[int] = []
    words: list[str] = []
    for part in snapshot.read(TABLE, _COLUMNS, where=where):
        rows = users.index(part["user"])
        columns = (
            rows.tolist(),
            part["updated"].tolist(),
            part["gender"],
            part["born"].tolist(),
            part["preferences"],
        )
        for row, moment, gender, born, preferences in zip(*columns, strict=True):
            found = list(_words(gender, born, preferences)) if row >= 0 else []
            if found:
                updated[row] = max(updated[row], moment) if updated[row] else moment
                owners += [row] * len(found)
                words += found
    return Demographics(Words.of(owners, words, len(users)), updated)


def _words(gender: str, born: int, preferences: str) -> Iterator[str]:
    if gender.strip():
        yield f"gender: {gender.strip().casefold()}"
    if born:
        yield f"born: {born // 10 * 10}s"
    try:
        value = orjson.loads(preferences) if preferences else None
    except orjson.JSONDecodeError:  # PostgreSQL holds numbers that no double does
        return
    yield from _plain(value)


def _plain(value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _plain(inner)
        elif isinstance(inner, str | int | float) and 0 < len(str(inner)) <= LONGEST:
            yield f"{key}: {inner}"
