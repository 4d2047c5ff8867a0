"""Dead letters: entries that a group could not handle, kept whole with the reason until they are replayed.

Nothing here expects an entry to be of any form: names and values may be any bytes. A field of the entry that
is named like one of a dead letter's own is kept under a longer name and gets its name back at the replay.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import redis
from redis.exceptions import RedisError, ResponseError

from recsys import clock
from recsys.cache import keys
from recsys.errors import NotFound
from recsys.events.retention import STREAMS
from recsys.log import get_logger

__all__ = [
    "DeadLetter",
    "bury",
    "entries",
    "is_wrong_type",
    "kept_fields",
    "letters",
    "mended",
    "readable",
    "replay",
    "restore",
    "set_aside",
]

Fields = Mapping[bytes, bytes]
_OURS = (b"group", b"error", b"tries", b"failed_at", b"entry")
_ORIGINAL = b"entry:"
_AT_ONCE = 500
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


def readable(value: bytes) -> str:
    r"""Any bytes as printable text: bytes that are not UTF-8 are written as `\xNN`."""
    return value.decode(errors="backslashreplace")


def kept_fields(fields: Fields, about: Mapping[str, str]) -> dict[Any, Any]:
    """The fields of a dead letter: those of the entry, none of them lost, and what is known `about` it."""
    ours = {name.encode(): value.encode(errors="replace") for name, value in about.items()}
    return {
        _ORIGINAL + name if name in ours or name.startswith(_ORIGINAL) else name: value
        for name, value in fields.items()
    } | ours


def bury(
    client: redis.Redis, stream: str, entry: bytes, fields: Fields, *, group: str, error: str, tries: int
) -> None:
    """Move an entry to the dead letters of its stream and acknowledge it, in one step."""
    about = {
        "group": group,
        "error": error,
        "tries": str(tries),
        "failed_at": clock.now().isoformat(),
        "entry": entry.decode(),
    }

    # a transaction of Redis goes on after a command that failed: the entry would be acknowledged and lost
    set_aside(client, keys.dead_letters(stream))
    pipeline = client.pipeline(transaction=True)
    pipeline.xadd(keys.dead_letters(stream), kept_fields(fields, about))
    pipeline.xack(stream, group, entry)
    pipeline.execute()
    _log.error(
        "a dead letter; see `recsys events dead`",
        stream=stream,
        group=group,
        name=readable(fields.get(b"name", b"?")),
        error=error,
    )


def letters(client: redis.Redis) -> Iterator[DeadLetter]:
    """All dead letters, by stream, the oldest first."""
    for stream in STREAMS:
        for entry, fields in entries(client, stream):
            word = {readable(name): readable(value) for name, value in fields.items()}
            tries = word.get("tries", "")
            yield DeadLetter(
                stream=stream,
                id=entry.decode(),
                event=word.get("name", "?"),
                event_id=word.get("event_id", "?"),
                group=word.get("group", "?"),
                error=word.get("error", ""),
                tries=int(tries) if tries.isascii() and tries.isdigit() and len(tries) < 10 else 0,
                failed_at=word.get("failed_at", ""),
                command=f"recsys events replay --dead {stream}/{entry.decode()}",
            )


def replay(client: redis.Redis, which: str) -> int:
    """Put dead letters back on their stream with their event ids; groups that have handled them drop them.

    Parameters
    ----------
    client
        The Redis of the streams.
    which
        `all`, a stream, or `STREAM/ENTRY`.

    Returns
    -------
    int
        How many were put back.

    Raises
    ------
    NotFound
        There is none.
    """
    wanted, _, one = which.partition("/")
    moved = 0
    for stream in STREAMS:
        if wanted in ("all", stream):
            for entry, _fields in entries(client, stream):
                if one in ("", entry.decode()):
                    moved += restore(client, stream, entry, _OURS)
    if not moved:
        raise NotFound(f"there is no dead letter {which!r}; `recsys events dead` lists them")
    return moved


def restore(client: redis.Redis, stream: str, entry: bytes, ours: Collection[bytes]) -> bool:
    """Move one dead letter back to the end of its stream without the fields `ours`; whether it was there.

    The move is one transaction: an interruption loses no entry, and two replays at once move it once.

    Returns
    -------
    bool
        False also for an entry with no field besides `ours`, which stays.
    """
    source, moved = keys.dead_letters(stream), False

    def move(pipeline: Any) -> None:
        nonlocal moved
        moved = False
        found = pipeline.xrange(source, entry, entry)
        pipeline.multi()
        fields = {name: value for name, value in found[0][1].items() if name not in ours} if found else {}
        if fields:
            plain = {name.removeprefix(_ORIGINAL): value for name, value in fields.items()}
            pipeline.xadd(stream, plain)
            pipeline.xdel(source, entry)
            moved = True

    set_aside(client, stream)
    client.transaction(move, source)
    return moved


def entries(client: redis.Redis, stream: str) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """The dead letters of a stream when the iteration begins, the oldest first."""
    start, dead = "-", keys.dead_letters(stream)
    try:
        newest: Any = client.xrevrange(dead, count=1)
        if not newest:
            return
        while True:
            found: Any = client.xrange(dead, min=start, max=newest[0][0], count=_AT_ONCE)
            yield from found
            if len(found) < _AT_ONCE:
                return
            start = "(" + found[-1][0].decode()
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        _log.error("this key is no stream; the next dead letter sets it aside", key=dead)


def is_wrong_type(error: BaseException) -> bool:
    """Whether Redis says that a key holds something else than what was asked of it."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def set_aside(client: redis.Redis, *names: str) -> list[str]:
    """Rename keys that should be streams and are none, so that work goes on; their new names.

    What stands there is kept as it is, for people to look at.

    Raises
    ------
    RedisError
        Redis does not answer.
    """
    made = []
    for key in names:
        found: Any = client.type(key)
        if found not in (b"stream", b"none"):
            aside = keys.set_aside(key, secrets.token_hex(4))
            client.rename(key, aside)
            _log.error("a key that is no stream was set aside", key=key, kind=readable(found), now=aside)
            made.append(aside)
    return made


def mended(error: BaseException, client: redis.Redis, *names: str) -> bool:
    """Whether `error` came from keys that are no streams, and they are set aside now."""
    if not is_wrong_type(error):
        return False
    try:
        return bool(set_aside(client, *names))
    except (RedisError, OSError) as lost:
        _log.error("a key that is no stream could not be set aside", error=str(lost))
        return False
