"""How often a log-in may fail and how many mails an address may cause, counted in Redis.

While Redis is away each process counts by itself, so guessing stays slow; it is never let through.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.errors import Throttled, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Attempt", "begin", "count_mail"]

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
    """One attempt, counted as failed until `succeeded` says otherwise.

    Counted are: the account from this address, and the account as a whole with ten times the limit, against
    guessing from many addresses; or, in their place, the known device alone. Then the address by itself.
    So failed attempts of others stop neither a device on which the owner logged in before, nor (until there
    are very many) the owner on a new device at another address.
    """

    def __init__(self, account: str | None, address: str | None, device: str | None = None) -> None:
        limits = get_settings().users
        own: list[tuple[str, int]] = []
        if device is not None:
            own.append((keys.login_failures("device", device), limits.failures_per_account))
        elif account is not None:
            pair = keys.login_failures("account", f"{account} {address}")
            whole = keys.login_failures("account", account)
            own += [(pair, limits.failures_per_account), (whole, 10 * limits.failures_per_account)]
        self._own = own
        self._address = None if address is None else keys.login_failures("address", address)

    def count(self) -> None:
        """Count it before anything is looked at: a hundred at once are a hundred. Raises Throttled."""
        limits = get_settings().users
        shared = [] if self._address is None else [(self._address, limits.failures_per_address)]
        for key, limit in [*self._own, *shared]:
            _check(key, limit, limits.failure_window_minutes * 60, "Too many failed attempts")

    def succeeded(self) -> None:
        """The account's failures are forgotten; the address only gets this attempt back."""
        # the owner of one account must not be able to wipe out what was tried on others
        for key, _ in self._own:
            _uncount(key, wholly=True)
        if self._address is not None:
            _uncount(self._address, wholly=False)

    def succeeded_after_commit(self, session: Session) -> None:
        """The same when the transaction of `session` commits."""
        after_commit(session, self.succeeded)


def begin(account: str | None, address: str | None, *, device: str | None = None) -> Attempt:
    """Count an attempt on an account, from an address or a known device of the account. Raises Throttled."""
    attempt = Attempt(account, address, device)
    attempt.count()
    return attempt


def count_mail(address: str | None) -> None:
    """Count a request that sends a mail to an address of the caller's choice. Raises Throttled."""
    if address is not None:
        limits = get_settings().users
        key = keys.login_failures("mail", address)
        _check(
            key, limits.mails_per_address, limits.failure_window_minutes * 60, "Too many requests for mails"
        )


def _check(key: str, limit: int, seconds: float, complaint: str) -> None:
    number, left = _count(key, seconds)
    if number > limit:
        after = max(1, math.ceil(left))
        raise Throttled(f"{complaint}; try again in {after} seconds.", retry_after=after)


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
