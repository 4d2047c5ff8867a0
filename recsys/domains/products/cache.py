"""Products and their stock in Redis, never older than the last change."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from redis.client import Pipeline
from redis.exceptions import RedisError, WatchError
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.after_commit import after_commit
from recsys.domains.products.schemas import ProductOut
from recsys.errors import Unavailable
from recsys.log import get_logger

__all__ = ["active_json", "changed", "forget", "forget_all", "product", "stock"]

T = TypeVar("T")
_SECONDS = 300
_TOGETHER = 200  # a pipeline of more would keep other readers of Redis waiting
_log = get_logger(__name__)


def product(product_id: int, read: Callable[[], ProductOut]) -> ProductOut:
    """Return the product from Redis, else from `read`; then it is stored in Redis."""

    def held(pipeline: Pipeline) -> ProductOut | None:
        found = pipeline.hget(keys.product(product_id), "json")
        return None if found is None else ProductOut.model_validate_json(found)

    def store(pipeline: Pipeline, one: ProductOut) -> None:
        # single fields too: the documented hash has a name, a price and a status
        plain: dict[str | bytes | float, str] = {
            name: str(getattr(one, name)) for name in ("id", "name", "sku", "price", "status")
        }
        pipeline.hset(keys.product(product_id), mapping={**plain, "json": one.model_dump_json()})  # type: ignore[dict-item]
        pipeline.expire(keys.product(product_id), _SECONDS)

    return _through(keys.product_epoch(product_id, keys.product(product_id)), held, read, store)


def active_json(product_id: int) -> bytes | None:
    """An active product as Redis holds it, ready to be sent; None when it has to be read from the table."""
    try:
        status, body = get_redis().hmget(keys.product(product_id), ["status", "json"])
    except (RedisError, OSError, Unavailable):
        return None  # the read of the table that follows reports the outage
    return body if status == b"active" and isinstance(body, bytes) else None


def stock(product_id: int, read: Callable[[], int]) -> int:
    """Return the stock of a product from Redis, else from `read`; then it is stored in Redis."""

    def held(pipeline: Pipeline) -> int | None:
        found = pipeline.get(keys.product_inventory(product_id))
        return None if found is None else int(found)

    def store(pipeline: Pipeline, quantity: int) -> None:
        pipeline.set(keys.product_inventory(product_id), quantity, ex=_SECONDS)

    return _through(keys.product_epoch(product_id, keys.product_inventory(product_id)), held, read, store)


def changed(session: Session, *product_ids: int) -> None:
    """Call it where products, their variants, pictures, stock or reviews change: Redis forgets them then."""
    if product_ids:
        after_commit(session, lambda: _drop(product_ids))


def forget(product_id: int) -> None:
    """Drop what Redis holds of a product, and whatever a reader is about to write there."""
    _drop([product_id])


def forget_all(product_ids: Collection[int]) -> None:
    """The same for many that were changed and committed past the domain, as imports do.

    Without Redis they stay as they are there, until they expire: what was stored is safe all the same.
    """
    wanted = sorted(product_ids)
    try:
        for start in range(0, len(wanted), _TOGETHER):
            _drop(wanted[start : start + _TOGETHER])
    except (RedisError, OSError, Unavailable) as error:
        _log.warning(
            "Redis did not answer: it may hold changed products as they were",
            products=len(wanted),
            seconds=_SECONDS,
            error=type(error).__name__,
        )


def _drop(product_ids: Sequence[int]) -> None:
    pipeline = get_redis().pipeline(transaction=True)
    for product_id in product_ids:
        kept = keys.product(product_id), keys.product_inventory(product_id)
        for epoch in {keys.product_epoch(product_id, key) for key in kept}:
            pipeline.incr(epoch)
            # the count is needed for as long as a slow reader may take
            pipeline.expire(epoch, 2 * _SECONDS)
        pipeline.delete(*kept)
    pipeline.execute()


def _through(
    epoch: str,
    held: Callable[[Pipeline], T | None],
    read: Callable[[], T],
    store: Callable[[Pipeline, T], None],
) -> T:
    """Read through Redis; what was read before a change is not written after it.

    A change counts the product's epoch up after its commit. The reader watches the epoch before it reads
    the table, so that its write fails when a change came between.
    """
    try:
        with get_redis().pipeline(transaction=True) as pipeline:
            pipeline.watch(epoch)  # type: ignore[no-untyped-call]
            found = held(pipeline)
            if found is not None:
                return found
            fresh = read()
            pipeline.multi()
            store(pipeline, fresh)
            try:
                pipeline.execute()
            except WatchError:
                _log.debug("a product changed while it was read; the next reader stores it")
            return fresh
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("products come from PostgreSQL: Redis did not answer", error=type(error).__name__)
        return read()
