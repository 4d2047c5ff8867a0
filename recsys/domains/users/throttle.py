"""How often a log-in may fail: counted in Redis for each account and each address.

While Redis is away each process counts by itself, so guessing stays slow; it is never let through.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Throttled, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Attempt", "begin"]

_REMEMBERED = 10_000
_log = get_logger(__name__)

# INCR and EXPIRE in one step: a process that dies between them would leave a count that never ends
_COUNT = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('PTTL', KEYS[1])}
"""
_UNCOUNT = """
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('DECR', KEYS[1]) <= 0 then redis.call('DEL', KEYS[1]) end
return 0
"""


class _Local:
    """Counts of this process; the oldest are forgotten first, so that it cannot grow without bound."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def count(self, key: str, seconds: float) -> tuple[int, float]:
        """So many by now, and the seconds until they are forgotten."""
        moment = clock.now().timestamp()
        with self._lock:
            number, ends = self._counts.get(key, (0, 0.0))
            if ends <= moment:
                number, ends = 0, moment + seconds
            self._counts[key] = (number + 1, ends)
            while len(self._counts) > _REMEMBERED:
                self._counts.popitem(last=False)
            return number + 1, ends - moment

    def uncount(self, key: str, *, wholly: bool) -> None:
        """One less, or none at all."""
        with self._lock:
            number, ends = self._counts.get(key, (0, 0.0))
            if wholly or number <= 1:
                self._counts.pop(key, None)
            else:
                self._counts[key] = (number - 1, ends)


_local = _Local()


class Attempt:
    """One attempt, counted as failed until `succeeded` says otherwise."""

    def __init__(self, account: str | None, address: str | None) -> None:
        self._account = None if account is None else keys.login_failures("account", account)
        self._address = None if address is None else keys.login_failures("address", address)

    def count(self) -> None:
        """Count it before anything is looked at: a hundred at once are a hundred. Raises Throttled."""
        limits = get_settings().users
        places = ((self._account, limits.failures_per_account), (self._address, limits.failures_per_address))
        for key, limit in places:
            if key is None:
                continue
            number, seconds = _count(key, limits.failure_window_minutes * 60)
            if number > limit:
                after = max(1, math.ceil(seconds))
                raise Throttled(f"Too many failed attempts; try again in {after} seconds.", retry_after=after)

    def succeeded(self) -> None:
        """The account's failures are forgotten; the address only gets this attempt back."""
        # whoever owns one account must not be able to wipe out what they tried on others
        if self._account is not None:
            _uncount(self._account, wholly=True)
        if self._address is not None:
            _uncount(self._address, wholly=False)


def begin(account: str | None, address: str | None) -> Attempt:
    """Count an attempt on an account, from an address. Raises Throttled."""
    attempt = Attempt(account, address)
    attempt.count()
    return attempt


def _count(key: str, seconds: float) -> tuple[int, float]:
    try:
        number, milliseconds = get_redis().eval(_COUNT, 1, key, str(int(seconds * 1000)))
        return int(number), int(milliseconds) / 1000
    except (RedisError, OSError, Unavailable) as error:
        _log.error("failed log-ins are counted by this process alone", error=str(error))
        return _local.count(key, seconds)


def _uncount(key: str, *, wholly: bool) -> None:
    _local.uncount(key, wholly=wholly)
    try:
        if wholly:
            get_redis().delete(key)
        else:
            get_redis().eval(_UNCOUNT, 1, key)
    except (RedisError, OSError, Unavailable) as error:
        _log.error("a successful log-in could not be taken off the failures", error=str(error))
