"""Follows product events, so that a changed price, category or stock applies at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from anyio import to_thread
from redis.asyncio import Redis
from redis.exceptions import RedisError

from recsys.cache import keys
from recsys.errors import RecsysError
from recsys.events.envelope import Unreadable, open_entry
from recsys.log import get_logger

__all__ = ["ProductEventListener"]

BLOCK_MS = 250
"""Shorter than the timeout of the client."""
MAX_EVENTS = 1_000
_MAX_ID = 2**31 - 1
_log = get_logger(__name__)


class ProductEventListener:
    """Reads new events of the stream, in no consumer group: each process needs all of them.

    Events that are missed, because Redis was away or trimmed, are covered by the catalogue's own refresh.
    """

    def __init__(self) -> None:
        self._last: bytes | str | None = None

    async def follow(self, client: Redis, changed: Callable[[Collection[int]], None]) -> None:
        """Wait for events once and pass their products on. Raises RedisError, OSError, RecsysError."""
        stream = keys.product_events()
        if self._last is None:
            newest: Any = await client.xrevrange(stream, count=1)
            self._last = newest[0][0] if newest else b"0-0"
        reply: Any = await client.xread({stream: self._last}, count=MAX_EVENTS, block=BLOCK_MS)
        products: set[int] = set()
        for entry, fields in _entries(reply):
            self._last = entry
            product = _product_of(fields)
            if product is not None:
                products.add(product)
        if products:
            await to_thread.run_sync(changed, products)

    async def run(
        self, client: Callable[[], Redis | None], changed: Callable[[Collection[int]], None]
    ) -> None:
        """Follow until cancelled; while Redis is away, retry each second."""
        # a client of Redis can lose the CancelledError that is to end this
        while (task := asyncio.current_task()) is not None and not task.cancelling():
            try:
                redis = client()
                if redis is None:
                    await asyncio.sleep(1.0)
                else:
                    await self.follow(redis, changed)
            except (RedisError, OSError, RecsysError) as error:
                _log.debug("product events cannot be followed", error=str(error))
                await asyncio.sleep(1.0)
            except Exception as error:  # noqa: BLE001 a reader that ended would never read again
                _log.error("a product event could not be followed; the next ones are", exc_info=error)
                await asyncio.sleep(1.0)


def _entries(reply: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the entries of the stream from the reply's shape, which depends on the protocol version."""
    batches = list(reply.values()) if isinstance(reply, dict) else [batch for _, batch in reply or ()]
    entries: list[tuple[bytes, dict[bytes, bytes]]] = batches[0] if batches else []
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _product_of(fields: dict[bytes, bytes]) -> int | None:
    try:
        event = open_entry(fields).event
    except Unreadable:
        return None
    product = getattr(event, "product_id", None)
    return product if isinstance(product, int) and 0 < product <= _MAX_ID else None
