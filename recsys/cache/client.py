"""The Redis client of the process, and new ones for owners that close them."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys import embedded
from recsys.settings import Settings, get_settings

__all__ = ["async_client", "close", "connect", "get_redis", "redis_url", "servers"]

_SOCKET_TIMEOUT = 5.0
"""Seconds before an answer that does not come becomes an error, so that nobody waits for ever."""


def redis_url(settings: Settings | None = None) -> str:
    """`settings.redis.url`, else the embedded server's address. Raises Unavailable naming `recsys up`."""
    chosen = settings or get_settings()
    if chosen.redis.url is not None:
        return chosen.redis.url.get_secret_value()
    return embedded.redis_address(chosen)


@lru_cache(maxsize=1)
def get_redis() -> redis.Redis:
    """The synchronous client of this process, pooled and thread-safe; values are bytes (tests: `close()`)."""
    return connect(redis_url())


def connect(url: str) -> redis.Redis:
    """A new synchronous client of our habits; its owner closes it.

    One immediate retry takes care of a pooled connection that a restarted server has dropped. The library's
    own habit, waiting longer and longer, would keep somebody waiting for seconds while Redis is down.
    """
    if _is_cluster(url):
        from recsys.cache.cluster import connect_cluster

        return cast("redis.Redis", connect_cluster(url, _SOCKET_TIMEOUT))
    return redis.Redis.from_url(
        url,
        socket_timeout=_SOCKET_TIMEOUT,
        socket_connect_timeout=_SOCKET_TIMEOUT,
        retry=Retry(NoBackoff(), 1),
    )


def async_client(url: str, seconds: float) -> AsyncRedis:
    """A new client for an event loop, with this timeout; its owner closes it."""
    if _is_cluster(url):
        from recsys.cache.cluster import async_cluster

        return async_cluster(url, seconds)
    return AsyncRedis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=AsyncRetry(NoBackoff(), 1)
    )


def servers(client: redis.Redis) -> list[redis.Redis]:
    """The servers behind a client, each by a client of its own: the masters of a cluster, else the one."""
    return client.servers() if hasattr(client, "servers") else [client]


def close() -> None:
    """Close the cached client; the next `get_redis()` reads the settings again."""
    if get_redis.cache_info().currsize:
        get_redis().close()
        get_redis.cache_clear()


def _is_cluster(url: str) -> bool:
    return url.partition("://")[0].endswith("+cluster")
