"""When Redis is not there for us: the one place that tells an absence from a wrong command."""

from __future__ import annotations

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from recsys.errors import Unavailable

__all__ = ["is_absence"]

# it answers, but takes no writes or nothing at all: full, read-only after a failover, unable to save,
# loading, cut off from its primary or its replicas
_CODES = (
    "OOM",
    "READONLY",
    "MISCONF",
    "LOADING",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
)


def is_absence(error: BaseException) -> bool:
    """Whether an error of the client means that Redis is away, full or read-only, not that we are wrong."""
    if isinstance(error, RedisConnectionError | RedisTimeoutError | Unavailable | OSError):
        return True
    if isinstance(error, ResponseError):
        # the client takes the code off errors that it has a class for, and puts its own words before others
        words = str(error).partition("caused error: ")[2] or str(error)
        return isinstance(error, OutOfMemoryError | ReadOnlyError) or words.split(" ", 1)[0] in _CODES
    return False
