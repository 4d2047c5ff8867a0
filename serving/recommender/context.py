"""The context of a request: the serving data, and the user's part from one round trip to Redis."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys.cache import keys
from recsys.database import replica
from recsys.database.addresses import replica_url
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists import cache as list_cache
from recsys.domains.recommendations.stored_lists.codec import StoredList, unpack
from recsys.domains.recommendations.stored_lists.user_lists import read_list
from recsys.errors import RecsysError
from recsys.log import get_logger
from recsys.observation.spans import span
from serving.ranking.eligibility import SeenProducts
from serving.ranking.user_context import UserContext, read_user_context
from serving.recommender.request import RecommendationRequest
from serving.state.executor import LiveExecutor
from serving.state.redis_connection import RedisConnection
from serving.state.serving_data import ServingData

__all__ = ["ContextReader", "RequestContext", "stored_in_postgresql"]

_log = get_logger(__name__)


@dataclass(frozen=True, eq=False)
class RequestContext:
    """What is known when the path of a request begins.

    Attributes
    ----------
    recent
        Interactions since the stored list was made.
    stored
        That list; None where Redis has none.
    redis_available
        False where neither could be read.
    """

    data: ServingData
    recent: SeenProducts = field(default_factory=SeenProducts)
    stored: StoredList | None = None
    redis_available: bool = False
    _users: dict[Hashable, UserContext] = field(default_factory=dict, repr=False)

    def user(self, request: RecommendationRequest) -> UserContext:
        """Return the user's context from PostgreSQL, which the lists of one page read once."""
        model = self.data.model
        key = request.user, request.session, request.cart, None if model is None else model.registered.id
        user = self._users.get(key)
        if user is None:
            user = self._users[key] = read_user_context(request, model, self.recent)
        return user


class ContextReader:
    """Reads the context of requests; `deadline` in seconds is for the repair of a damaged list."""

    def __init__(self, redis: RedisConnection, executor: LiveExecutor, deadline: float) -> None:
        self._redis, self._executor, self._deadline = redis, executor, deadline

    async def read(self, request: RecommendationRequest, data: ServingData) -> RequestContext:
        """Read the context in one round trip; without Redis return an empty one at once."""
        redis = self._redis
        reader = redis.reader
        if reader is None or not redis.available:
            return RequestContext(data)
        try:
            if request.user is None:
                if request.session is None:
                    return RequestContext(data, redis_available=True)
                with span("redis context"):
                    members, _ = await reader.read(keys.recent_session_interactions(request.session), "-")
                return RequestContext(data, SeenProducts.of_recent(members), None, True)
            # no generation has the id 0: without a live one no list is found
            generation = data.arm_generation or data.generation or 0
            key = keys.stored_recommendations(generation, request.user)
            with span("redis context"):
                members, packed = await reader.read(keys.recent_interactions(request.user), key)
        except (RedisError, OSError) as error:
            redis.available = False  # a background job tries again soon
            _log.error("Redis does not answer; lists come from PostgreSQL", error=str(error))
            return RequestContext(data)
        recent = SeenProducts.of_recent(members)
        try:
            return RequestContext(data, recent, None if packed is None else unpack(packed), True)
        except (RecsysError, ValueError) as error:
            _log.error(
                "a stored list in Redis is damaged and is repaired", user=request.user, error=str(error)
            )
            repaired = await self._repair(generation, request.user, data.arm_generation)
            return RequestContext(data, recent, repaired, True)

    async def _repair(self, generation: int, user: int, of_arm: int | None) -> StoredList | None:
        """Read the user's list from PostgreSQL and replace the damaged one in Redis; None when it is late."""

        def repair() -> StoredList | None:
            stored = stored_in_postgresql(user, of_arm)
            try:
                list_cache.repair(generation, user, stored)
            except (RedisError, OSError, RecsysError) as error:
                _log.error("a stored list in Redis could not be repaired", user=user, error=str(error))
            return stored

        try:
            return await self._executor.within(self._deadline, repair)
        except TimeoutError:
            return None


def stored_in_postgresql(user: int, of_arm: int | None = None, *, may_lag: bool = False) -> StoredList | None:
    """Read the user's stored list from PostgreSQL; None where there is none or it cannot be read.

    Parameters
    ----------
    of_arm
        The generation of an arm; None for the live one.
    may_lag
        Whether a replica may answer.
    """
    try:
        if may_lag and replica_url() is not None:
            stored = replica.read(lambda session: read_list(session, user, of_arm))
            if stored is not None:
                return stored
        with unit_of_work() as session:
            return read_list(session, user, of_arm)
    except (RecsysError, SQLAlchemyError) as error:
        _log.error("the stored list cannot be read from PostgreSQL", error=str(error))
        return None
