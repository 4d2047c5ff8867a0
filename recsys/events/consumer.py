"""The consumer: handles each event of a group once, in order of arrival, with retries and dead letters.

The inbox row is written in the transaction of the handlers, and the entry is acknowledged after it: when a
consumer is killed in between, the event is delivered again and the row shows that it was handled. Several
consumers of a group share its streams; an entry that one of them did not finish in time is taken over by
another. Two events of one aggregate may be handled at the same time, so handlers read the present state and
do not rely on the order.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError
from sqlalchemy.orm import Session

from recsys.cache.absence import is_absence
from recsys.cache.client import get_redis
from recsys.database import absence
from recsys.database.absence import DatabaseAway
from recsys.database.session import unit_of_work
from recsys.errors import Unavailable
from recsys.events import consumer_groups, dead_letters, erased_people, inbox, lag
from recsys.events.envelope import Envelope, Handler, Subscriptions, Unreadable, open_entry
from recsys.events.retention import reason
from recsys.log import get_logger
from recsys.observation.spans import continued
from recsys.settings import get_settings

__all__ = ["Consumer", "StreamEntry"]

_TOGETHER = 50
"""Events per transaction; when one of them fails, each is handled in a transaction of its own."""
_BLOCK_MS = 500
_LONGEST_WAIT = 60.0
_log = get_logger(__name__)


@dataclass(frozen=True)
class StreamEntry:
    """One entry of a stream as it was delivered; `tries` counts the deliveries before this one."""

    stream: str
    id: bytes
    fields: Mapping[bytes, bytes]
    tries: int = 0


@dataclass
class _Failed:
    entry: StreamEntry
    due: float


class Consumer:
    """One member of a group of consumers.

    Parameters
    ----------
    group
        Its name.
    subscriptions
        Handlers by type of event; by default those registered under the name.
    """

    def __init__(self, group: str, subscriptions: Subscriptions | None = None) -> None:
        self.group = group
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._subscriptions = consumer_groups.subscriptions(group) if subscriptions is None else subscriptions
        self._streams = consumer_groups.streams(self._subscriptions)
        self._failed: list[_Failed] = []
        self._next_look = 0.0
        self._suspect = False
        self.handled = 0

    def run(self, stop: threading.Event, *, once: bool = False) -> int:
        """Handle events until `stop` is set.

        Events already read are finished first. Outages are logged and waited out.

        Parameters
        ----------
        stop
            Ends the work when it is set.
        once
            End when no event is left; outages are raised.

        Returns
        -------
        int
            How many were handled.
        """
        wait = 0.0
        if not self._streams:
            stop.wait(None if not once else 0)
            return 0
        try:
            while not stop.is_set():
                try:
                    found = self._turn(once)
                    wait = 0.0
                except (RedisError, OSError, Unavailable) as error:
                    if _no_group(error) or dead_letters.is_wrong_type(error):
                        _log.warning("the group is missing; it is made", group=self.group)
                        consumer_groups.ensure(get_redis(), self.group, self._streams)
                        continue
                    if once:
                        raise
                    wait = min(10.0, max(0.2, wait * 2))
                    _log.error("the consumer waits; nothing is lost", error=reason(error), seconds=wait)
                    stop.wait(wait)
                    continue
                if once and not found and not self._failed:
                    break
        finally:
            self._leave()
        return self.handled

    def _turn(self, once: bool) -> bool:
        if self._suspect and _is_outage():
            raise Unavailable("PostgreSQL or Redis is still away")
        self._suspect = False
        if time.monotonic() >= self._next_look:
            consumer_groups.ensure(get_redis(), self.group, self._streams)
            self._log_trimmed()
            for left in self._abandoned():
                self._work(left)
            self._next_look = time.monotonic() + get_settings().events.takeover_seconds / 2
        found = self._retry()
        # a single pass does not wait for new entries: Redis would block for at least a tenth of a second
        block = 10 if self._failed else None if once else _BLOCK_MS
        read: Any = get_redis().xreadgroup(
            self.group,
            self.name,
            dict.fromkeys(self._streams, ">"),
            count=_TOGETHER,
            block=block,
        )
        for stream, entries in _by_stream(read):
            found = True
            self._work([StreamEntry(stream, each, fields) for each, fields in entries])
        return found

    def _work(self, entries: Sequence[StreamEntry]) -> None:
        """Handle entries together, or one by one when that fails; raises Unavailable for an outage only."""
        readable = []
        for entry in entries:
            if entry.tries >= get_settings().events.attempts:
                self._bury(entry, "each consumer that handled it ended abruptly", entry.tries)
                continue
            try:
                readable.append((entry, open_entry(entry.fields)))
            except Unreadable as error:
                self._bury(entry, error.message, entry.tries + 1)
        for place in range(0, len(readable), _TOGETHER):
            try:
                self._handle_together(readable[place : place + _TOGETHER])
            except Unavailable:
                # read and not finished: they wait here until the stores are back; it does not count as a try
                self._suspect = True
                self._uncount([entry for entry, _ in readable[place:]])
                held = {(each.entry.stream, each.entry.id) for each in self._failed}
                self._failed += [
                    _Failed(entry, time.monotonic())
                    for entry, _ in readable[place:]
                    if (entry.stream, entry.id) not in held
                ]
                raise

    def _uncount(self, entries: Sequence[StreamEntry]) -> None:
        """Subtract this delivery from the entries' counts, so that an outage makes no dead letters."""
        try:
            for entry in entries:
                get_redis().xclaim(
                    entry.stream, self.group, self.name, 0, [entry.id], retrycount=entry.tries, justid=True
                )
        except (RedisError, OSError, Unavailable) as error:
            _log.info("a delivery counts although it was an outage", error=reason(error))

    def _handle_together(self, several: Sequence[tuple[StreamEntry, Envelope]]) -> None:
        try:
            self._handle(several)
        except Exception as error:  # noqa: BLE001 whatever a handler raises is this event's failure alone
            if len(several) == 1:
                self._note_failure(several[0][0], error)
                return
            _log.info("events are tried one by one", group=self.group, error=reason(error))
            for each in several:
                self._handle_together([each])

    def _handle(self, several: Sequence[tuple[StreamEntry, Envelope]]) -> None:
        wanted = [envelope for _, envelope in several if self._handlers(envelope)]
        if wanted:
            with unit_of_work() as session:
                wanted = erased_people.without(session, wanted)
                fresh = inbox.receive(session, self.group, {envelope.event_id for envelope in wanted})
                for envelope in wanted:
                    if envelope.event_id in fresh:
                        fresh.remove(envelope.event_id)  # the same event may be in a batch twice
                        self._call(session, envelope)
        self._acknowledge([entry for entry, _ in several])
        self.handled += len(wanted)

    def _call(self, session: Session, envelope: Envelope) -> None:
        name = envelope.event.name
        with continued(f"handle {name}", envelope.traceparent, event=name, group=self.group):
            for handler in self._handlers(envelope):
                handler(session, envelope)
            session.flush()

    def _handlers(self, envelope: Envelope) -> tuple[Handler, ...]:
        return self._subscriptions.get(type(envelope.event), ())

    def _acknowledge(self, entries: Sequence[StreamEntry]) -> None:
        pipeline = get_redis().pipeline(transaction=False)
        for entry in entries:
            pipeline.xack(entry.stream, self.group, entry.id)
        pipeline.execute()

    def _note_failure(self, entry: StreamEntry, error: Exception) -> None:
        if _means_outage(error) or _is_outage():
            raise Unavailable(f"PostgreSQL or Redis went away: {reason(error)}") from error
        tries, events = entry.tries + 1, get_settings().events
        context = {
            "group": self.group,
            "name": dead_letters.readable(entry.fields.get(b"name", b"?")),
            "entry": entry.id.decode(),
        }
        if tries >= events.attempts:
            _log.error("an event failed for the last time", **context, tries=tries, error=reason(error))
            self._bury(entry, reason(error), tries)
            return
        wait = min(_LONGEST_WAIT, events.takeover_seconds / 2, events.retry_seconds * 2 ** (tries - 1))
        _log.warning("an event failed", **context, tries=tries, again_in=wait, error=reason(error))
        again = StreamEntry(entry.stream, entry.id, entry.fields, tries)
        self._failed.append(_Failed(again, time.monotonic() + wait))

    def _bury(self, entry: StreamEntry, why: str, tries: int) -> None:
        dead_letters.bury(
            get_redis(), entry.stream, entry.id, entry.fields, group=self.group, error=why, tries=tries
        )

    def _retry(self) -> bool:
        now = time.monotonic()
        due = [each for each in self._failed if each.due <= now]
        for each in due:
            # the claim keeps other consumers from taking it over; an empty answer means that one already has
            taken: Any = get_redis().xclaim(
                each.entry.stream, self.group, self.name, 0, [each.entry.id], justid=True
            )
            self._failed.remove(each)
            if taken:
                self._work([each.entry])
        return bool(due)

    def _abandoned(self) -> list[list[StreamEntry]]:
        """Claim the entries of consumers that ended or hang; log entries that were trimmed before that."""
        client, found = get_redis(), []
        idle = int(get_settings().events.takeover_seconds * 1000)
        mine = {(each.entry.stream, each.entry.id) for each in self._failed}
        for stream in self._streams:
            start: Any = "0-0"
            while True:
                answer: Any = client.xautoclaim(
                    stream, self.group, self.name, min_idle_time=idle, start_id=start, count=_TOGETHER
                )
                start, claimed, gone = answer[0], answer[1], answer[2] if len(answer) > 2 else []
                if gone:
                    _log.error(
                        "entries were trimmed before they were handled; send them again by "
                        "`recsys events replay --since`",
                        stream=stream,
                        group=self.group,
                        entries=len(gone),
                    )
                entries = []
                for each, fields in claimed:
                    if fields is None or (stream, each) in mine:
                        continue
                    detail: Any = client.xpending_range(stream, self.group, each, each, 1)
                    tries = int(detail[0]["times_delivered"]) - 1 if detail else 1
                    entries.append(StreamEntry(stream, each, fields, tries))
                if entries:
                    _log.info("taken over", stream=stream, group=self.group, entries=len(entries))
                    found.append(entries)
                if start in (b"0-0", "0-0"):
                    break
        return found

    def _log_trimmed(self) -> None:
        for each in lag.of_group(get_redis(), self.group, self._streams):
            if each.lost:
                _log.error(
                    "entries were trimmed before this group read them; send them again by "
                    "`recsys events replay --since`",
                    stream=each.stream,
                    group=self.group,
                    entries=each.lost,
                )

    def _leave(self) -> None:
        """Remove this consumer from the group, unless it still has unfinished entries."""
        try:
            client = get_redis()
            for stream in self._streams:
                mine: Any = client.xpending_range(stream, self.group, "-", "+", 1, self.name)
                if not mine:
                    client.xgroup_delconsumer(stream, self.group, self.name)
        except (RedisError, OSError, Unavailable) as error:
            _log.info("the consumer's name stays in the group", group=self.group, error=reason(error))


def _by_stream(read: Any) -> list[tuple[str, list[tuple[bytes, Mapping[bytes, bytes]]]]]:
    """The answer of XREADGROUP in either protocol (pairs, or a dictionary of lists of lists) as pairs."""
    if not read:
        return []
    if isinstance(read, dict):
        return [(key.decode(), [pair for part in parts for pair in part]) for key, parts in read.items()]
    return [(key.decode(), entries) for key, entries in read]


def _no_group(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("NOGROUP")


def _is_outage() -> bool:
    probes: tuple[Callable[[], object], ...] = (lambda: get_redis().ping(), _ask_database)
    for probe in probes:
        try:
            probe()
        except (RedisError, OSError, Unavailable):
            return True
    return False


def _ask_database() -> None:
    with unit_of_work() as session:
        refused = absence.refusal_of_writes(session)
    if refused is not None:
        raise Unavailable(refused)


def _means_outage(error: Exception) -> bool:
    """Whether the error itself shows an outage of a store, which is not the event's fault.

    A lock timeout is no outage: its tries count like any other failure.
    """
    if isinstance(error, DatabaseAway):
        return error.kind != "busy"
    return isinstance(error, RedisError) and is_absence(error)
