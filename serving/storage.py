"""Where stored lists live: Redis for answers, `product_recommendations` for the rest; one live generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import libpq_url, unit_of_work
from recsys.errors import Conflict, Unavailable
from recsys.log import get_logger
from serving.lists import SCORE_UNIT, Entry, StoredList
from serving.reasons import Kind, ReasonCode

__all__ = [
    "OLD_GENERATION_SECONDS",
    "Generation",
    "RowWriter",
    "live_generation",
    "only_one_scoring",
    "read_list",
    "reconcile",
    "retire_lists",
    "show_generation",
    "start_generation",
    "write_lists",
]

SCORING_LOCK = 7_290_321
"""Advisory lock (session) of whoever writes a generation."""
OLD_GENERATION_SECONDS = 300
"""How long the former generation's lists stay after the switch, for readers that began before it."""
OWN_TYPES = tuple(kind.word for kind in (Kind.COLLABORATIVE, Kind.CONTENT_BASED, Kind.POPULAR))
"""The recommendation types that scoring writes and sweeps; other rows are somebody else's."""
_log = get_logger(__name__)


@dataclass(frozen=True)
class Generation:
    """One complete set of stored lists."""

    id: int
    model: str
    version: str
    users: int
    rows: int
    live_at: datetime | None


_LIVE = text(
    """
    SELECT id, model_name, model_version, users, rows, live_at
    FROM recommendations_db.recommendation_generations WHERE status = 'live'
    """
)
_START = text(
    """
    INSERT INTO recommendations_db.recommendation_generations (model_name, model_version, status, started_at)
    VALUES (:name, :version, 'writing', :now) RETURNING id
    """
)
_FAIL = text(
    """
    UPDATE recommendations_db.recommendation_generations SET status = 'failed'
    WHERE status = 'writing' RETURNING id
    """
)
_LIST = text(
    """
    SELECT product_id, CAST(score * 10000 AS integer) AS score, recommendation_type,
           CAST(context ->> 'reason' AS integer) AS reason,
           CAST(context ->> 'evidence' AS integer) AS evidence,
           CAST(context ->> 'novel' AS boolean) AS novel,
           coalesce(CAST(context ->> 'bought' AS boolean), false) AS bought,
           CAST(context ->> 'generation' AS integer) AS generation,
           g.model_name, g.model_version
    FROM recommendations_db.product_recommendations r
    JOIN recommendations_db.recommendation_generations g ON g.status = 'live'
    WHERE user_id = :user_id AND recommendation_type = ANY(:types)
      AND (expires_at IS NULL OR expires_at > :now)
      AND CAST(context ->> 'generation' AS integer) = g.id
    ORDER BY CAST(context ->> 'rank' AS integer)
    """
)
_KINDS = {kind.word: kind for kind in Kind}


def live_generation(session: Session) -> Generation | None:
    """The generation that readers see, by PostgreSQL."""
    row = session.execute(_LIVE).one_or_none()
    return None if row is None else Generation(*row)


@contextmanager
def only_one_scoring() -> Iterator[None]:
    """Hold the right to write a generation. Raises Conflict when somebody else does."""
    try:
        connection = psycopg.connect(libpq_url(), autocommit=True)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"PostgreSQL cannot be reached: {error}; `recsys up` starts the embedded one"
        ) from error
    with connection:
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [SCORING_LOCK]).fetchone()
        if row is None or not row[0]:
            raise Conflict("another scoring is running; wait for it to end, then run this again")
        yield


def start_generation(model: str, version: str) -> int:
    """Begin a new generation that nobody sees yet; its id. What crashed runs left behind is cleared away.

    Call it under `only_one_scoring`.
    """
    with unit_of_work() as session:
        failed = list(session.scalars(_FAIL))
        started = session.execute(
            _START, {"name": model, "version": version, "now": clock.now()}
        ).scalar_one()
    for generation in failed:
        _log.warning("a scoring had ended half-way; its lists are removed", generation=generation)
        retire_lists(generation, 0)
    return int(started)


def write_lists(generation: int, lists: Mapping[int, bytes], seconds: int) -> None:
    """Put packed lists into Redis, to expire after `seconds`. Raises redis.RedisError."""
    pipeline = get_redis().pipeline(transaction=False)
    for user, packed in lists.items():
        pipeline.set(keys.stored_recommendations(generation, user), packed, ex=seconds)
    pipeline.execute()


def show_generation(generation: int) -> None:
    """Point Redis' readers to a generation. Raises redis.RedisError."""
    get_redis().set(keys.live_generation(), generation)


def retire_lists(generation: int, seconds: int = OLD_GENERATION_SECONDS) -> None:
    """Let a generation's lists in Redis expire soon (0: at once); without Redis they do so by themselves."""
    pattern = keys.stored_recommendations(generation, 0).removesuffix("0") + "*"
    try:
        client = get_redis()
        pipeline = client.pipeline(transaction=False)
        for waiting, key in enumerate(client.scan_iter(pattern, count=5000), 1):
            if seconds:
                pipeline.expire(key, seconds, lt=True)
            else:
                pipeline.unlink(key)
            if waiting % 5000 == 0:
                pipeline.execute()
        pipeline.execute()
    except (redis.RedisError, OSError, Unavailable) as error:
        _log.error(
            "an old generation's lists stay in Redis until they expire",
            generation=generation,
            error=str(error),
        )


def reconcile() -> int | None:
    """Make Redis point to the generation that PostgreSQL calls live, whatever a crash left; its id.

    Raises Unavailable (PostgreSQL) or redis.RedisError.
    """
    key = keys.live_generation()
    pointer: Any  # `watch` has no types
    with get_redis().pipeline() as pointer:
        # watched before PostgreSQL is asked: a scoring that ends meanwhile moves the pointer itself, and must
        # neither be undone nor have its lists retired
        pointer.watch(key)
        shown = pointer.get(key)
        with unit_of_work() as session:
            live = live_generation(session)
        wanted = None if live is None else str(live.id).encode()
        if shown == wanted:
            return None if live is None else live.id
        pointer.multi()
        if wanted is None:
            pointer.delete(key)
        else:
            pointer.set(key, wanted)
        try:
            pointer.execute()
        except redis.WatchError:
            return None if live is None else live.id
    if live is None:
        return None
    _log.warning(
        "Redis pointed to another generation", found=None if shown is None else str(shown), live=live.id
    )
    if shown is not None and shown.isdigit():
        retire_lists(int(shown))
    return live.id


def read_list(session: Session, user_id: int) -> StoredList | None:
    """One user's list of the live generation from PostgreSQL; None when there is none, or it expired."""
    rows = session.execute(_LIST, {"user_id": user_id, "types": list(OWN_TYPES), "now": clock.now()}).all()
    if not rows:
        return None
    entries = [
        Entry(
            row.product_id,
            row.score,
            _KINDS[row.recommendation_type],
            ReasonCode(row.reason),
            row.evidence,
            row.novel,
            row.bought,
        )
        for row in rows
    ]
    return StoredList(rows[0].generation, rows[0].model_name, rows[0].model_version, entries)


_TEMPORARY = """
    CREATE TEMP TABLE incoming_recommendations (
        user_id integer, product_id integer, score numeric(5,4), reason varchar(100),
        recommendation_type varchar(50), context jsonb
    ) ON COMMIT DROP
"""
_COPY = "COPY incoming_recommendations FROM STDIN"
_BOUGHT = ', "bought": true'
_STEPS = {
    # a user deleted meanwhile would break the foreign key; the lock keeps the others until the commit
    "lock users": """
        SELECT id FROM users_db.users WHERE id IN (SELECT user_id FROM incoming_recommendations)
        ORDER BY id FOR KEY SHARE
    """,
    "forget deleted users": """
        DELETE FROM incoming_recommendations i
        WHERE NOT EXISTS (SELECT FROM users_db.users u WHERE u.id = i.user_id)
    """,
    "analyze": "ANALYZE incoming_recommendations",
    # what another kind of model recommends again keeps its row, so that feedback keeps its link
    "keep rows of another type": """
        UPDATE recommendations_db.product_recommendations r SET recommendation_type = i.recommendation_type
        FROM incoming_recommendations i
        WHERE r.user_id = i.user_id AND r.product_id = i.product_id
          AND r.recommendation_type <> i.recommendation_type AND r.recommendation_type = ANY(%(types)s)
          AND NOT EXISTS (
              SELECT FROM recommendations_db.product_recommendations o
              WHERE o.user_id = r.user_id AND o.product_id = r.product_id AND o.id <> r.id
                AND o.recommendation_type = ANY(%(types)s))
    """,
    "upsert": """
        INSERT INTO recommendations_db.product_recommendations AS r
            (user_id, product_id, score, reason, recommendation_type, context, expires_at, created_at)
        SELECT user_id, product_id, score, reason, recommendation_type, context, %(expires)s, %(now)s
        FROM incoming_recommendations
        ON CONFLICT (user_id, product_id, recommendation_type) DO UPDATE
        SET score = excluded.score, reason = excluded.reason, context = excluded.context,
            expires_at = excluded.expires_at
    """,
    "sweep": """
        DELETE FROM recommendations_db.product_recommendations r
        WHERE r.recommendation_type = ANY(%(types)s) AND NOT EXISTS (
            SELECT FROM incoming_recommendations i
            WHERE i.user_id = r.user_id AND i.product_id = r.product_id
              AND i.recommendation_type = r.recommendation_type)
    """,
    "retire": """
        UPDATE recommendations_db.recommendation_generations SET status = 'retired' WHERE status = 'live'
    """,
    "go live": """
        UPDATE recommendations_db.recommendation_generations
        SET status = 'live', live_at = %(now)s, users = %(users)s, rows = %(rows)s WHERE id = %(generation)s
    """,
}


class RowWriter:
    """Collects the rows of one generation in a temporary table; used inside one `copy_connection`."""

    def __init__(self, connection: psycopg.Connection[Any], generation: int) -> None:
        self._connection = connection
        self._generation = generation
        self.users = 0
        self.rows = 0
        connection.execute(_TEMPORARY)

    def add(self, lists: Mapping[int, list[Entry]], texts: Mapping[tuple[ReasonCode, int], str]) -> None:
        """Append the lists of some users; `texts` has the words of each (reason, evidence) in them."""
        generation = self._generation
        with self._connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for user, entries in lists.items():
                for rank, one in enumerate(entries, 1):
                    context = (
                        f'{{"generation": {generation}, "rank": {rank}, "evidence": {one.evidence}, '
                        f'"reason": {int(one.reason)}, "novel": {"true" if one.novel else "false"}'
                        f"{_BOUGHT if one.bought else ''}}}"
                    )
                    copy.write_row(
                        (user, one.product, f"{one.score / SCORE_UNIT:.4f}", texts[one.reason, one.evidence],
                         one.kind.word, context)
                    )  # fmt: skip
                self.rows += len(entries)
        self.users += len(lists)

    def switch(self, expires_at: datetime) -> None:
        """Make these rows the stored ones and this generation live, once the transaction commits."""
        values = {
            "types": list(OWN_TYPES),
            "expires": expires_at,
            "now": clock.now(),
            "users": self.users,
            "rows": self.rows,
            "generation": self._generation,
        }
        for statement in _STEPS.values():
            self._connection.execute(statement.encode(), values)
