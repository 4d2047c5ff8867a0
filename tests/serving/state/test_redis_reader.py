"""The shared connection: every asker gets its own reply, whatever happens to the connection or to others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
import redis
import redis.asyncio

from serving.state.redis_reader import RedisReader
from tests.support.servers import Servers


@pytest.fixture
def server(servers: Servers) -> Iterator[redis.Redis]:
    """The one server that the reader is connected to, whatever the other tests run on."""
    with redis.Redis.from_url(servers.redis_url) as client:
        client.flushall()
        yield client
        client.flushall()


def with_line(servers: Servers, what: Callable[[RedisReader], Awaitable[None]], seconds: float = 5.0) -> None:
    async def run() -> None:
        client = redis.asyncio.Redis.from_url(servers.redis_url)
        line = RedisReader(client, seconds)
        try:
            await what(line)
        finally:
            await line.close()
            await client.aclose()

    asyncio.run(run())


def test_each_asker_gets_its_own_pair(servers: Servers, server: redis.Redis) -> None:
    for number in range(50):
        server.set(f"text:{number}", f"value {number}\r\n")
        server.sadd(f"set:{number}", number, -number - 1000)

    async def ask(line: RedisReader) -> None:
        reads = [line.read(f"set:{n}", f"text:{n}") for n in range(60)]
        for number, (members, value) in enumerate(await asyncio.gather(*reads)):
            if number < 50:
                assert set(members) == {str(number).encode(), str(-number - 1000).encode()}
                assert value == f"value {number}\r\n".encode()
            else:
                assert (list(members), value) == ([], None)

    with_line(servers, ask)


def test_a_wrong_type_and_an_asker_who_leaves_touch_nobody_else(
    servers: Servers, server: redis.Redis
) -> None:
    server.set("text", "here")

    async def ask(line: RedisReader) -> None:
        leaving = asyncio.create_task(line.read("set", "text"))
        wrong = asyncio.create_task(line.read("text", "text"))
        right = asyncio.create_task(line.read("set", "text"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await wrong
        assert (await right)[1] == b"here"
        assert (await line.read("set", "text"))[1] == b"here"

    with_line(servers, ask)


def test_a_dropped_connection_is_made_again(servers: Servers, server: redis.Redis) -> None:
    server.set("text", "here")

    async def ask(line: RedisReader) -> None:
        for _ in range(3):
            assert (await line.read("set", "text"))[1] == b"here"
            server.client_kill_filter(_type="normal", skipme=True)

    with_line(servers, ask)


def test_a_server_that_does_not_answer_is_an_error_soon_and_no_reply_is_mixed_up_later(
    servers: Servers, server: redis.Redis
) -> None:
    server.set("one", "1")
    server.set("two", "2")

    async def ask(line: RedisReader) -> None:
        assert (await line.read("set", "one"))[1] == b"1"
        server.client_pause(1000, all=True)
        with pytest.raises(TimeoutError):
            await line.read("set", "one")
        for _ in range(100):
            try:
                assert (await line.read("set", "two"))[1] == b"2"
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise AssertionError("it never came back")

    with_line(servers, ask, 0.2)
