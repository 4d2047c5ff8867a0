"""The reader of what every request reads, for Redis Cluster: one shared connection to each master.

A user's recent interactions and stored list lie in one slot, so that a request is one trip to one server.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis.asyncio
from redis.exceptions import AskError, MovedError, RedisError

from recsys.cache.cluster import login_and_nodes
from recsys.cache.slots import beside
from serving.state.redis_reader import RedisReader

__all__ = ["ClusterReader"]

_NOTHING = "-"
"""The key of a half that is not wanted, and how one begins that lies in the slot of the other half."""


class ClusterReader(RedisReader):
    """Reads pairs like `RedisReader`, each from the server of its slot."""

    def __init__(self, client: redis.asyncio.Redis, url: str, seconds: float) -> None:
        """Begin without connections; the first read asks the cluster where slots lie.

        Parameters
        ----------
        client
            Of the cluster, which knows where a slot lies.
        url
            Its address, for the log-in.
        seconds
            The timeout of a reply.
        """
        self._cluster: Any = client
        self._arguments, _ = login_and_nodes(url)
        self._seconds = seconds
        self._readers: dict[tuple[str, int], RedisReader] = {}

    async def read(self, members_of: str, value_of: str) -> tuple[Any, Any]:
        """Return the members of a set and the value of a string, as `RedisReader.read`.

        A slot that has moved is asked for through the client of the cluster, which learns of it.
        """
        if not self._readers:
            await self._cluster.initialize()
        if members_of == _NOTHING:
            members_of = _NOTHING + beside(value_of)
        elif value_of == _NOTHING:
            value_of = _NOTHING + beside(members_of)
        first, second = self._reader_of(members_of), self._reader_of(value_of)
        try:
            if first is second:
                return await first.read(members_of, value_of)
            members, value = await asyncio.gather(
                first.read(members_of, _NOTHING + beside(members_of)),
                second.read(_NOTHING + beside(value_of), value_of),
            )
            return members[0], value[1]
        except (MovedError, AskError):
            return await self._cluster.smembers(members_of), await self._cluster.get(value_of)
        except (RedisError, OSError):
            # a server that is away may have a successor: the next read asks the cluster for it
            await self.close()
            await self._cluster.aclose()
            raise

    async def close(self) -> None:
        """Disconnect; pending reads raise ConnectionError."""
        readers, self._readers = self._readers, {}
        await asyncio.gather(*(reader.close() for reader in readers.values()))

    def _reader_of(self, key: str) -> RedisReader:
        node = self._cluster.get_node_from_key(key)
        if node is None:
            raise RedisError("no server of the cluster has this slot")
        place = str(node.host), int(node.port)
        reader = self._readers.get(place)
        if reader is None:
            client = redis.asyncio.Redis(
                host=place[0], port=place[1], socket_timeout=self._seconds,
                socket_connect_timeout=self._seconds, **self._arguments,
            )  # fmt: skip
            reader = self._readers[place] = RedisReader(client, self._seconds)
        return reader
