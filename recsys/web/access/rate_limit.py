"""How many requests a second one caller may send: a bucket in Redis for each, shared by all processes.

The bucket is GCRA (ITU-T I.371, the virtual scheduling algorithm): one number, the moment at which the bucket
is full again, moved by one script in one round trip. A process takes tokens of a fast caller some at a time,
5% of a second, so that most requests of it ask nobody. Tokens are off the bucket when they are taken: several
processes together never let through more than the limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio import to_thread
from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from recsys.cache.client import async_client, redis_url
from recsys.errors import RecsysError
from recsys.log import get_logger

__all__ = ["Limit", "RateLimits", "Taken"]

_REDIS_SECONDS = 0.25
"""A limit is not worth more of a caller's time."""
_AWAY_SECONDS = 1.0
_LEASE_SECONDS = 1.0
_REMEMBERED = 10_000
_log = get_logger(__name__)

# full: when the bucket is full again. Redis' own clock, so that processes need not agree on the time.
_TAKE = """
local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') or 0, now)
local free = burst - (full - now) * rate
local taken = math.min(wanted, math.floor(free + 1e-3))
if taken < 1 then
    return {0, tostring(free), tostring((1 - free) / rate)}
end
full = full + taken / rate
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return {taken, tostring(free - taken), '0'}
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """Whose bucket (a Redis key), how fast it fills, how much it holds, and what the answer calls it."""

    bucket: str
    rate: float
    burst: int
    policy: str

    @property
    def headers(self) -> tuple[bytes, bytes]:
        """`RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10, section 3)."""
        window = max(1, math.ceil(self.burst / self.rate))
        return b"ratelimit-policy", f'"{self.policy}";q={self.burst};w={window}'.encode("ascii")


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether the request may pass, what is left, and after how many seconds to come again if not."""

    allowed: bool
    left: int
    retry_after: float = 0.0

    def header(self, limit: Limit) -> tuple[bytes, bytes]:
        """`RateLimit` (section 4 of the same draft): what is left, and when the bucket is full again."""
        full = self.retry_after if not self.allowed else (limit.burst - self.left) / limit.rate
        return b"ratelimit", f'"{limit.policy}";r={self.left};t={max(1, math.ceil(full))}'.encode("ascii")


@dataclass(slots=True)
class _Lease:
    """What this process holds of one bucket."""

    tokens: int = 0
    until: float = 0.0
    left: int = 0
    refused_until: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class RateLimits:
    """The buckets as one event loop sees them. While Redis is away everybody passes, and the log says so."""

    def __init__(self) -> None:
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._client: Redis | None = None
        self._script: AsyncScript | None = None
        self._connecting = asyncio.Lock()
        self._away_until = 0.0
        self._away = False

    async def take(self, limit: Limit) -> Taken | None:
        """One token of a bucket; None while Redis is away, which counts as a yes."""
        lease = self._lease(limit.bucket)
        now = time.monotonic()
        if (known := _locally(lease, now)) is not None:
            return known
        if now < self._away_until:
            return None
        async with lease.lock:
            # the first holder of the lock may have fetched enough tokens for all that waited
            if (known := _locally(lease, time.monotonic())) is not None:
                return known
            return await self._ask(limit, lease)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Closes the connections at the end of the block."""
        try:
            yield
        finally:
            await self._hang_up()

    def _lease(self, bucket: str) -> _Lease:
        lease = self._leases.get(bucket)
        if lease is None:
            lease = self._leases[bucket] = _Lease()
            while len(self._leases) > _REMEMBERED:
                self._leases.popitem(last=False)
        return lease

    async def _ask(self, limit: Limit, lease: _Lease) -> Taken | None:
        wanted = max(1, min(int(limit.rate * 0.05), limit.burst // 10))
        try:
            script = self._script or await self._connect()
            answer = await script(keys=[limit.bucket], args=[limit.rate, limit.burst, wanted])
        except (RedisError, OSError, RecsysError) as error:
            await self._lost(error)
            return None
        if self._away:
            _log.info("Redis is back: requests are limited again")
        self._away = False
        now = time.monotonic()
        taken, left, wait = int(answer[0]), max(0, int(float(answer[1]))), float(answer[2])
        if taken == 0:
            # nobody puts tokens back: until then the answer can be no other
            lease.refused_until = now + wait
            return Taken(False, 0, wait)
        lease.tokens, lease.until, lease.left = taken - 1, now + _LEASE_SECONDS, left
        return Taken(True, left + taken - 1)

    async def _connect(self) -> AsyncScript:
        # of two buckets at the same moment one connects: nobody would close the other's client
        async with self._connecting:
            if self._script is not None:
                return self._script
            # the address of an embedded server stands in a file, and changes when it comes back
            url = await to_thread.run_sync(redis_url)
            self._client = async_client(url, _REDIS_SECONDS)
            # a cluster is found once, before many ask at the same moment
            await self._client.initialize()
            self._script = self._client.register_script(_TAKE)
            return self._script

    async def _lost(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _AWAY_SECONDS
        if not self._away:  # logged once when it begins and once when it ends
            _log.error("Redis is away: requests are not limited until it is back", error=type(error).__name__)
        self._away = True
        await self._hang_up()

    async def _hang_up(self) -> None:
        client, self._client, self._script = self._client, None, None
        if client is not None:
            with contextlib.suppress(RedisError, OSError):
                await client.aclose()


def _locally(lease: _Lease, now: float) -> Taken | None:
    if lease.tokens > 0 and now < lease.until:
        lease.tokens -= 1
        return Taken(True, lease.left + lease.tokens)
    if now < lease.refused_until:
        return Taken(False, 0, lease.refused_until - now)
    return None
