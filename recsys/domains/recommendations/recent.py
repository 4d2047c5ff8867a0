"""Tells Redis which products a user touched, so that the next answer knows of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.errors import Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["Touched", "remember_touched"]

_log = get_logger(__name__)


@dataclass(frozen=True)
class Touched:
    """One product that a user touched, and whether it was bought: what answers must know at once."""

    user_id: int
    product_id: int
    bought: bool


def remember_touched(touched: Sequence[Touched]) -> None:
    """Add to each user's `interactions:recent:{user_id}`: the product id; its negative when bought.

    Redis is a help here, not the store: without it the events are safe, so this says so and goes on.
    """
    members: defaultdict[int, set[int]] = defaultdict(set)
    for one in touched:
        members[one.user_id].add(one.product_id)
        if one.bought:
            members[one.user_id].add(-one.product_id)
    seconds = int(get_settings().serving.expires_after_hours * 3600)
    try:
        pipeline = get_redis().pipeline(transaction=False)
        for user_id, products in members.items():
            key = keys.recent_interactions(user_id)
            pipeline.sadd(key, *products)
            pipeline.expire(key, seconds)
        pipeline.execute()
    except (RedisError, OSError, Unavailable) as error:
        _log.error(
            "interactions are stored, but Redis did not take them: answers may lag behind", error=str(error)
        )
