"""The impression log: responses are noted in memory and flushed in the background five times a second.

`note` only appends to a queue in memory. A flush puts the queue into a Redis stream,
from which `recsys.write_buffer.drain` brings it to PostgreSQL; without Redis, or when
too much waits there, into a synced file under `var/spool/exposures/`, drained later. A process that is killed
loses the lists of the last fifth of a second; a normal exit flushes first. When both fail, up to 20,000 lists
(about 40 MB with twenty products each) wait in memory; further lists are not logged, which is counted
(`recsys_exposures_dropped_total`) and logged once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from types import TracebackType
from typing import Self

from anyio import CapacityLimiter, to_thread
from prometheus_client import Counter
from redis.exceptions import RedisError

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.web.metrics import REGISTRY
from recsys.write_buffer import buffer as write_buffer
from recsys.write_buffer import spool
from recsys.write_buffer.buffer import RecentOutage
from serving.state.metrics import LISTS, LateShare

__all__ = ["FLUSH_SECONDS", "MAX_IN_MEMORY", "Answered", "ImpressionLog"]

FLUSH_SECONDS = 0.2
MAX_IN_MEMORY = 20_000
"""Lists that wait in memory while neither Redis nor the disk takes them."""
_BATCH_SIZE = 500
_LOGGED = Counter("recsys_exposures", "Answered lists that were logged.", ["to"], registry=REGISTRY)
_DROPPED = Counter("recsys_exposures_dropped", "Answered lists that could not be logged.", registry=REGISTRY)
_log = get_logger(__name__)


class ImpressionLog:
    """The log of one process: `async with ImpressionLog() as log`, in the event loop that notes."""

    def __init__(
        self,
        late_share: LateShare | None = None,
        *,
        seconds: float = FLUSH_SECONDS,
        max_lists: int = MAX_IN_MEMORY,
    ) -> None:
        """`late_share` samples the number of lists once a second."""
        self._late_share = late_share or LateShare()
        self._pending: deque[Sequence[Answered]] = deque()
        self._count = self._lists = 0
        self._seconds, self._max_lists = seconds, max_lists
        self._task: asyncio.Task[None] | None = None
        # its own thread: requests may occupy all others
        self._thread = CapacityLimiter(1)
        self._flushing = asyncio.Lock()
        self._redis_outage = RecentOutage()
        self._waiting_in_redis = 0
        self._dropping = self._spooling = False

    def note(self, *answered: Answered) -> None:
        """Note all lists of one request in one call, right before the response is sent.

        Never raises and never waits. Call it in the event loop's thread.
        """
        for impression in answered:
            LISTS[impression.source].inc()
        self._lists += len(answered)
        if self._count >= self._max_lists:
            self._drop(len(answered))
            return
        self._count += len(answered)
        self._pending.append(answered)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if self._pending:
            _log.error("answered lists could not be logged before the end", lists=self._count)
            self._drop(self._count)
        await to_thread.run_sync(spool.of_process("exposures").close)

    async def flush(self) -> None:
        """Write the noted lists to Redis or the disk; lists that neither takes stay in memory."""
        async with self._flushing:
            pending = tuple(islice(self._pending, len(self._pending)))
            if not pending:
                return
            # removed only afterwards: a cancelled flush loses nothing
            written = await to_thread.run_sync(self._write, pending, limiter=self._thread)
            if written:
                for _ in pending:
                    self._count -= len(self._pending.popleft())

    async def _run(self) -> None:
        drained = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.flush()
                if loop.time() - drained > 1.0:
                    drained = loop.time()
                    self._late_share.sample(self._lists)
                    await to_thread.run_sync(self._drain, limiter=self._thread)
            except Exception as error:  # noqa: BLE001 whatever it is: a log that ends would log nothing any more
                _log.error("answered lists were not flushed; it is tried again", exc_info=error)

    def _write(self, pending: Sequence[Sequence[Answered]]) -> bool:
        for lists in _batches(pending):
            try:
                packed = impressions.pack(lists)
            except TypeError as error:  # a programming error, which must not block all others
                _log.error("answered lists are of no form that can be logged", error=str(error))
                _DROPPED.inc(len(lists))
                continue
            if not (self._to_redis(packed, lists) or self._to_disk(packed, lists)):
                # earlier batches are written again with the rest: their ids are unique
                return False
        self._dropping = False
        return True

    def _to_redis(self, packed: bytes, lists: Sequence[Answered]) -> bool:
        if self._redis_outage.is_on() or self._waiting_in_redis >= get_settings().intake.stream_entries:
            return False
        try:
            self._send([packed], lists)
        except (RedisError, OSError, Unavailable) as error:
            self._redis_outage.begin()
            if not self._spooling:
                _log.error("Redis does not take answered lists; they wait on disk", error=str(error))
            self._spooling = True
            return False
        _LOGGED.labels("redis").inc(len(lists))
        return True

    def _send(self, batches: Sequence[bytes], recent: Sequence[Answered] = ()) -> None:
        pipeline = get_redis().pipeline(transaction=True)
        for batch in batches:
            pipeline.xadd(keys.exposures_waiting(), {"data": batch})
        if recent:
            impressions.remember(pipeline, recent)
        pipeline.xlen(keys.exposures_waiting())
        self._waiting_in_redis = int(pipeline.execute()[-1])

    def _to_disk(self, packed: bytes, lists: Sequence[Answered]) -> bool:
        try:
            spool.of_process("exposures").append([packed])
        except (OSError, Unavailable) as error:
            if not self._dropping:
                _log.error("answered lists wait in memory: the disk does not take them", error=str(error))
            self._dropping = True
            return False
        _LOGGED.labels("disk").inc(len(lists))
        return True

    def _drain(self) -> None:
        """Move lists and posts from the disk to Redis once it answers and has room."""
        files, queued = spool.of_process("exposures"), spool.of_process("posts")
        if self._waiting_in_redis:
            self._count_waiting()
        if self._redis_outage.is_on() or not (files.waiting() or queued.waiting()):
            return
        try:
            queued.drain(write_buffer.to_redis)
            if self._waiting_in_redis < get_settings().intake.stream_entries // 2:
                files.drain(self._send)
        except (RedisError, OSError, Unavailable):
            self._redis_outage.begin()
            return
        if self._spooling and not self._redis_outage.is_on():
            _log.info("Redis takes answered lists again")
            self._spooling = False

    def _count_waiting(self) -> None:
        try:
            self._waiting_in_redis = int(get_redis().xlen(keys.exposures_waiting()))
        except (RedisError, OSError, Unavailable):
            self._redis_outage.begin()

    def _drop(self, lists: int) -> None:
        _DROPPED.inc(lists)
        if not self._dropping:
            _log.error(
                "answered lists are not logged: nothing takes them and memory has no more room for them"
            )
        self._dropping = True


def _batches(pending: Sequence[Sequence[Answered]]) -> Iterator[list[Answered]]:
    """Yield batches of about `_BATCH_SIZE` lists; the lists of one request stay together."""
    batch: list[Answered] = []
    for lists in pending:
        batch += lists
        if len(batch) >= _BATCH_SIZE:
            yield batch
            batch = []
    if batch:
        yield batch
