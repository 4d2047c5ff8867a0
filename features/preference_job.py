"""Writes inferred affinities into `user_preferences`, beside explicit preferences, which it never overwrites.

In each of the documented JSON columns an inferred entry is marked, `{"affinity": 0.4, "source": "inferred"}`
under the name of the category path, brand, colour, size or style; prices as
`{"min": 1, "max": 9, "source": "inferred"}`. Everything else in a column is explicit and stays as it
is: an entry of the same name (or of another spelling of it) wins over the inferred one, a column that holds
something else than an object (a list of names) and an explicit price range are left alone.
`updated_at` is the time of the last word of the user; only in rows without any it is the time of this job.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from features.affinities import Inferred, infer
from features.build.column_reader import open_snapshot
from features.build.preference_reader import FACETS, anything_explicit, anything_inferred
from features.build.product_reader import Taxonomy, read_taxonomies
from features.dataset import Dataset
from features.preference_parsing import INFERRED, affinities, is_inferred
from recsys import clock
from recsys.database.addresses import libpq_url
from recsys.database.servers.references import lock_users
from recsys.database.session import driver_connection, unit_of_work
from recsys.settings import Settings

__all__ = ["PreferenceJobCounts", "write_preferences"]

_COLUMNS = (*(f"{name}_preferences" for name in FACETS), "price_range")
_TABLE = sql.Identifier("recommendations_db", "user_preferences")
_STAGED = """CREATE TEMPORARY TABLE inferred (
    user_id integer PRIMARY KEY, category_preferences jsonb, brand_preferences jsonb, color_preferences jsonb,
    size_preferences jsonb, style_preferences jsonb, price_range jsonb
) ON COMMIT DROP"""
# a name that the user speaks of wins: the right side of || overwrites the left
_MERGED = """CASE
    WHEN p.{0} IS NULL OR jsonb_typeof(p.{0}) = 'null' THEN coalesce({1}, '{{}}')
    WHEN jsonb_typeof(p.{0}) = 'object' THEN coalesce({1}, '{{}}') || coalesce(
        (SELECT jsonb_object_agg(key, value) FROM jsonb_each(p.{0})
         WHERE jsonb_typeof(value) <> 'object' OR coalesce(value ->> 'source', '') <> 'inferred'), '{{}}')
    ELSE p.{0} END"""
_PRICE = """CASE WHEN p.{0} IS NULL OR p.{0} IN ('{{}}', 'null')
    OR jsonb_typeof(p.{0}) = 'object' AND p.{0} ->> 'source' = 'inferred' THEN {1} ELSE p.{0} END"""


@dataclass(frozen=True)
class PreferenceJobCounts:
    """Counts of the job.

    Attributes
    ----------
    users
        With inferred affinities.
    added, changed, unchanged
        Rows.
    cleared
        Rows without any inferred entry now.
    explicit_wins
        Names left out because the user has set them.
    """

    users: int
    added: int
    changed: int
    unchanged: int
    cleared: int
    explicit_wins: int

    def as_json(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)


def write_preferences(settings: Settings, dataset: Dataset) -> PreferenceJobCounts:
    """Infer the affinities of everyone in the dataset and merge them into the table, in one transaction.

    Run again on the same dataset it changes nothing.

    Raises
    ------
    Unavailable
        When PostgreSQL can't be reached.
    """
    chosen = settings.features
    inferred = infer(dataset, prior=chosen.preference_prior, words=chosen.preference_words)
    with open_snapshot(libpq_url(settings), readers=1) as snapshot:
        taxonomies = dict(zip(("category", "brand"), read_taxonomies(snapshot), strict=True))
    now = clock.now()
    with unit_of_work() as session:
        connection = driver_connection(session, "recommendations")
        # preferences that users change meanwhile wait until this is done; reading is not disturbed
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(_TABLE))
        explicit = _explicit_words(connection, taxonomies)
        connection.execute(_STAGED)
        users, left_out = _stage(
            connection, dataset, inferred, explicit, lock_users(session, dataset.users.ids.tolist())
        )
        cleared = connection.execute(_clear(), {"now": now}).rowcount
        before = _count(connection)
        touched = connection.execute(_upsert(), {"now": now}).rowcount
        added = _count(connection) - before
    return PreferenceJobCounts(users, added, touched - added, users - touched, cleared, left_out)


def _count(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(_TABLE)).fetchone()
    return 0 if found is None else int(found[0])


def _explicit_words(
    connection: psycopg.Connection[Any], taxonomies: dict[str, Taxonomy]
) -> dict[tuple[int, str], set[str]]:
    """The words, lower case, for which each user has an explicit preference, by user and facet."""
    asked = sql.SQL("SELECT user_id, {} FROM {} WHERE user_id IS NOT NULL AND {}").format(
        sql.SQL(", ").join(sql.Identifier(f"{name}_preferences") for name in FACETS),
        _TABLE,
        anything_explicit(),
    )
    found: dict[tuple[int, str], set[str]] = {}
    for user, *values in connection.execute(asked):
        for facet, value in zip(FACETS, values, strict=True):
            if not isinstance(value, dict):
                continue
            explicit = {key: entry for key, entry in value.items() if not is_inferred(entry)}
            words = {key.strip().casefold() for key in explicit}
            if facet in taxonomies:
                taxonomy = taxonomies[facet]
                # a name counts as explicit whatever its value is, null and zero included
                codes = affinities(json.dumps(dict.fromkeys(explicit, 1)), taxonomy).by_code
                words |= {taxonomy.words[code].casefold() for code in codes}
            found[user, facet] = words
    return found


def _stage(
    connection: psycopg.Connection[Any],
    dataset: Dataset,
    inferred: Inferred,
    explicit: dict[tuple[int, str], set[str]],
    existing: set[int],
) -> tuple[int, int]:
    left_out = 0
    users = 0
    with connection.cursor().copy("COPY inferred FROM STDIN") as copy:
        for row, user in enumerate(dataset.users.ids.tolist()):
            entries: list[str | None] = []
            for facet in FACETS:
                matrix, words = inferred.facets[facet]
                part = slice(matrix.indptr[row], matrix.indptr[row + 1])
                pairs = zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True)
                found = {words[code]: share for code, share in pairs}
                explicit_words = explicit.get((user, facet), set())
                kept = {
                    word: {"affinity": round(share, 4), "source": INFERRED}
                    for word, share in found.items()
                    if word.casefold() not in explicit_words
                }
                left_out += len(found) - len(kept)
                entries.append(json.dumps(kept))
            low, high = inferred.price[row].tolist()
            price = {"min": round(low, 2), "max": round(high, 2), "source": INFERRED}
            entries.append(None if np.isnan(low) else json.dumps(price))
            if user in existing and any(entry not in (None, "{}") for entry in entries):
                users += 1
                copy.write_row((user, *entries))
    return users, left_out


def _merged(new: str) -> dict[str, sql.Composed]:
    """The SQL value of each column: what is explicit in the row `p`, and what `new` infers."""
    return {
        name: sql.SQL(_PRICE if name == "price_range" else _MERGED).format(
            sql.Identifier(name), sql.Identifier(new, name) if new else sql.SQL("NULL::jsonb")
        )
        for name in _COLUMNS
    }


def _assignments(new: str) -> tuple[sql.Composed, sql.Composed]:
    """SET list, and the condition that it changes something."""
    merged = _merged(new)
    pairs = [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in merged.items()]
    moment = sql.SQL("updated_at = CASE WHEN {} THEN p.updated_at ELSE %(now)s END").format(
        anything_explicit("p")
    )
    differs = [
        # none at all and nothing in it are the same to every reader
        sql.SQL("coalesce(p.{}, '{{}}') IS DISTINCT FROM coalesce({}, '{{}}')").format(
            sql.Identifier(name), value
        )
        for name, value in merged.items()
    ]
    return sql.SQL(", ").join([*pairs, moment]), sql.SQL(" OR ").join(differs)


def _upsert() -> sql.Composed:
    changes, differs = _assignments("excluded")
    names = sql.SQL(", ").join(sql.Identifier(name) for name in _COLUMNS)
    values = sql.SQL(", ").join(sql.Identifier("i", name) for name in _COLUMNS)
    return sql.SQL(
        "INSERT INTO {table} AS p (user_id, {names}, created_at, updated_at) "
        "SELECT i.user_id, {values}, %(now)s, %(now)s FROM inferred AS i "
        "ORDER BY i.user_id "
        "ON CONFLICT (user_id) DO UPDATE SET {changes} WHERE {differs}"
    ).format(table=_TABLE, names=names, values=values, changes=changes, differs=differs)


def _clear() -> sql.Composed:
    changes, differs = _assignments("")
    return sql.SQL(
        "UPDATE {table} AS p SET {changes} WHERE {inferred} AND ({differs}) "
        "AND NOT EXISTS (SELECT FROM inferred AS i WHERE i.user_id = p.user_id)"
    ).format(table=_TABLE, changes=changes, inferred=anything_inferred("p"), differs=differs)
