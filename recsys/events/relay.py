"""Brings published events from the outbox to their streams: in order, at least once, by one relay at a time.

A relay that finds another one at work stands by. (The advisory lock is held for one batch. Skipping rows that
are locked, the usual way, would let an event overtake an earlier one of its aggregate.) Rows are marked only
after Redis has taken them; what a killed relay had sent without marking is sent again with the same event id,
and consumers drop it. The newest batch's moment is stored in Redis with the batch itself: a Redis that lost
it, or its tail, is noticed and gets everything since from the outbox once more.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from typing import Any

import psycopg
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.addresses import connect_arguments, libpq_url
from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.events import consumer_groups, dead_letters, erased_people, retention
from recsys.events.envelope import fields_of, stream_of
from recsys.events.publish import CHANNEL
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["prepare", "relay_batch", "run"]

_LOCK = 0x6F757462  # 'outb'
_LONGEST_WAIT = 10.0
_UPKEEP_SECONDS = 60.0
_log = get_logger(__name__)

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
# a relay that froze with the lock must not stop all others for ever
_LIMIT_IDLE = text("SET LOCAL idle_in_transaction_session_timeout = '30s'")
_NEWEST_SENT = text("SELECT max(sent_at) FROM analytics_db.outbox WHERE sent_at IS NOT NULL")
_LOST = text("UPDATE analytics_db.outbox SET sent_at = NULL WHERE sent_at > :since")
_UNSENT = text(
    """
    SELECT id, event_id, family, name, version, aggregate, data::text AS data, occurred_at,
        traceparent
    FROM analytics_db.outbox WHERE sent_at IS NULL ORDER BY id LIMIT :most FOR UPDATE
    """
)
_MARK = text("UPDATE analytics_db.outbox SET sent_at = :moment WHERE id = ANY(:ids)")


def run(stop: threading.Event, *, once: bool = False) -> int:
    """Relay until `stop` is set.

    Outages of PostgreSQL or Redis are logged and waited out.

    Parameters
    ----------
    stop
        Ends the work when it is set.
    once
        End when the outbox is empty; outages are raised.

    Returns
    -------
    int
        How many events were sent.
    """
    sent, wait, tidied = 0, 0.0, float("-inf")
    prepared = False
    while not stop.is_set():
        try:
            if not prepared:
                prepare()
                prepared = True
            with _Bell(once) as bell:
                while not stop.is_set():
                    moved = relay_batch()
                    wait = 0.0
                    # also a relay that never comes to rest has to tidy up
                    if not once and time.monotonic() - tidied > _UPKEEP_SECONDS:
                        retention.tidy()
                        tidied = time.monotonic()
                    if moved:
                        sent += moved
                        continue
                    if once and moved == 0:
                        return sent
                    bell.wait(get_settings().events.poll_seconds)
        except (RedisError, OSError, Unavailable, psycopg.OperationalError) as error:
            if dead_letters.mended(error, get_redis(), *retention.STREAMS):
                prepared = False
                continue
            if once:
                raise
            wait = min(_LONGEST_WAIT, max(0.2, wait * 2))
            _log.error("the relay waits; nothing is lost", error=retention.reason(error), seconds=wait)
            stop.wait(wait)
    return sent


def prepare() -> None:
    """Make the consumer groups, so that nothing is trimmed before they have read it."""
    for group in consumer_groups.group_names():
        consumer_groups.ensure(
            get_redis(), group, consumer_groups.streams(consumer_groups.subscriptions(group))
        )


def relay_batch() -> int | None:
    """Send up to a batch; how many, or None when another relay is at it."""
    with unit_of_work() as session:
        session.execute(_LIMIT_IDLE)
        if not session.scalar(_TRY_LOCK, {"lock": _LOCK}):
            return None
        newest = _send_lost_again(session)
        rows = session.execute(_UNSENT, {"most": get_settings().events.batch}).all()
        if not rows:
            return 0
        several = len(rows)
        rows = erased_people.delete_from_outbox(session, rows)
        if not rows:
            return several
        # moments of batches only grow, whatever the clock does: they are compared with what Redis knows
        moment = clock.now() if newest is None else max(clock.now(), newest + timedelta(microseconds=1))
        pipeline = get_redis().pipeline(transaction=False)
        for row in rows:
            entry = fields_of(
                row.event_id,
                row.name,
                row.version,
                row.aggregate,
                row.occurred_at,
                row.data,
                row.traceparent,
            )
            pipeline.xadd(stream_of(row.family), entry)
        # after the events: where this survives a crash of Redis, they did
        pipeline.set(keys.relayed(), moment.isoformat())
        pipeline.execute()
        session.execute(_MARK, {"moment": moment, "ids": [row.id for row in rows]})
        return several


def _send_lost_again(session: Session) -> datetime | None:
    """Queue again what Redis has lost since it was sent; return the moment of the newest batch."""
    newest: datetime | None = session.scalar(_NEWEST_SENT)
    if newest is None:
        return None
    known = _noted()
    if known is not None and known >= newest:
        return newest
    since = known or newest - timedelta(days=36_500)
    lost = session.execute(_LOST, {"since": since}).rowcount  # type: ignore[attr-defined]
    _log.warning(
        "Redis has lost events; they are sent again, and what was handled is not handled twice",
        events=lost,
        since=None if known is None else known.isoformat(),
    )
    # the groups went with the streams
    prepare()
    return newest


def _noted() -> datetime | None:
    """The moment of the newest batch as Redis knows it; None where that is lost or cannot be read."""
    try:
        noted: Any = get_redis().get(keys.relayed())
        found = None if noted is None else datetime.fromisoformat(noted.decode())
    except (ValueError, ResponseError) as error:
        if isinstance(error, ResponseError) and not dead_letters.is_wrong_type(error):
            raise
        _log.error("the moment of the newest batch cannot be read", error=retention.reason(error))
        return None
    return None if found is None or found.tzinfo is None else found


class _Bell:
    """Wakes the relay when something was published; without LISTEN the poll alone would do."""

    def __init__(self, silent: bool) -> None:
        self._connection: psycopg.Connection | None = None
        if not silent:
            url = libpq_url()
            self._connection = psycopg.connect(url, autocommit=True, **connect_arguments(url))
            self._connection.execute(f"LISTEN {CHANNEL}")

    def __enter__(self) -> _Bell:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def wait(self, seconds: float) -> None:
        if self._connection is None:
            time.sleep(min(seconds, 0.05))
            return
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            return
