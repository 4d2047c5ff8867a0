"""A cache of search results in Redis, invalidated as a whole when anything that can be searched changes.

Each result carries the count of changes (`search:epoch`) that was read before the search. It is valid as long
as the count is the same, so a result from before a change is never served after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import orjson
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.search.queries import Bucket, Hit, ProductQuery, SearchResult
from recsys.settings import get_settings

__all__ = ["changed", "forget", "found", "suggestions"]

_SUGGESTION_SECONDS = 300
_log = get_logger(__name__)


def changed(session: Session) -> None:
    """Invalidate the cache once a change of the index is committed."""
    after_commit(session, forget)


def forget() -> None:
    """Invalidate the cache."""
    get_redis().incr(keys.search_epoch())


def found(index: str, query: ProductQuery, read: Callable[[], SearchResult]) -> SearchResult:
    """The result from Redis; else from `read`, and stored in Redis."""
    key_values = orjson.dumps([index, query], default=_plain, option=orjson.OPT_SORT_KEYS).decode()
    key = keys.search_results(key_values)
    try:
        epoch, cached = get_redis().mget([keys.search_epoch(), key])
    except (RedisError, OSError, Unavailable) as error:
        _warn(error)
        return read()
    if cached is not None:
        try:
            stored = orjson.loads(cached)
            if stored["epoch"] == _text(epoch):
                return _found(stored["found"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _unreadable(key, error)
    fresh = read()
    _store(key, {"epoch": _text(epoch), "found": fresh})
    return fresh


def suggestions(prefix: str, read: Callable[[], Sequence[tuple[str, int]]]) -> list[tuple[str, int]]:
    """The suggestions from Redis (a list whose first element is the count of changes); else from `read`."""
    key = keys.search_suggestions(prefix)
    try:
        pipeline = get_redis().pipeline(transaction=False)
        pipeline.get(keys.search_epoch())
        pipeline.lrange(key, 0, -1)
        epoch, cached = pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _warn(error)
        return list(read())
    if cached and cached[0] == _text(epoch).encode():
        try:
            return [(name, number) for name, number in map(orjson.loads, cached[1:])]
        except (ValueError, TypeError) as error:
            _unreadable(key, error)
    fresh = list(read())
    try:
        pipeline = get_redis().pipeline(transaction=True)
        pipeline.delete(key)
        pipeline.rpush(key, _text(epoch), *(orjson.dumps(suggestion) for suggestion in fresh))
        pipeline.expire(key, _SUGGESTION_SECONDS)
        pipeline.execute()
    except (RedisError, OSError) as error:
        _warn(error)
    return fresh


def _store(key: str, value: dict[str, Any]) -> None:
    try:
        get_redis().set(key, orjson.dumps(value, default=_plain), ex=get_settings().search.cache_seconds)
    except (RedisError, OSError) as error:
        _warn(error)


def _found(value: dict[str, Any]) -> SearchResult:
    return SearchResult(
        total=value["total"],
        hits=[Hit(hit["product_id"], hit["key"], hit["highlights"]) for hit in value["hits"]],
        facets={name: [Bucket(**bucket) for bucket in buckets] for name, buckets in value["facets"].items()},
        did_you_mean=value["did_you_mean"],
    )


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no part of a query")


def _text(epoch: bytes | str | None) -> str:
    return "0" if epoch is None else epoch.decode(errors="replace") if isinstance(epoch, bytes) else epoch


def _unreadable(key: str, error: Exception) -> None:
    _log.warning("a cached search result is unreadable and is replaced", key=key, error=str(error)[:200])


def _warn(error: Exception) -> None:
    _log.warning("searches are not cached: Redis did not answer", error=type(error).__name__)
