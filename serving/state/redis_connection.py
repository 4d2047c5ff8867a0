"""The connections to Redis of one process: its address, availability and live generation."""

from __future__ import annotations

import contextlib

from anyio import to_thread
from redis.asyncio import Redis
from redis.exceptions import RedisError

from recsys.cache import client as cache
from recsys.cache import keys
from recsys.cache.client import async_client, redis_url
from serving.state.redis_reader import RedisReader

__all__ = ["RedisConnection"]

TIMEOUT_SECONDS = 0.5
"""Timeout of a command, and of a new connection; PostgreSQL has the lists, too."""


class RedisConnection:
    """Used by the event loop of one process."""

    def __init__(self) -> None:
        self.client: Redis | None = None
        """None until the address is known: a stopped embedded server has none."""
        self.reader: RedisReader | None = None
        """A shared connection for what every request reads."""
        self.available = False
        """Whether the last command succeeded. Otherwise requests do not wait for Redis."""
        self._url: str | None = None

    async def live_generation(self) -> int | None:
        """Return the generation of stored lists that is live in Redis; None without one.

        Raises
        ------
        RedisError, OSError
            Redis does not answer.
        Unavailable
            An embedded server does not run.
        """
        client = self.client if self.available and self.client is not None else await self._connect()
        try:
            generation = await client.get(keys.live_generation())
        except (RedisError, OSError):
            self.available = False
            raise
        self.available = True
        return int(generation) if generation is not None and generation.isdigit() else None

    async def _connect(self) -> Redis:
        """Return a client of the current address: an embedded server may restart on another port."""
        url = await to_thread.run_sync(redis_url)
        if self.client is None or url != self._url:
            if self.client is not None:
                cache.close()
            await self.close()
            self.client, self._url = async_client(url, TIMEOUT_SECONDS), url
            self.reader = _reader_of(self.client, url)
        return self.client

    async def close(self) -> None:
        """Close all connections."""
        reader, client, self.reader, self.client = self.reader, self.client, None, None
        with contextlib.suppress(RedisError, OSError):
            if reader is not None:
                await reader.close()
            if client is not None:
                await client.aclose()


def _reader_of(client: Redis, url: str) -> RedisReader:
    if not url.partition("://")[0].endswith("+cluster"):
        return RedisReader(client, TIMEOUT_SECONDS)
    from serving.state.cluster_reader import ClusterReader

    return ClusterReader(client, url, TIMEOUT_SECONDS)
