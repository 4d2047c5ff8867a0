"""Keeps streams, outbox and inbox small, without taking away what somebody has not read yet."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import redis
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from recsys import clock
from recsys.cache.client import get_redis
from recsys.database.addresses import database_url
from recsys.database.servers.joint_commit import settle
from recsys.database.session import get_engine, other_engines, reaching, unit_of_work
from recsys.errors import Unavailable
from recsys.events.envelope import stream_of
from recsys.events.vocabulary import FAMILIES
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = [
    "STREAMS",
    "earlier",
    "forget_dead_consumers",
    "reason",
    "send_again",
    "sweep",
    "sweep_remembered",
    "tidy",
    "trim",
]

STREAMS: tuple[str, ...] = tuple(stream_of(family) for family in FAMILIES)
_log = get_logger(__name__)

_SWEEP_OUTBOX = text("DELETE FROM analytics_db.outbox WHERE sent_at < :before")
_SEND_AGAIN = text(
    "UPDATE analytics_db.outbox SET sent_at = NULL WHERE sent_at IS NOT NULL AND occurred_at >= :since"
)
_SWEEP_INBOX = text("DELETE FROM analytics_db.inbox WHERE handled_at < :before")
# a part at a time, so that years of rows do not become one long transaction
_MOST = 20_000
_SWEEP_GUEST_LOGINS = """
    DELETE FROM recommendations_db.guest_logins WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM recommendations_db.guest_logins WHERE logged_in_at < :before LIMIT :most))
    """
_SWEEP_NOTICES = """
    DELETE FROM notifications_db.sent_notices WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM notifications_db.sent_notices WHERE created_at < :before LIMIT :most))
    """
# whose payment or refund is not finished yet may still be repeated, however old it is
_SWEEP_PAYMENT_KEYS = """
    DELETE FROM payments_db.payment_keys WHERE ctid = ANY(ARRAY(
        SELECT k.ctid FROM payments_db.payment_keys k
        LEFT JOIN payments_db.payments p ON p.id = k.payment_id
        LEFT JOIN payments_db.refunds r ON r.id = k.refund_id
        WHERE k.created_at < :before
          AND p.status IS DISTINCT FROM 'pending' AND r.status IS DISTINCT FROM 'pending' LIMIT :most))
    """
_REMEMBERED_SECONDS = 3600.0
_next_sweep = float("-inf")
# in one step: what a consumer took since it was looked at must not be forgotten with its name
_FORGET = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""


def tidy() -> None:
    """What a relay does every minute, at work or standing by: settle, sweep, trim streams, forget the dead.

    What is remembered for months is swept once an hour: no index finds its oldest rows.
    """
    global _next_sweep
    _settle()
    sweep()
    if time.monotonic() >= _next_sweep:
        _next_sweep = time.monotonic() + _REMEMBERED_SECONDS
        sweep_remembered()
    trim()
    forget_dead_consumers()


def _settle() -> None:
    """End what processes that are gone have prepared on other servers; a server may be away for now."""
    others = other_engines()
    if not others:
        return
    try:
        with reaching(database_url()):
            ended = settle(get_engine(), others)
    except Unavailable as error:
        _log.warning("prepared transactions of other servers wait", error=error.message)
        return
    if ended:
        _log.warning("transactions of ended processes were settled", transactions=ended)


def sweep() -> tuple[int, int]:
    """Delete rows of outbox and inbox past their days; how many of each."""
    now, events = clock.now(), get_settings().events
    with unit_of_work() as session:
        outbox: Any = session.execute(_SWEEP_OUTBOX, {"before": now - timedelta(days=events.outbox_days)})
        inbox: Any = session.execute(_SWEEP_INBOX, {"before": now - timedelta(days=events.inbox_days)})
        return outbox.rowcount, inbox.rowcount


def sweep_remembered() -> dict[str, int]:
    """Delete what is remembered against repeats past its days: how many rows, by table."""
    settings = get_settings()
    wanted = {
        "guest_logins": (_SWEEP_GUEST_LOGINS, settings.events.guest_login_days),
        "sent_notices": (_SWEEP_NOTICES, settings.notifications.notice_days),
        "payment_keys": (_SWEEP_PAYMENT_KEYS, settings.payments.key_days),
    }
    return {table: _sweep_in_parts(query, days) for table, (query, days) in wanted.items()}


def _sweep_in_parts(query: str, days: float) -> int:
    before, gone = clock.now() - timedelta(days=days), 0
    while True:
        with unit_of_work() as session:
            swept: Any = session.execute(text(query), {"before": before, "most": _MOST})
        gone += int(swept.rowcount)
        if swept.rowcount < _MOST:
            return gone


def forget_dead_consumers(idle: timedelta | None = None) -> int:
    """Take the names of killed consumers out of their groups, once others took over what they held; how many.

    A living one asks for news every half second, whether there is any or not.

    Parameters
    ----------
    idle
        Time without a request after which a consumer counts as dead; default: `events.idle_consumer_hours`.
    """
    idle = timedelta(hours=get_settings().events.idle_consumer_hours) if idle is None else idle
    client, gone = get_redis(), 0
    for stream in STREAMS:
        for group in _groups(client, stream):
            members: Any = client.xinfo_consumers(stream, group["name"])
            for member in members:
                if member["pending"] == 0 and member["idle"] >= idle.total_seconds() * 1000:
                    gone += int(client.eval(_FORGET, 1, stream, group["name"], member["name"]))
    return gone


def send_again(since: datetime) -> int:
    """Queue the outbox's events of `since` and later again, with the same ids; return their number."""
    with unit_of_work() as session:
        done: Any = session.execute(_SEND_AGAIN, {"since": since})
        return int(done.rowcount)


def trim(hours: float | None = None) -> dict[str, int]:
    """Drop entries past `hours` (the settings' time) that every group has handled; how many, by stream."""
    kept = get_settings().events.stream_hours if hours is None else hours
    oldest_kept = f"{int((clock.now() - timedelta(hours=kept)).timestamp() * 1000)}-0"
    client = get_redis()
    gone = {}
    for stream in STREAMS:
        floor = oldest_kept
        for group in _groups(client, stream):
            floor = earlier(floor, _first_needed(client, stream, group))
        gone[stream] = int(client.xtrim(stream, minid=floor, approximate=hours is None))
    return gone


def earlier(one: str, other: str) -> str:
    """The smaller of two ids of entries."""
    return min(one, other, key=lambda entry: tuple(int(part) for part in entry.split("-")))


def reason(error: BaseException) -> str:
    """One line that says what went wrong, without the values of rows or fields, which may be personal."""
    kind = type(error).__name__
    if isinstance(error, DBAPIError):
        return f"{type(error.orig).__name__}: {_first_line(error.orig)}"
    if isinstance(error, ValidationError):
        faults = ", ".join(f"{'.'.join(map(str, one['loc']))} {one['type']}" for one in error.errors())
        return f"{kind}: {faults}"[:500]
    return f"{kind}: {_first_line(error)}"


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0][:500]


def _groups(client: redis.Redis, stream: str) -> list[dict[str, Any]]:
    return client.xinfo_groups(stream) if client.exists(stream) else []


def _first_needed(client: redis.Redis, stream: str, group: dict[str, Any]) -> str:
    """The oldest entry that the group has read and not finished, else the next one it will read."""
    waiting: Any = client.xpending(stream, group["name"])
    if waiting["pending"]:
        return str(waiting["min"].decode())
    milliseconds, _, number = group["last-delivered-id"].decode().partition("-")
    return f"{milliseconds}-{int(number) + 1}"
