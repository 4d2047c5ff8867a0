"""What only Redis has: carts, and writes that wait for PostgreSQL, as lines of JSON.

Everything else in Redis is a mirror of PostgreSQL, or expires: it is made again (`rebuild` of the stored
lists), or fills by itself. The relay sends the outbox again to a Redis that does not know it.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import redis

from recsys.cache import keys
from recsys.errors import Invalid, Unavailable

__all__ = ["check_empty", "restore_keys", "save_keys"]

_PATTERNS = (
    "cart:*",
    keys.changed_carts(),
    keys.posts_waiting(),
    keys.exposures_waiting(),
    keys.dead_letters("*"),
)


def save_keys(client: redis.Redis, file: Path) -> int:
    """Write each key with its value (DUMP) and its expiry; their number. Raises redis.RedisError."""
    names = sorted({name for pattern in _PATTERNS for name in client.scan_iter(pattern, count=5000)})
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
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            name = base64.b64decode(entry["key"])
            try:
                client.restore(name, entry["milliseconds"], base64.b64decode(entry["value"]), replace=True)
            except redis.ResponseError as error:
                raise Unavailable(
                    f"Redis does not take {name.decode(errors='replace')} ({error}); "
                    "restore into a server of the version that was backed up, or a newer one"
                ) from error
            restored += 1
    return restored


def check_empty(client: redis.Redis, *, overwrite: bool) -> None:
    """Raise Invalid when Redis holds keys that the restore may not delete."""
    size: Any = client.dbsize()
    if size and not overwrite:
        raise Invalid(
            f"Redis holds {size:,} keys; restore into an empty one, or add --overwrite to replace them"
        )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
