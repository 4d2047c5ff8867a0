"""The source of lists that are the same for everybody: stored ahead, or made once for all who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from functools import partial
from itertools import chain

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.reasons import Kind
from recsys.domains.recommendations.stored_lists import shared
from recsys.domains.recommendations.stored_lists.codec import StoredList, pack, unpack
from recsys.domains.recommendations.stored_lists.shared import SharedListKey
from recsys.errors import RecsysError
from recsys.log import get_logger
from serving.ranking.eligibility import SeenProducts
from serving.ranking.filters import eligible_products
from serving.ranking.shared_lists import SHARED_PLACEMENTS, Age, age_of, key_of, make
from serving.ranking.strategies import Lookups
from serving.recommender.context import RequestContext
from serving.recommender.live_lists import LiveLists
from serving.recommender.request import NO_FILTERS, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.sources import Source, cache_key, from_stored, if_long
from serving.state.executor import LiveExecutor
from serving.state.redis_connection import RedisConnection
from serving.state.serving_data import ServingData

__all__ = ["SharedLists"]

MADE_SECONDS = 86_400
"""Lists that a request made stay in Redis so long at most; those of a scoring as long as its generation."""
_log = get_logger(__name__)


class SharedLists(Source):
    """A stored list of a product, or for everybody, of the live generation.

    Filters, rules and the stock apply to what is stored; where too little of it is left, there is no list.
    A list that Redis lacks is read from PostgreSQL or made, once for all requests that wait for it, and put
    into Redis for all processes.
    """

    span_name = "source shared"
    placements = SHARED_PLACEMENTS

    def __init__(
        self,
        redis: RedisConnection,
        executor: LiveExecutor,
        responses: LiveLists[RecommendationResponse],
        lookups: Lookups,
        deadline: float,
    ) -> None:
        self._redis, self._executor, self._lookups, self._deadline = redis, executor, lookups, deadline
        self._responses = responses
        self._made: LiveLists[StoredList] = LiveLists(executor, deadline)
        self._fetching: dict[Hashable, asyncio.Task[StoredList]] = {}

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return the list as it is stored, without what is not eligible by now."""
        data = context.data
        if not _is_shared_request(request, data) or (key := key_of(request, data)) is None:
            return None
        is_personal = request.user is not None or request.session is not None
        # what differs with each page and cart is not worth its memory
        is_cached = not is_personal and not request.cart and not request.on_page
        cached_as = cache_key(request, context)
        if is_cached and (cached := self._responses.cached(cached_as)) is not None:
            return cached
        stored = await self.list_of(key, data, request.caller)
        if stored is None:
            return None
        if request.filters == NO_FILTERS and not is_personal:
            response = from_stored(stored, request, data, SeenProducts(), None)
        else:
            # the history is read, or a mask of the whole catalogue made
            response = await self._responses.get(
                cached_as if is_cached else object(),
                partial(self._respond, stored, request, context),
                shared=False,
                caller=request.caller,
            )
        if if_long(response) is None or (key.models and not _has_its_own(response, stored)):
            return None
        if is_cached and response.is_full:
            self._responses.keep(cached_as, response)
        return response

    async def list_of(
        self, key: SharedListKey, data: ServingData, caller: str | None = None
    ) -> StoredList | None:
        """Return a list before rules and filters; None without a live generation.

        Raises
        ------
        TimeoutError
            It is not made within the deadline.
        """
        if data.generation is None:
            return None
        stored = await self._in_redis(data.generation, key)
        if stored is not None and age_of(stored, key, data) is Age.CURRENT:
            return stored
        flight = data.generation, key, data.version
        task = self._fetching.get(flight)
        if task is None:
            task = asyncio.create_task(self._fetch(data.generation, key, data, caller))
            self._fetching[flight] = task
            task.add_done_callback(partial(self._fetched, flight))
        # who leaves does not end what others wait for
        return await asyncio.shield(task)

    def _fetched(self, flight: Hashable, task: asyncio.Task[StoredList]) -> None:
        del self._fetching[flight]
        if not task.cancelled():
            task.exception()  # those who waited have it; without them nobody would have looked

    async def _fetch(
        self, generation: int, key: SharedListKey, data: ServingData, caller: str | None
    ) -> StoredList:
        # again: it may have been made between the first look and this one
        stored = await self._in_redis(generation, key)
        age = Age.OUTDATED if stored is None else age_of(stored, key, data)
        if stored is not None and age is Age.CURRENT:
            return stored
        making = self._made.get(
            (generation, key, data.version),
            partial(self._read_or_make, generation, key, data, is_read=stored is None),
            shared=False,
            caller=caller,
        )
        if stored is None or age is Age.OUTDATED:
            return await making
        task = asyncio.create_task(making)
        task.add_done_callback(_log_failure)
        return stored

    async def _in_redis(self, generation: int, key: SharedListKey) -> StoredList | None:
        """Return what Redis has; None where it has nothing, does not answer, or the bytes are damaged."""
        redis = self._redis
        if redis.reader is None or not redis.available:
            return None
        try:
            _, packed = await redis.reader.read("-", key.in_redis(generation))
        except (RedisError, OSError) as error:
            redis.available = False  # a background job tries again soon
            _log.error("Redis does not answer; lists come from PostgreSQL", error=str(error))
            return None
        try:
            return None if packed is None else unpack(packed)
        except (RecsysError, ValueError) as error:
            _log.error("a stored list in Redis is damaged and is replaced", list=key, error=str(error))
            return None

    def _read_or_make(
        self, generation: int, key: SharedListKey, data: ServingData, *, is_read: bool
    ) -> StoredList:
        """Return the list of PostgreSQL (`is_read`) or a new one, and put it into Redis."""
        stored, is_readable = _in_postgresql(generation, key) if is_read else (None, True)
        if stored is None or age_of(stored, key, data) is Age.OUTDATED:
            if key.placement == Placement.BOUGHT_TOGETHER:
                # an order has made the stored list out of date, and earlier counts may be cached
                self._lookups.co_purchases.forget(int(key.subject))
            stored = make(data, self._lookups, key, generation)
        # what was made without PostgreSQL may lack what only it counts
        if is_readable and stored.made_at and self._redis.available:
            try:
                shared.put_into_redis(generation, {key: pack(stored)}, MADE_SECONDS)
            except (RedisError, OSError, RecsysError) as error:
                _log.error("a list could not be put into Redis", list=key, error=str(error))
        return stored

    def _respond(
        self, stored: StoredList, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse:
        """Apply the user's history, filters and rules."""
        data, seen = context.data, SeenProducts()
        if request.user is not None or request.session is not None:
            seen = context.user(request).seen
        filtered = None
        if request.filters != NO_FILTERS:
            filtered = eligible_products(request, seen, data.rules, self._lookups.filters)
        return from_stored(stored, request, data, seen, filtered)


def _has_its_own(response: RecommendationResponse, stored: StoredList) -> bool:
    """Return whether any product is left that goes with the displayed product, if the stored list has some.

    Otherwise what was filled in is left alone, and a list that is ranked now may have better ones.
    """
    return any(entry.kind is not Kind.POPULAR for entry in chain(response.entries, response.rest)) or all(
        entry.kind is Kind.POPULAR for entry in stored.entries
    )


def _is_shared_request(request: RecommendationRequest, data: ServingData) -> bool:
    return (
        not request.filters.attributes
        and request.diversity == 0.0
        and not request.explain
        and data.uses_stored_lists
        and data.arm_generation is None
    )


def _in_postgresql(generation: int, key: SharedListKey) -> tuple[StoredList | None, bool]:
    """Return the list of PostgreSQL, and whether it could be read."""
    try:
        with unit_of_work() as session:
            return shared.read(session, generation, key), True
    except (RecsysError, SQLAlchemyError) as error:
        _log.error("a stored list cannot be read from PostgreSQL", list=key, error=str(error))
        return None, False


def _log_failure(task: asyncio.Task[StoredList]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.warning("a list was not made again; the older one answers", error=str(error))
