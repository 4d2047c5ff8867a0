"""Users into `users_db.users`, found again by their username, and the profiles of new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from recsys.imports.loading.staging import Connection, count, stage
from recsys.imports.slugs import slug

__all__ = ["USER_COLUMNS", "MergedUsers", "default_email", "merge_users", "user_ids"]

USER_COLUMNS = {
    "line": "bigint",
    "username": "text",
    "email": "text",
    "full_name": "text",
    "created_at": "timestamptz",
    "preferences": "jsonb",
}
NO_PASSWORD = "!"  # no hash: nobody can log in with it

_TAKEN = b"""
DELETE FROM staged_users AS s USING users_db.users AS u
WHERE u.email = s.email AND u.username <> s.username
RETURNING s.line
"""
_MERGE = """
WITH fresh AS (
    INSERT INTO users_db.users (email, username, full_name, password_hash, created_at)
    SELECT email, username, full_name, %(no_password)s, coalesce(created_at, %(now)s)
    FROM staged_users ORDER BY line
    ON CONFLICT (username) DO NOTHING
    RETURNING id, username, created_at
), profiles AS (
    INSERT INTO users_db.user_profiles (user_id, preferences, created_at)
    SELECT f.id, s.preferences, f.created_at FROM fresh AS f JOIN staged_users AS s USING (username)
    WHERE s.preferences IS NOT NULL ORDER BY s.line
    RETURNING id
)
SELECT (SELECT count(*) FROM staged_users), (SELECT count(*) FROM fresh), (SELECT count(*) FROM profiles)
"""


@dataclass(frozen=True)
class MergedUsers:
    """What became of the rows of one batch; `taken` are the lines whose email is another user's."""

    added: int
    already_there: int
    profiles: int
    taken: list[int]


def merge_users(connection: Connection, users: pl.DataFrame, now: datetime) -> MergedUsers:
    """Add the users that are not there yet; those that are stay as they are.

    Parameters
    ----------
    connection
        In the transaction that adds them.
    users
        The columns of USER_COLUMNS, usernames distinct.
    now
        What a missing `created_at` becomes.
    """
    stage(connection, "staged_users", USER_COLUMNS, users)
    taken = [int(row[0]) for row in connection.execute(_TAKEN).fetchall()]
    staged, added, profiles = count(connection, _MERGE, {"now": now, "no_password": NO_PASSWORD})
    return MergedUsers(added, staged - added, profiles, taken)


def default_email(usernames: pl.Series) -> pl.Series:
    """An address that can never receive mail (RFC 2606), different for different usernames."""
    return slug(usernames, exact=True, longest=64) + "@example.invalid"


def user_ids(connection: Connection, usernames: Sequence[str]) -> pl.DataFrame:
    """`name` and `id` of the users that exist."""
    rows = connection.execute(
        "SELECT username, id FROM users_db.users WHERE username = ANY(%s)", (list(usernames),)
    ).fetchall()
    return pl.DataFrame(rows, schema={"name": pl.String, "id": pl.Int32}, orient="row")
