"""What only Redis has: carts, and writes that wait for PostgreSQL, as lines of JSON.

Everything else in Redis is a mirror of PostgreSQL, or expires: it is made again (`rebuild` of the stored
lists), or fills by itself. The relay sends the outbox again to a Redis that does not know it.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from recsys.cache import keys
from recsys.errors import Invalid, Unavailable

__all__ = ["check_empty", "check_readable", "restore_keys", "save_keys"]

_CHECK_MILLISECONDS = 60_000


def _patterns() -> tuple[str, ...]:
    own = keys.changed_carts(), keys.posts_waiting(), keys.exposures_waiting()
    return ("cart:*", *own, keys.dead_letters("*"))


def save_keys(client: redis.Redis, file: Path) -> int:
    """Write each key with its value (DUMP) and its expiry; their number. Raises redis.RedisError."""
    names = sorted({name for pattern in _patterns() for name in client.scan_iter(pattern, count=5000)})
    saved = 0
    with file.open("w", encoding="utf-8") as lines:
        for name in names:
            pipeline = client.pipeline(transaction=True)
            pipeline.dump(name)
            pipeline.pttl(name)
            value, milliseconds = pipeline.execute()
            if value is None:  # it expired meanwhile
                continue
            line = {"key": _text(name), "milliseconds": max(milliseconds, 0), "value": _text(value)}
            lines.write(json.dumps(line) + "\n")
            saved += 1
    return saved


def restore_keys(client: redis.Redis, file: Path) -> int:
    """Put the keys back; their number. Raises Unavailable when this server cannot read a value."""
    restored = 0
    for name, milliseconds, value in _saved(file):
        _restore(client, name, name, milliseconds, value)
        restored += 1
    return restored


def check_readable(client: redis.Redis, file: Path) -> None:
    """Raise Unavailable when this server cannot read the first value: all are of one version of Redis."""
    for name, _, value in _saved(file):
        temporary = f"restore-check:{secrets.token_hex(8)}".encode()
        _restore(client, name, temporary, _CHECK_MILLISECONDS, value)
        client.delete(temporary)
        return


def check_empty(client: redis.Redis, *, overwrite: bool) -> None:
    """Raise Invalid when Redis holds keys that the restore may not delete."""
    size: Any = client.dbsize()
    if size and not overwrite:
        raise Invalid(
            f"Redis holds {size:,} keys; restore into an empty one, or add --overwrite to replace them"
        )


def _saved(file: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """Name, milliseconds until it expires (0: never) and value of each key."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            yield base64.b64decode(entry["key"]), entry["milliseconds"], base64.b64decode(entry["value"])


def _restore(client: redis.Redis, name: bytes, target: bytes, milliseconds: int, value: bytes) -> None:
    """Write the value of the key `name` to `target`."""
    try:
        client.restore(target, milliseconds, value, replace=True)
    except redis.ResponseError as error:
        raise Unavailable(
            f"Redis does not take {name.decode(errors='replace')} ({error}); "
            "restore into a server of the version that was backed up, or a newer one"
        ) from error


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
