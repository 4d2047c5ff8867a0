"""One connection to Redis that all requests share: commands of the same moment go out in one write.

A pooled client takes a connection, a write, a read and bookkeeping per request, which together take longer
than the rest of the response.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

import redis.asyncio
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError, ResponseError

__all__ = ["RedisReader"]

_Reply = tuple[Any, Any]
_Command = tuple[bytes, asyncio.Future[_Reply]]


class RedisReader:
    """Reads pairs (members of a set, value of a string); belongs to the event loop that first uses it."""

    def __init__(self, client: redis.asyncio.Redis, seconds: float) -> None:
        """Take the settings of a client; the first read connects.

        Parameters
        ----------
        client
            Where and how to connect.
        seconds
            The timeout of a reply.
        """
        pool: Any = client.connection_pool  # its factory has no types
        self._connection: Any = pool.make_connection()
        self._seconds = seconds
        self._queue: list[_Command] = []
        self._runner: asyncio.Task[None] | None = None

    async def read(self, members_of: str, value_of: str) -> _Reply:
        """Return the members of a set and the value of a string.

        Parameters
        ----------
        members_of
            The key of the set.
        value_of
            The key of the string.

        Returns
        -------
        members : collection of bytes
            Empty where there is no such set.
        value : bytes or None
            None where there is no such string.

        Raises
        ------
        RedisError, OSError
            Redis does not answer, or not in time; an error of one pair does not affect the others.
        """
        future: asyncio.Future[_Reply] = asyncio.get_running_loop().create_future()
        first, second = members_of.encode(), value_of.encode()
        self._queue.append(
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
        """Disconnect; pending reads raise ConnectionError."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        await self._connection.disconnect()

    async def _run(self) -> None:
        while self._queue:
            batch, self._queue = self._queue, []
            try:
                replies = await self._exchange(batch)
            except (RedisError, OSError) as error:
                await self._connection.disconnect(nowait=True)
                _fail(batch, error)
            except BaseException:
                _fail([*batch, *self._queue], ConnectionLost("the connection was closed"))
                self._queue = []
                raise
            else:
                for (_, future), (members, value) in zip(batch, replies, strict=True):
                    errors = [reply for reply in (members, value) if isinstance(reply, ResponseError)]
                    if future.done():  # the request was cancelled
                        continue
                    if errors:
                        future.set_exception(errors[0])
                    else:
                        future.set_result((members, value))

    async def _exchange(self, batch: list[_Command]) -> list[_Reply]:
        try:
            return await self._send_and_read(batch)
        except ConnectionLost:
            # a restarted server dropped the connection: reading twice is harmless
            await self._connection.disconnect(nowait=True)
            return await self._send_and_read(batch)

    async def _send_and_read(self, batch: list[_Command]) -> list[_Reply]:
        async with asyncio.timeout(self._seconds):
            if not self._connection.is_connected:
                await self._connection.connect()
            await self._connection.send_packed_command([b"".join(packed for packed, _ in batch)], False)
            return [(await self._reply(), await self._reply()) for _ in batch]

    async def _reply(self) -> Any:
        try:
            # a timeout per reply would cost more than the reply: the exchange has one
            return await self._connection.read_response(timeout=math.inf)
        except ResponseError as error:
            return error


def _fail(batch: list[_Command], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
