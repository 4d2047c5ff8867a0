"""Redis Cluster behind the interface of one Redis: commands are sent to the server of each one's slot.

What has to be atomic lies in one slot: our own keys carry the tag of the key that they belong to (`keys`).
The other commands of a pipeline follow it, in a transaction for each slot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import unquote

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.commands import CoreCommands
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError, WatchError
from redis.retry import Retry

from recsys.log import get_logger

__all__ = ["Cluster", "SlotPipeline", "async_cluster", "connect_cluster", "login_and_nodes"]

_log = get_logger(__name__)
_SCHEMES = ("redis+cluster", "rediss+cluster")
_SPLIT = frozenset({"DEL", "UNLINK"})
"""Commands whose keys may lie in several slots, one by one."""
_POLL_SECONDS = 0.01, 0.1
_MISTAKES = ("same", "Missing key", "is blocked")
"""Words of the client's complaints about a command that no cluster takes, which are no outage."""

_Part = tuple[int, tuple[Any, ...], dict[str, Any]]


def login_and_nodes(url: str) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """The log-in and encryption as arguments of a client, and host and port of the nodes to begin with.

    Raises
    ------
    ValueError
        The address cannot be read.
    """
    scheme, _, rest = url.partition("://")
    login, _, places = rest.removesuffix("/").removesuffix("/0").rpartition("@")
    if scheme not in _SCHEMES or "/" in places or "?" in places:
        raise ValueError("not the address of a cluster")
    user, _, password = login.partition(":")
    arguments = {"username": unquote(user) or None, "password": unquote(password) or None}
    nodes = []
    for place in places.split(","):
        host, _, port = place.rpartition(":") if not place.endswith("]") else (place, "", "")
        host, port = (host, port) if host else (place, "6379")
        nodes.append((host.strip("[]"), int(port)))
    if not all(host and 0 < port < 65_536 for host, port in nodes):
        raise ValueError("not the address of a cluster")
    return {**arguments, **({"ssl": True} if scheme == "rediss+cluster" else {})}, nodes


def connect_cluster(url: str, seconds: float) -> Cluster:
    """A client of the cluster; raises redis.ConnectionError when no node answers."""
    arguments, nodes = login_and_nodes(url)
    with _absences():
        return Cluster(
            startup_nodes=[ClusterNode(*node) for node in nodes],  # type: ignore[no-untyped-call]
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            # after a failover the first answer says where the slot is now
            retry=Retry(NoBackoff(), 1),
            **arguments,
        )


def async_cluster(url: str, seconds: float) -> redis.asyncio.Redis:
    """A client of the cluster for an event loop; it connects when it is first used."""
    arguments, nodes = login_and_nodes(url)
    client: Any = _AsyncCluster(
        startup_nodes=[AsyncClusterNode(*node) for node in nodes],
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 1),
        **arguments,
    )
    return cast("redis.asyncio.Redis", client)


class _AsyncCluster(AsyncRedisCluster):
    async def initialize(self, *args: Any, **options: Any) -> AsyncRedisCluster:
        with _absences():
            return await super().initialize(*args, **options)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        with _absences():
            return await super().execute_command(*args, **options)


class Cluster(RedisCluster):
    """The client of all servers, with the methods of `redis.Redis` that this project uses."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command; an unreachable part of the cluster raises redis.ConnectionError."""
        with _absences():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool | None = True, shard_hint: str | None = None) -> SlotPipeline:
        """Commands that are sent together."""
        return SlotPipeline(self, transaction=bool(transaction))

    def slot_pipeline(self, *, transaction: bool) -> Any:
        """The library's own pipeline: with `transaction` of one slot only."""
        return super().pipeline(transaction=transaction)  # type: ignore[no-untyped-call]

    def transaction(
        self, func: Callable[[Any], Any], *watches: Any, value_from_callable: bool = False, **_: Any
    ) -> Any:
        """Call `func` and send what it queued, again whenever a watched key (all of one slot) changed."""
        while True:
            with self.pipeline(transaction=True) as pipeline:
                try:
                    if watches:
                        pipeline.watch(*watches)
                    value = func(pipeline)
                    answers = pipeline.execute()
                except WatchError:
                    continue
                return value if value_from_callable else answers

    def mget(self, keys: Any, *args: Any) -> list[Any]:
        """The values of keys of any slots, not of one moment."""
        pipeline: Any = self.pipeline(transaction=False)
        for key in [keys, *args] if isinstance(keys, str | bytes) else [*keys, *args]:
            pipeline.get(key)
        found: list[Any] = pipeline.execute()
        return found

    def xreadgroup(  # type: ignore[override]
        self,
        groupname: str,
        consumername: str,
        streams: Mapping[Any, Any],
        count: int | None = None,
        block: int | None = None,
        **more: Any,
    ) -> Any:
        """New entries of streams in any slots; the wait for them is a look now and then."""
        ends_at = time.monotonic() + (block or 0) / 1000
        pause, longest = _POLL_SECONDS
        while True:
            pipeline: Any = self.pipeline(transaction=False)
            for stream, last in streams.items():
                pipeline.xreadgroup(groupname, consumername, {stream: last}, count, None, **more)
            answers = pipeline.execute(raise_on_error=False)
            for error in (answer for answer in answers if isinstance(answer, Exception)):
                # as one Redis says it; what another stream gave is pending, and is taken over
                raise error
            found = [pair for answer in answers for pair in _pairs(answer)]
            left = ends_at - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(pause, left))
            pause = min(2 * pause, longest)

    def ping(self, **_: Any) -> bool:
        """Whether all servers answer; raises redis.ConnectionError when one of them does not."""
        answers: list[Any] = [server.ping() for server in self.servers()]
        return all(answers)

    def dbsize(self, **_: Any) -> int:
        """The number of keys of all servers."""
        sizes: list[Any] = [server.dbsize() for server in self.servers()]
        return sum(sizes)

    def servers(self) -> list[redis.Redis]:
        """A client of each primary alone."""
        primaries = self.get_primaries()  # type: ignore[no-untyped-call]
        return [self.get_redis_connection(node) for node in primaries]


class SlotPipeline(CoreCommands):
    """Commands for several slots, sent together: in one transaction for each slot that has more than one.

    What is watched lies in one slot. That slot's commands go first, and nothing else is sent when one of the
    watched keys has changed. The slots are not changed at the same moment: a process that is killed between
    them leaves the later ones as they were, and so does a master that fails, which is logged.
    """

    _event_dispatcher: Any = None
    """What the mixin of the commands wants a client to have; a pipeline has none."""

    def __init__(self, cluster: Cluster, *, transaction: bool) -> None:
        self._cluster, self._transaction = cluster, transaction
        self._queue: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._watching: Any = None
        self._slot: int | None = None
        self._queues = True

    def __enter__(self) -> SlotPipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.reset()

    def __len__(self) -> int:
        return len(self._queue)

    def __bool__(self) -> bool:
        return True

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Queue a command, or send it at once between `watch` and `multi`."""
        if self._queues:
            self._queue.append((args, options))
            return self
        with _absences():
            if self._cluster.determine_slot(*args) == self._slot:
                return self._watching.execute_command(*args, **options)
        return self._cluster.execute_command(*args, **options)

    def watch(self, *names: Any) -> None:
        """Watch keys of one slot; what follows is answered at once."""
        with _absences():
            self._watching = self._cluster.slot_pipeline(transaction=True)
            self._watching.watch(*names)
            self._slot = self._cluster.keyslot(names[0])  # type: ignore[no-untyped-call]
        self._queues = False

    def multi(self) -> None:
        """Queue what follows."""
        self._queues = True

    def reset(self) -> None:  # type: ignore[override]
        """Forget what is queued, and watch nothing any more."""
        watching, self._watching, self._slot, self._queues = self._watching, None, None, True
        self._queue = []
        if watching is not None:
            watching.reset()

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all; the answers in the order of the commands. Raises WatchError, redis' other errors."""
        try:
            with _absences():
                return self._execute(raise_on_error)
        finally:
            self.reset()

    def _execute(self, raise_on_error: bool) -> list[Any]:
        answers: list[list[Any]] = [[] for _ in self._queue]
        by_slot: dict[int | None, list[_Part]] = {}
        for place, (args, options) in enumerate(self._queue):
            split = args[0] in _SPLIT and len(args) > 2
            for part in [(args[0], key) for key in args[1:]] if split else [args]:
                slot = self._cluster.determine_slot(*part)
                by_slot.setdefault(slot, []).append((place, part, options))
        if self._watching is None:
            self._send(by_slot, answers, raise_on_error)
        else:
            self._watching.multi()
            first = by_slot.pop(self._slot, [])
            self._transact(self._watching, first, answers, raise_on_error)
            try:
                self._send(by_slot, answers, raise_on_error)
            except (RedisError, OSError) as error:
                if not first:
                    raise
                # the change itself is stored: an error would have it repeated
                _log.error(
                    "a change is stored, and what follows it on other masters is not", error=str(error)
                )
        return [_together(found) for found in answers]

    def _send(
        self, by_slot: dict[int | None, list[_Part]], answers: list[list[Any]], raise_on_error: bool
    ) -> None:
        alone = [parts for parts in by_slot.values() if len(parts) == 1 or not self._transaction]
        if alone:
            several = [part for parts in alone for part in parts]
            found = _sent(self._cluster.slot_pipeline(transaction=False), several, raise_on_error)
            for (place, _, _), answer in zip(several, found, strict=True):
                answers[place].append(answer)
        for parts in by_slot.values():
            if len(parts) > 1 and self._transaction:
                self._transact(self._cluster.slot_pipeline(transaction=True), parts, answers, raise_on_error)

    def _transact(
        self, pipeline: Any, parts: list[_Part], answers: list[list[Any]], raise_on_error: bool
    ) -> None:
        found = _sent(pipeline, parts, raise_on_error)
        # the library leaves the answers of a transaction as they came
        callbacks = self._cluster.servers()[0].response_callbacks
        for (place, args, given), answer in zip(parts, found, strict=True):
            options = {name: value for name, value in given.items() if name != "keys"}
            is_plain = isinstance(answer, Exception) or args[0] not in callbacks
            answers[place].append(answer if is_plain else callbacks[args[0]](answer, **options))


def _together(found: list[Any]) -> Any:
    """The answer to a command from those to its parts; None where it was not sent."""
    if len(found) == 1:
        return found[0]
    return sum(found) if found else None


def _sent(pipeline: Any, parts: list[_Part], raise_on_error: bool) -> list[Any]:
    for _, args, options in parts:
        pipeline.execute_command(*args, **options)
    found: list[Any] = pipeline.execute(raise_on_error)
    return found


@contextmanager
def _absences() -> Iterator[None]:
    """Raise what the library says of an unreachable cluster as the client of one Redis would."""
    try:
        yield
    except RedisClusterException as error:
        if any(words in str(error) for words in _MISTAKES):
            raise
        raise RedisConnectionError(str(error)) from error


def _pairs(answer: Any) -> list[tuple[Any, Any]]:
    """The answer of XREADGROUP in either protocol as pairs of a stream and its entries."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [(stream, [pair for part in parts for pair in part]) for stream, parts in answer.items()]
    return [(stream, entries) for stream, entries in answer]
