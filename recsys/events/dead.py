"""Dead letters: events that a group could not handle, kept with the error until somebody replays them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from recsys import clock
from recsys.cache import keys
from recsys.errors import NotFound
from recsys.events.upkeep import STREAMS
from recsys.log import get_logger

__all__ = ["DeadLetter", "bury", "letters", "replay"]

_OURS = ("group", "error", "tries", "failed_at", "entry")
_log = get_logger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """One event that a group gave up; `command` replays it."""

    stream: str
    id: str
    event: str
    event_id: str
    group: str
    error: str
    tries: int
    failed_at: str
    command: str


def bury(
    client: redis.Redis,
    stream: str,
    entry: bytes,
    fields: Mapping[bytes, bytes],
    *,
    group: str,
    error: str,
    tries: int,
) -> None:
    """Move an entry to the dead letters of its stream and acknowledge it, in one step."""
    about = {
        "group": group,
        "error": error,
        "tries": str(tries),
        "failed_at": clock.now().isoformat(),
        "entry": entry.decode(),
    }
    pipeline = client.pipeline(transaction=True)
    kept: dict[Any, Any] = {**fields, **{name.encode(): value.encode() for name, value in about.items()}}
    pipeline.xadd(keys.dead_letters(stream), kept)
    pipeline.xack(stream, group, entry)
    pipeline.execute()
    _log.error(
        "a dead letter; see `recsys events dead`",
        stream=stream,
        group=group,
        name=fields.get(b"name", b"?").decode(),
        error=error,
    )


def letters(client: redis.Redis) -> Iterator[DeadLetter]:
    """All dead letters, by stream, the oldest first."""
    for stream in STREAMS:
        for entry, fields in _entries(client, stream):
            word = {name.decode(): value.decode() for name, value in fields.items()}
            yield DeadLetter(
                stream=stream,
                id=entry.decode(),
                event=word.get("name", "?"),
                event_id=word.get("event_id", "?"),
                group=word.get("group", "?"),
                error=word.get("error", ""),
                tries=int(word.get("tries", 0)),
                failed_at=word.get("failed_at", ""),
                command=f"recsys events replay --dead {stream}/{entry.decode()}",
            )


def replay(client: redis.Redis, which: str) -> int:
    """Put dead letters back on their stream with their event ids: `all`, a stream, or `STREAM/ENTRY`.

    Groups that have handled them drop them. Returns how many; raises NotFound when there is none.
    """
    wanted, _, one = which.partition("/")
    moved = 0
    for stream in STREAMS:
        if wanted not in ("all", stream):
            continue
        for entry, fields in _entries(client, stream):
            if one and entry.decode() != one:
                continue
            plain: dict[Any, Any] = {k: v for k, v in fields.items() if k.decode() not in _OURS}
            pipeline = client.pipeline(transaction=True)
            pipeline.xadd(stream, plain)
            pipeline.xdel(keys.dead_letters(stream), entry)
            pipeline.execute()
            moved += 1
    if not moved:
        raise NotFound(f"there is no dead letter {which!r}; `recsys events dead` lists them")
    return moved


def _entries(client: redis.Redis, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    start = "-"
    while True:
        found: Any = client.xrange(keys.dead_letters(stream), min=start, count=500)
        yield from found
        if len(found) < 500:
            return
        start = "(" + found[-1][0].decode()
