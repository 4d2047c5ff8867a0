"""Moves impressions and queued posts from Redis and files to PostgreSQL.

An entry is removed only after the commit; a process that is killed in between stores it again, where its ids
make it a repeat. One process works at a time, under an advisory lock; others stand by. An entry that cannot
be read goes to the dead letters as it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Never, TypeVar

import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.absence import DatabaseAway
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.errors import NotFound, Unavailable
from recsys.events import dead_letters as events_dead_letters
from recsys.events.retention import reason
from recsys.log import get_logger
from recsys.settings import get_settings
from recsys.write_buffer import buffer as write_buffer
from recsys.write_buffer import spool
from recsys.write_buffer.buffer import Post
from recsys.write_buffer.erased_people import ErasedPosts, storable

__all__ = ["dead_letters", "replay", "run", "turn"]

EXPOSURES = "exposures"
POSTS = "posts"
_LOCK = 0x696E746B  # 'intk'
_BATCHES = 10
"""Batches of impressions in one transaction; each holds up to 500 lists."""
_POSTS = 500
_IDLE_SECONDS = 0.2
_LONGEST_WAIT = 2.0
_SWEEP_SECONDS = 600.0
_log = get_logger(__name__)
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
# a process that froze while it held the lock, or that waits for another, must not block the others for ever
_LIMITS = text(
    "SELECT set_config('idle_in_transaction_session_timeout', '30s', true), "
    "set_config('lock_timeout', '250ms', true)"
)
_MOST_BUSY = 40
"""So many transactions of one turn may wait in vain for others; then the rest is left for the next turn."""
_STREAMS = (keys.exposures_waiting(), keys.posts_waiting())
_OURS = (b"reason", b"at")
"""The fields that a dead letter has beside those of the entry."""
_NO_DATA = "the entry has no field 'data'"
Fields = Mapping[bytes, bytes]
T = TypeVar("T")


class _StandBy(Exception):
    """Another process is at work."""


def run(stop: threading.Event, *, once: bool = False) -> int:
    """Store queued entries until `stop` is set.

    Outages of PostgreSQL or Redis are logged and waited out.

    Parameters
    ----------
    stop
        Ends the work when it is set.
    once
        End when no more can be stored; outages are raised.

    Returns
    -------
    int
        How many lists and posts were stored.
    """
    moved, wait, swept = 0, 0.0, float("-inf")
    while not stop.is_set():
        try:
            count = turn()
            wait = 0.0
            moved += count
            if time.monotonic() - swept > _SWEEP_SECONDS:
                swept = time.monotonic()
                _sweep(stop)
        except (RedisError, OSError, Unavailable, psycopg.OperationalError) as error:
            if events_dead_letters.mended(error, get_redis(), *_STREAMS):
                continue
            if once:
                raise
            wait = min(_LONGEST_WAIT, max(0.2, wait * 2))
            _log.error("the write buffer waits for its servers", error=reason(error), seconds=wait)
            stop.wait(wait)
            continue
        if not count:
            if once:
                break
            stop.wait(_IDLE_SECONDS)
    return moved


def turn() -> int:
    """Store a part of what is queued; how many lists and posts.

    Lists come first: posts refer to them. Files of this machine are stored from there, so that they do not
    wait for a Redis that stays away.

    Raises
    ------
    RedisError
        Redis does not answer.
    Unavailable
        PostgreSQL does not answer.
    """
    try:
        moved = spool.of_process(EXPOSURES).drain(_store_batches_of_file)
        moved += spool.of_process(POSTS).drain(_store_posts)
        return moved + _lists_of_redis() + _posts_of_redis()
    except _StandBy:
        return 0


def dead_letters() -> list[dict[str, str]]:
    """Entries that could not be stored and why, the oldest first; only `replay` tries them again."""
    letters = []
    for stream in _STREAMS:
        for entry, fields in events_dead_letters.entries(get_redis(), stream):
            plain = {
                events_dead_letters.readable(name): events_dead_letters.readable(value)
                for name, value in fields.items()
            }
            letters.append(
                {"reason": "", "data": "", "at": ""} | plain | {"stream": stream, "entry": entry.decode()}
            )
    return letters


def replay(which: str) -> int:
    """Put dead letters back into their queues.

    Each is moved in one step: a process that is killed loses none, and of two that replay at the same time
    one moves it.

    Parameters
    ----------
    which
        `all`, a stream, or `STREAM/ENTRY`.

    Returns
    -------
    int
        How many were put back.

    Raises
    ------
    NotFound
        There is none.
    """
    wanted, _, chosen = which.partition("/")
    client, moved = get_redis(), 0
    for stream in _STREAMS:
        if wanted in ("all", stream):
            for entry, _ in events_dead_letters.entries(client, stream):
                if chosen in ("", entry.decode()):
                    moved += events_dead_letters.restore(client, stream, entry, _OURS)
    if not moved:
        raise NotFound(f"there is no dead letter {which!r}; `recsys serve intake --dead` lists them")
    return moved


def _lists_of_redis() -> int:
    stream = keys.exposures_waiting()
    entries: Any = get_redis().xrange(stream, count=_BATCHES)
    if not entries:
        return 0
    readable = [(entry, fields[b"data"]) for entry, fields in entries if b"data" in fields]
    places = _store_batches([packed for _, packed in readable])
    waiting = {readable[place][0] for place in places}
    for _, fields in entries:
        if b"data" not in fields:
            _bury(stream, fields, _NO_DATA)
    done = [entry for entry, _ in entries if entry not in waiting]
    return int(get_redis().xdel(stream, *done)) if done else 0


def _posts_of_redis() -> int:
    stream, start = keys.posts_waiting(), "-"
    while True:
        entries: Any = get_redis().xrange(stream, min=start, count=_POSTS)
        if not entries:
            return 0
        formless = [fields for _, fields in entries if b"data" not in fields]
        readable = [(entry, fields[b"data"]) for entry, fields in entries if b"data" in fields]
        places = _take_posts([packed for _, packed in readable], _overdue([entry for entry, _ in readable]))
        for fields in formless:
            _bury(stream, fields, _NO_DATA)
        waiting = {readable[place][0] for place in places}
        done = [entry for entry, _ in entries if entry not in waiting]
        if done:
            get_redis().xdel(stream, *done)
            return len(done)
        # all of these wait for their responses: the entries behind them need not
        start = "(" + entries[-1][0].decode()


def _store_batches(packed: Sequence[bytes]) -> set[int]:
    """Store batches of lists; unreadable batches, and lists that PostgreSQL refuses, become dead letters.

    Returns
    -------
    set of int
        The positions of batches that have to wait, because another transaction locks what they need.
    """
    lists: list[tuple[int, Answered]] = []
    for place, batch in enumerate(packed):
        try:
            lists += [(place, answered) for answered in impressions.unpack(batch)]
        except ValueError as error:
            _bury(keys.exposures_waiting(), {b"data": batch}, str(error))
    waiting: set[int] = set()

    def bury(entry: tuple[int, Answered], why: str) -> None:
        _bury(keys.exposures_waiting(), {b"data": impressions.pack([entry[1]])}, why)

    def put(session: Session, several: Sequence[tuple[int, Answered]]) -> Iterable[Never]:
        impressions.store(session, storable(session, [one for _, one in several]))
        return ()

    _Storing(put, bury, lambda one: waiting.add(one[0])).each(lists)
    return waiting


def _store_batches_of_file(packed: Sequence[bytes]) -> None:
    """Store batches of a file; those that have to wait are moved to Redis."""
    for place in sorted(_store_batches(packed)):
        get_redis().xadd(keys.exposures_waiting(), {"data": packed[place]})


def _store_posts(packed: Sequence[bytes]) -> None:
    """Store posts of a file; those that have to wait are moved to Redis."""
    waiting = _take_posts(packed)
    if waiting:
        write_buffer.to_redis([packed[place] for place in sorted(waiting)])


def _overdue(entries: Sequence[bytes]) -> set[int]:
    """The positions of entries that waited long enough, by the clock of Redis, which gave them their ids."""
    seconds, micros = get_redis().time()
    latest = (seconds - get_settings().intake.patience_seconds) * 1000 + micros / 1000
    return {place for place, entry in enumerate(entries) if int(entry.partition(b"-")[0]) < latest}


def _take_posts(packed: Sequence[bytes], overdue: Collection[int] = ()) -> set[int]:
    """Store posts; refused ones become dead letters.

    Parameters
    ----------
    packed
        The posts.
    overdue
        The positions of those that may not wait any longer.

    Returns
    -------
    set of int
        The positions of those that have to wait.
    """
    stream, given = keys.posts_waiting(), []
    for place, one in enumerate(packed):
        try:
            given.append((place, write_buffer.unpack(one)))
        except ValueError as error:
            _bury(stream, {b"data": one}, str(error))
    waiting: set[int] = set()

    def take(session: Session, several: Sequence[tuple[int, Post]]) -> Iterable[tuple[tuple[int, Post], str]]:
        erased = ErasedPosts(session, [post for _, post in several])
        current = [one for one in several if not erased.includes(one[1])]
        verdicts, refused = write_buffer.store(session, [post for _, post in current]), []
        for one, verdict in zip(current, verdicts, strict=True):
            place, _ = one
            if verdict.status == "queued" and place not in overdue:
                waiting.add(place)
            elif verdict.status == "queued":
                refused.append((one, "request_id: no response with this id was stored"))
            elif verdict.status == "refused" and not erased.includes(one[1], is_refused=True):
                refused.append((one, verdict.reason or ""))
        return refused

    def bury(one: tuple[int, Post], why: str) -> None:
        _bury(stream, {b"data": packed[one[0]]}, why)

    _Storing(take, bury, lambda one: waiting.add(one[0])).each(given)
    return waiting


@dataclass
class _Storing(Generic[T]):
    """Stores many entries in as few transactions as possible.

    Attributes
    ----------
    store
        Stores several, and returns those that it refuses with the reason.
    bury
        Gets an entry that is refused, with the reason.
    keep
        Gets an entry that has to wait, because another transaction locks what it needs.
    """

    store: Callable[[Session, Sequence[T]], Iterable[tuple[T, str]]]
    bury: Callable[[T, str], None]
    keep: Callable[[T], None]
    _busy: int = 0

    def each(self, several: Sequence[T]) -> None:
        """Store all in one transaction; where PostgreSQL refuses or waits, halves of it, down to one entry.

        Raises
        ------
        Unavailable, RedisError, OSError
            A store or the disk does not answer.
        DatabaseAway
            Too many entries wait for others.
        """
        if not several:
            return
        try:
            refused = self._together(several)
        except DatabaseAway as error:
            self._busy += 1
            if error.kind != "busy" or self._busy > _MOST_BUSY:
                raise
            if len(several) == 1:
                self.keep(several[0])
            else:
                self._halves(several)
        except (Unavailable, _StandBy, RedisError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 a fault of one entry must not hold up all others
            if len(several) == 1:
                self.bury(several[0], reason(error))
            else:
                self._halves(several)
        else:
            for one, why in refused:
                self.bury(one, why)

    def _together(self, several: Sequence[T]) -> list[tuple[T, str]]:
        with unit_of_work() as session:
            session.execute(_LIMITS)
            if not session.scalar(_TRY_LOCK, {"lock": _LOCK}):
                raise _StandBy
            return list(self.store(session, several))

    def _halves(self, several: Sequence[T]) -> None:
        half = len(several) // 2
        self.each(several[:half])
        self.each(several[half:])


def _bury(stream: str, fields: Fields, why: str) -> None:
    _log.warning("a queued entry cannot be stored", stream=stream, reason=why)
    client, target = get_redis(), keys.dead_letters(stream)
    kept = events_dead_letters.kept_fields(fields, {"reason": why, "at": clock.now().isoformat()})
    events_dead_letters.set_aside(client, target)
    client.xadd(target, kept, maxlen=write_buffer.DEAD_LETTERS)


def _sweep(stop: threading.Event) -> None:
    while not stop.is_set():
        with unit_of_work() as session:
            if not impressions.sweep(session):
                return
