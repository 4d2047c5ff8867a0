"""Rate limits: never more than the bucket holds, also concurrently, and open while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from recsys.cache.client import servers
from recsys.settings import get_settings
from recsys.web.access import authentication, rate_limit
from recsys.web.access.rate_limit import Limit, RateLimits, Taken
from tests.support.shop import Shop

SLOW = 0.001
"""Tokens a second: none comes back during a test."""


class _Listener:
    """Stands for the log and keeps the messages."""

    def __init__(self, messages: list[str]) -> None:
        self.error: Callable[..., None] = lambda event, **_: messages.append(event)
        self.info = self.error


def _run(work: Callable[[list[RateLimits]], Coroutine[Any, Any, None]], processes: int = 1) -> None:
    async def whole() -> None:
        several = [RateLimits() for _ in range(processes)]
        try:
            await work(several)
        finally:
            for one in several:
                await one._hang_up()

    asyncio.run(whole())


async def _take(several: list[RateLimits], limit: Limit, times: int) -> list[Taken]:
    answers = await asyncio.gather(*(several[n % len(several)].take(limit) for n in range(times)))
    assert None not in answers
    return [one for one in answers if one is not None]


def test_many_buckets_at_once_open_one_client(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second client would be forgotten, and its connections never closed."""
    made: list[str] = []
    client_of = rate_limit.async_client

    def counted(url: str, seconds: float) -> Any:
        made.append(url)
        return client_of(url, seconds)

    monkeypatch.setattr(rate_limit, "async_client", counted)

    async def work(several: list[RateLimits]) -> None:
        limits = [Limit(f"limit:test:{number}", SLOW, 50, "key") for number in range(20)]
        answers = await asyncio.gather(*(several[0].take(limit) for limit in limits))
        assert all(answer is not None and answer.allowed for answer in answers)

    _run(work)
    assert len(made) == 1


def test_several_processes_at_once_share_one_bucket_exactly(shop: Shop) -> None:
    limit = Limit("limit:test", SLOW, 50, "key")

    async def work(several: list[RateLimits]) -> None:
        answers = await _take(several, limit, 300)
        assert sum(one.allowed for one in answers) == 50
        refused = [one for one in answers if not one.allowed]
        assert all(one.left == 0 and one.retry_after > 60 for one in refused)

    _run(work, processes=3)


def test_tokens_that_are_taken_ahead_do_not_add_up_to_more(shop: Shop, redis_client: redis.Redis) -> None:
    limit = Limit("limit:test", 100.0, 500, "key")  # 5 at a time

    async def work(several: list[RateLimits]) -> None:
        started = time.monotonic()
        allowed = 0
        for _ in range(4):
            allowed += sum(one.allowed for one in await _take(several, limit, 300))
        most = limit.burst + limit.rate * (time.monotonic() - started) + 1
        assert 500 <= allowed <= most
        # most requests asked nobody
        assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] < 300

    redis_client.config_resetstat()
    _run(work, processes=2)


def test_a_bucket_fills_again(shop: Shop) -> None:
    limit = Limit("limit:test", 5.0, 1, "key")

    async def work(several: list[RateLimits]) -> None:
        (first, second) = await _take(several, limit, 2)
        assert (first.allowed, second.allowed) == (True, False)
        assert 0 < second.retry_after <= 1 / 5
        await asyncio.sleep(second.retry_after + 0.005)
        (third,) = await _take(several, limit, 1)
        assert third.allowed

    _run(work)


def test_buckets_are_apart_and_leave_redis(shop: Shop, redis_client: redis.Redis) -> None:
    async def work(several: list[RateLimits]) -> None:
        for name in ("limit:a", "limit:b"):
            (taken, _) = await _take(several, Limit(name, 2.0, 1, "key"), 2)
            assert taken.allowed
            assert 0 < redis_client.pttl(name) <= 500

    _run(work)


def test_who_is_refused_does_not_load_redis(shop: Shop, redis_client: redis.Redis) -> None:
    async def work(several: list[RateLimits]) -> None:
        await _take(several, Limit("limit:a", SLOW, 1, "key"), 500)
        counted: list[Any] = [server.info("commandstats") for server in servers(redis_client)]
        calls = [each["cmdstat_evalsha"]["calls"] for each in counted if "cmdstat_evalsha" in each]
        assert 1 <= sum(calls) <= 3

    for server in servers(redis_client):
        server.config_resetstat()
    _run(work)


def test_without_redis_everybody_passes_and_it_is_logged_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "_AWAY_SECONDS", 0.0)
    limit = Limit("limit:test", SLOW, 1, "key")

    async def work(several: list[RateLimits]) -> None:
        monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1")
        get_settings.cache_clear()
        assert [await several[0].take(limit) for _ in range(5)] == [None] * 5
        monkeypatch.setenv("RECSYS_REDIS__URL", shop.redis_url)
        get_settings.cache_clear()
        assert [one.allowed for one in await _take(several, limit, 2)] == [True, False]

    messages: list[str] = []
    monkeypatch.setattr(rate_limit, "_log", _Listener(messages))
    _run(work)
    assert messages == [
        "Redis is away: requests are not limited until it is back",
        "Redis is back: requests are limited again",
    ]


def _is_first_second(seconds: int, missing: int, rate: float) -> bool:
    """Whether so many seconds, at least one, fill what is missing, and one less would not."""
    rounding = 1e-9 * missing
    return seconds * rate >= missing - rounding and (
        seconds == 1 or (seconds > 1 and (seconds - 1) * rate < missing + rounding)
    )


@given(st.floats(0.001, 1e6), st.integers(1, 10_000_000), st.data())
def test_the_headers_are_of_their_form(rate: float, burst: int, data: st.DataObject) -> None:
    limit = Limit("limit:test", rate, burst, "key")
    left = data.draw(st.integers(0, burst))
    name, policy = limit.headers
    assert name == b"ratelimit-policy"
    assert policy.startswith(b'"key";q=%d;w=' % burst)
    assert _is_first_second(int(policy.rpartition(b"=")[2]), burst, rate)
    name, state = Taken(True, left).header(limit)
    assert (name, state.startswith(b'"key";r=%d;t=' % left)) == (b"ratelimit", True)
    assert _is_first_second(int(state.rpartition(b"=")[2]), burst - left, rate)


def test_the_bucket_of_an_address_is_of_its_network_and_names_nobody() -> None:
    def of(host: str) -> str:
        return authentication._address({"client": (host, 1)})

    assert of("2001:db8:1:2::5") == of("2001:db8:1:2:ffff::1") != of("2001:db8:1:3::5")
    assert of("::ffff:192.0.2.1") == of("192.0.2.1") != of("192.0.2.2")
    limit = authentication._bucket("address", of("192.0.2.1"), 1.0, 1)
    assert limit is not None
    assert "192" not in limit.bucket.replace(limit.bucket.rpartition(":")[2], "")
    assert authentication._bucket("key", "1", 0.0, 1) is None
