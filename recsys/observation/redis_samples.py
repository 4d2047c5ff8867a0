"""What Redis knows of the shop: the place of each group on each stream, dead letters, queues and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import redis

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import servers
from recsys.events import consumer_groups, lag
from recsys.events.retention import STREAMS
from recsys.observation.samples import Sample

__all__ = ["QUEUES", "dead_letters", "from_redis", "oldest_seconds", "places"]

QUEUES: Mapping[str, str] = MappingProxyType(
    {"exposures": keys.exposures_waiting(), "posts": keys.posts_waiting()}
)
"""The streams in which writes wait for PostgreSQL, by name."""
_SAMPLED_USERS = 50
_SCAN_COUNT = 1000
_MAX_SCANS = 20


def from_redis(client: redis.Redis, live_generation: int | None) -> Iterator[Sample]:
    """Every sample that Redis has.

    Parameters
    ----------
    client
        The Redis to ask.
    live_generation
        The id in PostgreSQL; None while it is not known, or there is none.

    Raises
    ------
    RedisError
        Redis does not answer.
    """
    for place in places(client):
        labels = (("group", place.group), ("stream", place.stream))
        if place.unread is not None:
            yield Sample("recsys_consumer_unread", place.unread, labels)
        yield Sample("recsys_consumer_pending", place.pending, labels)
        yield Sample("recsys_consumer_oldest_seconds", place.oldest_seconds, labels)
        yield Sample("recsys_consumer_trimmed_unread", place.lost, labels)
    for stream, count in dead_letters(client).items():
        yield Sample("recsys_dead_letters", count, (("stream", stream),))
    for queue, stream in QUEUES.items():
        waiting: Any = client.xlen(stream)
        yield Sample("recsys_write_buffer_entries", waiting, (("buffer", queue),))
        age = oldest_seconds(client, stream)
        yield Sample("recsys_write_buffer_oldest_seconds", age, (("buffer", queue),))
    memory: list[Any] = [server.info("memory") for server in servers(client)]
    yield Sample("recsys_redis_memory_bytes", float(sum(each["used_memory"] for each in memory)))
    yield Sample("recsys_redis_memory_limit_bytes", float(sum(each.get("maxmemory", 0) for each in memory)))
    if live_generation is not None:
        pointer: Any = client.get(keys.live_generation())
        serves_live = pointer is not None and pointer == str(live_generation).encode()
        yield Sample("recsys_generation_in_redis", float(serves_live))
        per_user = _bytes_per_user(client, live_generation)
        if per_user is not None:
            yield Sample("recsys_redis_bytes_per_user", per_user)


def dead_letters(client: redis.Redis) -> dict[str, int]:
    """The number of dead letters of each stream that can have some, the queues of writes included."""
    counts: dict[str, int] = {}
    for stream in (*STREAMS, *QUEUES.values()):
        count: Any = client.xlen(keys.dead_letters(stream))
        counts[stream] = count
    return counts


def oldest_seconds(client: redis.Redis, stream: str) -> float:
    """The age of the oldest entry of a stream; 0 for an empty one."""
    entries: Any = client.xrange(stream, count=1)
    return lag.entry_age(entries[0][0], clock.now()) if entries else 0.0


def places(client: redis.Redis) -> Iterator[lag.GroupLag]:
    """The place of every group on each of its streams."""
    for group in consumer_groups.group_names():
        streams = consumer_groups.streams(consumer_groups.subscriptions(group))
        yield from lag.of_group(client, group, streams)


def _bytes_per_user(client: redis.Redis, generation: int) -> float | None:
    """The mean of a sample of users, with what they touched since; None without any list in Redis."""
    pattern = keys.stored_recommendations(generation, "*")
    before, _, after = pattern.encode().partition(b"*")
    users: list[bytes] = []
    cursor = 0
    # one server of a cluster is a sample, too
    server = servers(client)[0]
    for _ in range(_MAX_SCANS):
        scanned: Any = server.scan(cursor, match=pattern, count=_SCAN_COUNT)
        cursor = scanned[0]
        # beside the users' lists lie those that are the same for everybody
        names = (key.removeprefix(before).removesuffix(after) for key in scanned[1])
        users += [name for name in names if name.isdigit()]
        if len(users) >= _SAMPLED_USERS or cursor == 0:
            break
    users = users[:_SAMPLED_USERS]
    if not users:
        return None
    pipeline = client.pipeline(transaction=False)
    for user in map(int, users):
        pipeline.memory_usage(keys.stored_recommendations(generation, user))
        pipeline.memory_usage(keys.recent_interactions(user))
    # a key that expired meanwhile has no size
    return sum(size or 0 for size in pipeline.execute()) / len(users)
