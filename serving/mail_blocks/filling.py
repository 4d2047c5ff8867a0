"""The products of a block: chosen when the mail is opened for the first time, and kept until it expires.

Pictures and links of one block are separate requests, which must agree: the first one fills the block, the
others read what it kept in Redis. A person who refuses personalisation, or whose account is closed or erased,
gets popular products, also where the block was filled before. The same goes for a block that is too old.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from uuid import uuid4

import orjson
from fastapi.concurrency import run_in_threadpool
from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.database.session import unit_of_work
from recsys.errors import Throttled, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings
from serving.mail_blocks.address import MailBlock
from serving.recommender.recommender import Recommender
from serving.recommender.request import Filters, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse, impression_of
from serving.segments.members import kept
from serving.state.impression_log import Answered

__all__ = ["FilledBlock", "fill", "limit_requests", "list_for"]

_log = get_logger(__name__)
_DAY = 86_400
_MINUTE = 60
LIST_NAME = "mail"
"""What impressions and rules call the list of a block."""


@dataclass(frozen=True)
class FilledBlock:
    """The products of a block, at most `places`.

    Attributes
    ----------
    request_id
        Of the impression.
    is_personal
        Whether they are chosen for the person, whose clicks are counted.
    is_kept
        Whether Redis has the products.
    """

    request_id: str
    products: tuple[int, ...]
    is_personal: bool
    is_kept: bool = True


async def limit_requests(block_id: str) -> None:
    """Count a request to a block. Raises Throttled where there are too many; without Redis none is."""
    minute = int(clock.now().timestamp()) // _MINUTE
    key = keys.mail_block_requests(block_id, minute)

    def count() -> int:
        try:
            with get_redis().pipeline(transaction=False) as pipe:
                pipe.incr(key)
                pipe.expire(key, 2 * _MINUTE)
                return int(pipe.execute()[0])
        except (RedisError, OSError, Unavailable):
            return 0

    if await run_in_threadpool(count) > get_settings().mail_blocks.requests_per_minute:
        raise Throttled("This block was requested too often; try again in a minute.", retry_after=_MINUTE)


async def fill(
    recommender: Recommender, note: Callable[[Answered], None], block: MailBlock, block_id: str
) -> FilledBlock:
    """The products of a block, chosen now where no request did before.

    Parameters
    ----------
    note
        Logs the impression.
    """
    is_personal = not block.is_expired and await run_in_threadpool(_may_be_personal, block.user)
    key = keys.mail_block(block_id, "personal" if is_personal else "popular")
    kept_before = await run_in_threadpool(_read, key)
    if kept_before is not None:
        return kept_before
    user = block.user if is_personal else None
    response = await _list(recommender, user, block.placement, block.places)
    request_id = uuid4().hex
    chosen = FilledBlock(
        request_id, tuple(entry.product for entry in response.entries[: block.places]), is_personal
    )
    filled, is_first = await run_in_threadpool(_keep, key, chosen, block)
    if is_first and filled.products:
        note(impression_of(response, filled.request_id))
    return filled


async def list_for(
    recommender: Recommender, user: int | None, placement: Placement, places: int
) -> tuple[RecommendationResponse, bool]:
    """The list that a block has now, and whether it is chosen for the person."""
    is_personal = user is not None and await run_in_threadpool(_may_be_personal, user)
    return await _list(recommender, user if is_personal else None, placement, places), is_personal


async def _list(
    recommender: Recommender, user: int | None, placement: Placement, places: int
) -> RecommendationResponse:
    """The list of a user, or for everybody where that has nothing, or without a user."""
    popular = RecommendationRequest(
        Placement.POPULAR, user, limit=places, filters=Filters(in_stock=True), name=LIST_NAME
    )
    if user is not None:
        response = await recommender.recommend(replace(popular, placement=placement))
        if response.entries:
            return response
    return await recommender.recommend(popular)


def _may_be_personal(user: int) -> bool:
    """Whether the account is open and does not refuse; while PostgreSQL does not answer: no."""
    try:
        with unit_of_work() as session:
            return user in kept(session, {user})
    except Unavailable:
        return False


def _read(key: str) -> FilledBlock | None:
    try:
        found = get_redis().get(key)
    except (RedisError, OSError, Unavailable):
        return None
    return None if found is None else _of_json(found)


def _keep(key: str, chosen: FilledBlock, block: MailBlock) -> tuple[FilledBlock, bool]:
    """Keep the products unless another request did; return what counts, and whether it is this one's."""
    left = int(block.expires * 3600 - clock.now().timestamp())
    try:
        client = get_redis()
        if client.set(key, orjson.dumps(asdict(chosen)), nx=True, ex=max(_DAY, left)):
            return chosen, True
        found = client.get(key)
    except (RedisError, OSError, Unavailable) as error:
        _log.warning("the products of a mail are not kept", error=type(error).__name__)
        return FilledBlock(chosen.request_id, chosen.products, chosen.is_personal, is_kept=False), False
    return (chosen, True) if found is None else (_of_json(found), False)


def _of_json(text: str | bytes) -> FilledBlock:
    plain = orjson.loads(text)
    return FilledBlock(plain["request_id"], tuple(plain["products"]), plain["is_personal"])
