"""How far events are behind: in the outbox, in each stream for each group, and among the dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis
from sqlalchemy import text

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.events import consumer_groups
from recsys.events.retention import STREAMS

__all__ = ["GroupLag", "Lag", "entry_age", "measure", "of_group"]

_WAITING = text("SELECT count(*), min(occurred_at) FROM analytics_db.outbox WHERE sent_at IS NULL")


@dataclass(frozen=True)
class GroupLag:
    """One group on one stream.

    Attributes
    ----------
    unread
        Entries that the group has not read yet; None: unknown.
    pending
        Entries that were read and are not finished.
    lost
        Entries that were trimmed unread.
    consumers
        Number of the group's consumers.
    oldest_seconds
        The age of the oldest entry that the group has not finished; 0 without one.
    """

    stream: str
    group: str
    unread: int | None
    pending: int
    lost: int
    consumers: int
    oldest_seconds: float


@dataclass(frozen=True)
class Lag:
    """Everything that is on its way."""

    outbox: int
    oldest_seconds: float | None
    groups: list[GroupLag]
    dead: dict[str, int]


def measure() -> Lag:
    """Look at outbox, streams and dead letters. Raises Unavailable or redis' errors."""
    with unit_of_work() as session:
        waiting, oldest = session.execute(_WAITING).one()
    client = get_redis()
    found = [
        each
        for group in consumer_groups.group_names()
        for each in of_group(client, group, consumer_groups.streams(consumer_groups.subscriptions(group)))
    ]
    dead = {stream: int(client.xlen(keys.dead_letters(stream))) for stream in STREAMS}
    age = None if oldest is None else max(0.0, (clock.now() - oldest).total_seconds())
    return Lag(int(waiting), age, found, {stream: count for stream, count in dead.items() if count})


def of_group(client: redis.Redis, group: str, streams: tuple[str, ...]) -> list[GroupLag]:
    """The group's place on each of its streams that exists."""
    found = []
    for stream in streams:
        if not client.exists(stream):
            continue
        about: Any = client.xinfo_stream(stream)
        members: Any = client.xinfo_groups(stream)
        for member in members:
            if member["name"] != group.encode():
                continue
            unread, read = member.get("lag"), member.get("entries-read")
            lost = 0
            if read is not None and "entries-added" in about:
                behind = int(about["entries-added"]) - int(read)
                lost = max(0, behind - int(about["length"]))
            found.append(
                GroupLag(
                    stream=stream,
                    group=group,
                    unread=None if unread is None else int(unread),
                    pending=int(member["pending"]),
                    lost=lost,
                    consumers=int(member["consumers"]),
                    oldest_seconds=_oldest_seconds(client, stream, member),
                )
            )
    return found


def entry_age(entry: bytes, now: datetime) -> float:
    """Seconds since an entry of a stream was added, by its id; never below 0."""
    added_ms = int(entry.partition(b"-")[0])
    return max(0.0, now.timestamp() - added_ms / 1000)


def _oldest_seconds(client: redis.Redis, stream: str, member: dict[str, Any]) -> float:
    if member["pending"]:
        pending: Any = client.xpending(stream, member["name"])
        if pending["pending"]:
            return entry_age(pending["min"], clock.now())
    next_entry: Any = client.xrange(stream, min=b"(" + member["last-delivered-id"], count=1)
    return entry_age(next_entry[0][0], clock.now()) if next_entry else 0.0
