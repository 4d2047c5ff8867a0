"""The rules of the recommendations domain: what may come in, and who hears of it at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from redis.exceptions import RedisError
from sqlalchemy import event
from sqlalchemy.orm import Session

from recsys.cache import keys
from recsys.cache.client import get_redis
from recsys.domains.recommendations.interactions import Touched, take
from recsys.domains.recommendations.schemas import MAX_INTERACTIONS, InteractionsOut
from recsys.errors import Invalid, Unavailable
from recsys.log import get_logger
from recsys.settings import get_settings

__all__ = ["NoneTaken", "TooMany", "record_interactions", "remember_touched"]

_log = get_logger(__name__)


class TooMany(Invalid):
    """More interactions than one request may hold."""

    status = 413
    title = "Too many interactions"


class NoneTaken(Invalid):
    """Every interaction was refused; the details hold the verdicts."""

    title = "No interaction could be stored"


def record_interactions(session: Session, given: object) -> InteractionsOut:
    """Store one interaction or a list of up to 1,000; each gets its own verdict.

    Raises TooMany, Invalid for something that is no interaction at all, NoneTaken when every one is refused.
    Once the session commits, the touched products are told to Redis, so that the next answer knows them.
    """
    if not isinstance(given, dict | list):
        raise Invalid("Expected one interaction (a JSON object) or a list of them.")
    several: Sequence[object] = given if isinstance(given, list) else [given]
    if not several:
        raise Invalid(f"The list is empty; expected 1 to {MAX_INTERACTIONS} interactions.")
    if len(several) > MAX_INTERACTIONS:
        raise TooMany(
            f"{len(several)} interactions in one request; send at most {MAX_INTERACTIONS} at a time."
        )
    verdicts, touched = take(session, several)
    counts = {
        word: sum(one.status == word for one in verdicts) for word in ("stored", "duplicate", "refused")
    }
    answer = InteractionsOut(
        stored=counts["stored"], duplicates=counts["duplicate"], refused=counts["refused"], verdicts=verdicts
    )
    if answer.refused == len(verdicts):
        reasons = "it was refused" if len(verdicts) == 1 else f"all {len(verdicts)} were refused"
        raise NoneTaken(
            f"Nothing was stored: {reasons}; see the verdicts.",
            **answer.model_dump(mode="json"),
        )
    if touched:
        event.listen(session, "after_commit", lambda _: remember_touched(touched), once=True)
    return answer


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
