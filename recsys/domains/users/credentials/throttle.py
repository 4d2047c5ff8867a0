"""How often a log-in may fail, how many mails a caller may cause and a recipient gets, counted in Redis.

While Redis is away each process counts by itself, so guessing stays slow; it is never let through.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.errors import Throttled, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Attempt", "begin", "count_mail", "may_receive", "network_of"]

_REMEMBERED = 10_000
_TOO_MANY = "Too many failed attempts"
_FLOOD, _LARGE_FLOOD = 10, 100
"""Failures on one account, as multiples of what one network may fail, after which less is let through."""
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

    Failures of others must not lock out the owner. An attempt from a device on which the owner logged in
    before counts for that device alone. Any other counts for the network of its address, for the account from
    this network, and for the account as a whole. Where the account has more than ten times the failures that
    one network may have, each wider network (few providers hand out more to one customer) has one attempt per
    window: guessing from many addresses stays slow, and the owner's right password is still accepted at a new
    one. From a hundred times on only known devices are let in.
    """

    def __init__(self, account: str | None, address: str | None, device: str | None = None) -> None:
        self._account, self._address, self._device = account, address, device
        self._counted: list[tuple[str, bool]] = []

    def count(self) -> None:
        """Count it before anything is looked at: a hundred at once are a hundred. Raises Throttled."""
        limits = get_settings().users
        most = limits.failures_per_account
        if self._device is not None:
            self._check("device", self._device, most, wholly=True)
            return
        network = "unknown" if self._address is None else network_of(self._address)
        if self._address is not None:
            self._check("address", network, limits.failures_per_address, wholly=False)
        if self._account is None:
            return
        self._check("account", f"{self._account} {network}", most, wholly=True)
        whole = self._count("account", self._account, wholly=False)
        if whole[0] > _FLOOD * most:
            _refuse_above(_LARGE_FLOOD * most, whole, _TOO_MANY)
            wide = "unknown" if self._address is None else network_of(self._address, wide=True)
            try:
                self._check("flooded", f"{self._account} {wide}", 1, wholly=False)
            except Throttled:
                # what one network is refused must not bring the account to the large flood
                _uncount(keys.login_failures("account", self._account), wholly=False)
                raise

    def succeeded(self) -> None:
        """The failures of the device, or of the account from this network, are forgotten.

        Everything else only gets this attempt back: the owner of one account must not wipe out what was tried
        on others, nor what others try on this one.
        """
        for key, wholly in self._counted:
            _uncount(key, wholly=wholly)

    def succeeded_after_commit(self, session: Session) -> None:
        """The same when the transaction of `session` commits."""
        after_commit(session, self.succeeded)

    def _count(self, kind: str, name: str, *, wholly: bool) -> tuple[int, float]:
        key = keys.login_failures(kind, name)
        self._counted.append((key, wholly))
        return _count(key, get_settings().users.failure_window_minutes * 60)

    def _check(self, kind: str, name: str, limit: int, *, wholly: bool) -> None:
        _refuse_above(limit, self._count(kind, name, wholly=wholly), _TOO_MANY)


def network_of(address: str, *, wide: bool = False) -> str:
    """The network of a caller, in which one customer of a provider may have every address.

    Parameters
    ----------
    address
        What is no address stays as it is.
    wide
        The network is /24, or /48 of IPv6; otherwise the address itself, or the /64 of IPv6.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(IPv6Network((int(parsed), 48 if wide else 64), strict=False))
        parsed = parsed.ipv4_mapped
    return str(IPv4Network((int(parsed), 24), strict=False)) if wide else str(parsed)


def begin(account: str | None, address: str | None, *, device: str | None = None) -> Attempt:
    """Count an attempt on an account, from an address or a known device of the account. Raises Throttled."""
    attempt = Attempt(account, address, device)
    attempt.count()
    return attempt


def count_mail(address: str | None) -> None:
    """Count a request that sends a mail to an address of the caller's choice.

    Parameters
    ----------
    address
        Of the caller; None is not counted.

    Raises
    ------
    Throttled
        There were too many.
    """
    if address is not None:
        limits = get_settings().users
        counted = _count(keys.login_failures("mail", network_of(address)), limits.failure_window_minutes * 60)
        _refuse_above(limits.mails_per_address, counted, "Too many requests for mails")


def may_receive(recipient: str, kind: str, *, most: int, seconds: float) -> bool:
    """Count a mail of a kind to a recipient, and say whether it is one of the first `most` in `seconds`."""
    number, _ = _count(keys.login_failures(f"mails {kind}", recipient.lower()), seconds)
    return number <= most


def _refuse_above(limit: int, counted: tuple[int, float], complaint: str) -> None:
    number, left = counted
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
