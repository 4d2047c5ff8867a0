"""One connection to Redis that all requests share: what they ask in the same moment goes out in one write.

A pooled client costs each answer a connection of its own, a write and a read, and its own bookkeeping, which
together take longer than making the answer.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

__all__ = ["RedisReader"]

Pair = tuple[Any, Any]
_Waiting = tuple[bytes, asyncio.Future[Pair]]


class RedisReader:
    """Reads pairs (members of a set, value of a string); belongs to the event loop that first uses it."""

    def __init__(self, client: redis.asyncio.Redis, seconds: float) -> None:
        """`client` says where and how to connect; an answer may take `seconds`."""
        pool: Any = client.connection_pool  # its factory has no types
        self._connection: Any = pool.make_connection()
        self._seconds = seconds
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None

    async def read(self, members_of: str, value_of: str) -> Pair:
        """The members of a set (bytes each) and the value of a string (bytes or None).

        Raises RedisError or OSError (a timeout); what went wrong with one pair does not touch the others.
        """
        future: asyncio.Future[Pair] = asyncio.get_running_loop().create_future()
        first, second = members_of.encode(), value_of.encode()
        self._waiting.append(
            (
                b"*2\r\n$8\r\nSMEMBERS\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n"
                % (len(first), first, len(second), second),
                future,
            )
        )
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return await future

    async def close(self) -> None:
        """Hang up; who still waits gets ConnectionError."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._connection.disconnect()

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                replies = await self._exchange(batch)
            except (RedisError, OSError) as error:
                await self._connection.disconnect(nowait=True)
                _fail(batch, error)
            except BaseException:
                _fail([*batch, *self._waiting], ConnectionLost("the connection was closed"))
                self._waiting = []
                raise
            else:
                for (_, future), (members, value) in zip(batch, replies, strict=True):
                    refused = [one for one in (members, value) if isinstance(one, ResponseError)]
                    if future.done():  # whoever asked has gone
                        continue
                    if refused:
                        future.set_exception(refused[0])
                    else:
                        future.set_result((members, value))

    async def _exchange(self, batch: list[_Waiting]) -> list[Pair]:
        try:
            return await self._once(batch)
        except ConnectionLost:
            # a server that was restarted dropped the old connection: reading twice does no harm
            await self._connection.disconnect(nowait=True)
            return await self._once(batch)

    async def _once(self, batch: list[_Waiting]) -> list[Pair]:
        async with asyncio.timeout(self._seconds):
            if not self._connection.is_connected:
                await self._connection.connect()
            await self._connection.send_packed_command([b"".join(packed for packed, _ in batch)], False)
            return [(await self._reply(), await self._reply()) for _ in batch]

    async def _reply(self) -> Any:
        try:
            # its own limit for each reply would cost more than the reply: the exchange has one
            return await self._connection.read_response(timeout=math.inf)
        except ResponseError as error:
            return error


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
