"""The streams of live orders and of cart events, in pages for administrators."""

from __future__ import annotations

from typing import Any

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.orders.schemas import LiveEntries, LiveEntry

__all__ = ["cart_events", "order_steps"]


def order_steps(after: str, limit: int) -> LiveEntries:
    """Steps of orders (`live_orders`) after the entry `after`, the oldest first. Raises RedisError."""
    return _page(keys.live_orders(), after, limit)


def cart_events(after: str, limit: int) -> LiveEntries:
    """Changes of carts (`cart:analytics`) after the entry `after`, the oldest first. Raises RedisError."""
    return _page(keys.cart_analytics(), after, limit)


def _page(stream: str, after: str, limit: int) -> LiveEntries:
    entries: Any = get_redis().xrange(stream, min=f"({after}", count=limit)
    items = [
        LiveEntry(
            id=entry.decode(),
            fields={
                name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in fields.items()
            },
        )
        for entry, fields in entries
    ]
    return LiveEntries(items=items, after=items[-1].id if items else after)
