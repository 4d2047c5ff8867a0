"""The API keys in memory, so that checking one costs microseconds and no round trip.

The ring is read again from PostgreSQL every second: a revoked key is refused within that second and the time
of one query; a new one is accepted at once, since an unknown key is looked up. While PostgreSQL is away the
ring goes on with what it has, since no key can be revoked there meanwhile; keys still expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from hmac import compare_digest

from anyio import CapacityLimiter, to_thread
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, TIMESTAMP
from sqlalchemy.exc import SQLAlchemyError

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.errors import RecsysError
from recsys.log import get_logger

__all__ = ["REFRESH_SECONDS", "Granted", "Key", "KeyRing", "RefusedKey", "Why"]

REFRESH_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.25
_STRANGERS = 10_000
_NOTE_USE_EVERY = timedelta(seconds=60)
_SHAPE = re.compile(api_keys.KEY_SHAPE.pattern.encode("ascii"))
_NOBODYS_HASH = "0" * 64
_log = get_logger(__name__)

_USED = text(
    """
    UPDATE users_db.api_keys AS stored SET last_used_at = used.moment
    FROM unnest(:ids, :moments) AS used(id, moment)
    WHERE stored.id = used.id AND (stored.last_used_at IS NULL OR stored.last_used_at < used.moment)
    """
).bindparams(
    bindparam("ids", type_=ARRAY(INTEGER)), bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True)))
)


class Why(Enum):
    """Why a key does not open a door."""

    UNKNOWN = "unknown"  # also revoked, and what is no key at all: nobody learns which
    EXPIRED = "expired"
    SCOPE = "scope"
    NOT_READY = "not ready"  # no key was ever read: PostgreSQL has not answered since the start


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of an active key; `hash` is all there is of the key itself."""

    id: int
    name: str
    prefix: str
    hash: str = field(repr=False)
    scopes: frozenset[str]
    expires: float
    """Seconds since 1970; infinity for never."""
    rate_per_second: float | None
    origins: frozenset[str] = frozenset()
    """Of the web pages of a publishable key; none for a secret one."""
    signing_epoch: int = 1


@dataclass(frozen=True, slots=True)
class Granted:
    """The key opens the door."""

    key: Key


@dataclass(frozen=True, slots=True)
class RefusedKey:
    """It does not."""

    why: Why


_UNKNOWN, _EXPIRED, _SCOPE, _NOT_READY = (RefusedKey(why) for why in Why)


class KeyRing:
    """Active keys by their prefix. Reading is safe from any thread and never waits."""

    def __init__(self) -> None:
        self._keys: Mapping[str, Key] | None = None
        self._origins: frozenset[str] = frozenset()
        self._used: set[int] = set()
        self._noted: dict[int, float] = {}
        self._tried_at = -float("inf")
        self._looking = asyncio.Lock()
        self._strangers: set[bytes] = set()

    def identify(self, raw_key: str | bytes) -> Granted | RefusedKey:
        """Whether this is an active key, whatever it may do."""
        known = self._keys
        if known is None:
            return _NOT_READY
        given = _encoded(raw_key)
        shape = _SHAPE.fullmatch(given)
        if shape is None:
            return _UNKNOWN
        key = known.get(shape[1].decode("ascii"))
        # hashed and compared also where no key has the prefix: the time tells nothing of which there are
        right = compare_digest(hashlib.sha256(given).hexdigest(), _NOBODYS_HASH if key is None else key.hash)
        if key is None or not right:
            return _UNKNOWN
        if key.expires <= clock.now().timestamp():
            return _EXPIRED
        self._used.add(key.id)
        return Granted(key)

    def has_origin(self, origin: str) -> bool:
        """Whether pages of this origin have a publishable key; for a preflight, which carries no key."""
        return origin in self._origins

    def check(self, raw_key: str | bytes, scope: api_keys.Scope) -> Granted | RefusedKey:
        """Whether the key opens what needs this scope."""
        found = self.identify(raw_key)
        return found if isinstance(found, RefusedKey) or scope in found.key.scopes else _SCOPE

    async def identify_or_look(self, raw_key: str | bytes) -> Granted | RefusedKey:
        """The same, but what looks like a key and is not known is looked for once more: it may be new.

        Each stranger is looked for once, several of them together, four times a second at most.
        """
        found, given = self.identify(raw_key), _encoded(raw_key)
        if isinstance(found, Granted) or found.why is Why.EXPIRED or _SHAPE.fullmatch(given) is None:
            return found
        stranger = hashlib.sha256(given).digest()
        if stranger in self._strangers:
            return found
        asked = time.monotonic()
        async with self._looking:
            if self._tried_at < asked:
                await asyncio.sleep(self._tried_at + _LOOK_AGAIN_SECONDS - asked)
                await self._try(quiet=True)
        found = self.identify(raw_key)
        if isinstance(found, RefusedKey):
            if len(self._strangers) >= _STRANGERS:
                self._strangers.clear()
            self._strangers.add(stranger)
        return found

    def refresh(self) -> None:
        """Read the keys, and note the use of those that were used, at most once a minute for each.

        The former keys stay when it raises.

        Raises
        ------
        Unavailable, SQLAlchemyError
            PostgreSQL does not answer, or refuses.
        """
        with unit_of_work() as session:
            read = {
                row.prefix: Key(
                    id=row.id,
                    name=row.name,
                    prefix=row.prefix,
                    hash=row.hash,
                    scopes=frozenset(row.scopes),
                    expires=float("inf") if row.expires_at is None else row.expires_at.timestamp(),
                    rate_per_second=row.rate_per_second,
                    origins=frozenset(row.origins),
                    signing_epoch=row.signing_epoch,
                )
                for row in api_keys.active(session)
            }
        self._keys = read
        self._origins = frozenset[str]().union(*(key.origins for key in read.values()))
        self._note_use()

    def _note_use(self) -> None:
        now = clock.now()
        due = now.timestamp() - _NOTE_USE_EVERY.total_seconds()
        used = sorted(id for id in self._used.copy() if self._noted.get(id, 0.0) <= due)
        if not used:
            return
        with unit_of_work() as session:
            session.execute(_USED, {"ids": used, "moments": [now] * len(used)})
        self._used.difference_update(used)
        self._noted.update(dict.fromkeys(used, now.timestamp()))

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Inside the block the keys are read every second; the first time before it begins."""
        failing = not await self._try()
        end = asyncio.Event()
        task = asyncio.create_task(self._repeat(end, failing))
        try:
            yield
        finally:
            # ended by the event, not cancelled: a thread that reads would be left alone with its connection
            end.set()
            await task

    async def _repeat(self, end: asyncio.Event, failing: bool) -> None:
        while not end.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), REFRESH_SECONDS)
                return
            well = await self._try(quiet=failing)
            if well and failing:
                _log.info("the API keys can be read again")
            failing = not well

    async def _try(self, *, quiet: bool = False) -> bool:
        self._tried_at = time.monotonic()
        try:
            # a thread of its own: requests that fill the others must not keep a revoked key alive
            await to_thread.run_sync(self.refresh, limiter=CapacityLimiter(1))
        except Exception as error:  # noqa: BLE001 whatever it is: a ring that is never read again would go stale
            if not quiet:
                expected = isinstance(error, RecsysError | OSError | SQLAlchemyError)
                _log.error(
                    "the API keys cannot be read; the keys read before stay in force",
                    error=str(error) if isinstance(error, RecsysError) else type(error).__name__,
                    exc_info=None if expected else error,
                )
            return False
        return True


def _encoded(raw_key: str | bytes) -> bytes:
    return raw_key if isinstance(raw_key, bytes) else raw_key.encode("utf-8", "surrogateescape")
