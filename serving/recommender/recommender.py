"""One request, one path: the arm's serving data, the user's context, then the sources in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from recsys.errors import NotFound, RecsysError
from serving.ranking.filters import FilterResult
from serving.ranking.strategies import Lookups, Ranked
from serving.recommender.ab_routing import Assignment, assign
from serving.recommender.context import ContextReader, RequestContext
from serving.recommender.live_lists import LiveLists
from serving.recommender.pagination import decode
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.sources import Live, Popular, Source, Stored, next_page
from serving.state.executor import LiveExecutor
from serving.state.metrics import count_deadline
from serving.state.redis_connection import RedisConnection
from serving.state.serving_data import ServingData

__all__ = ["DataSource", "Recommender"]


class DataSource(Protocol):
    """Has the newest snapshot at any time; `serving.state.refresher.Refresher` does."""

    data: ServingData


class Recommender:
    """Always responds, and seldom with an empty list: a source that fails leaves the list to the next one."""

    def __init__(self, refresher: DataSource, redis: RedisConnection, *, deadline: float) -> None:
        """
        Parameters
        ----------
        refresher
            Its `data` is the newest snapshot.
        redis
            Where stored lists and recent interactions are read.
        deadline
            Seconds that a request waits for a list that is not stored.
        """
        self._refresher = refresher
        self._executor = LiveExecutor()
        lookups = Lookups()
        self._live = Live(LiveLists(self._executor, deadline), lookups)
        self._contexts = ContextReader(redis, self._executor, deadline)
        self.sources: Sequence[Source] = (Stored(self._executor, deadline), self._live, Popular(lookups))

    @property
    def data(self) -> ServingData:
        """The newest snapshot."""
        return self._refresher.data

    async def recommend(self, request: RecommendationRequest) -> RecommendationResponse:
        """One list; a stored one costs one round trip to Redis and nothing else.

        Raises NotFound for products that do not exist, Unavailable where a filter cannot be looked up.
        """
        data = self.data
        _refuse_unknown_products(request, data)
        context = await self._contexts.read(request, data)
        if data.test is None:
            return await self._from_sources(request, context)
        assignment = assign(data, request)
        context = replace(context, data=assignment.data)
        if assignment.is_challenger:
            return await self._by_challenger(request, context, assignment, data)
        return assignment.labelled(await self._from_sources(request, context))

    async def recommend_page(self, requests: Sequence[RecommendationRequest]) -> list[RecommendationResponse]:
        """Several lists of one page; no product is in two of them, the first list has the first choice."""
        responses: list[RecommendationResponse] = []
        on_page: frozenset[int] = frozenset()
        for request in requests:
            response = await self.recommend(replace(request, on_page=on_page))
            on_page |= {entry.product for entry in response.entries}
            responses.append(response)
        return responses

    async def next_page(self, request: RecommendationRequest, cursor: str) -> RecommendationResponse:
        """The next page of a list. Raises Invalid for a cursor that is none, or of another request."""
        rest = decode(cursor, request)
        data = self.data
        context = await self._contexts.read(request, data)
        response = next_page(rest, request, data, context.recent)
        return assign(data, request, later_page=True).labelled_page(response)

    def without_rules(self, request: RecommendationRequest) -> tuple[Ranked, FilterResult]:
        """The live candidates of a request before any business rule. Raises NotFound for unknown products."""
        data = self.data
        _refuse_unknown_products(request, data)
        return self._live.without_rules(request, data)

    def close(self) -> None:
        """Wait a little for lists that are being ranked."""
        self._executor.close()

    async def _from_sources(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse:
        short: RecommendationResponse | None = None
        for source in self.sources:
            try:
                response = await source.lists(request, context)
            except TimeoutError:
                count_deadline()
                return self._at_hand(request, context)
            if response is None:
                continue
            response = response if short is None else _longer(short, response)
            if response.source != "stored" or len(response.entries) >= request.limit:
                return response
            short = response
        assert short is not None
        return short

    def _at_hand(self, request: RecommendationRequest, context: RequestContext) -> RecommendationResponse:
        """The best list that costs no waiting."""
        lists = (source.at_hand(request, context) for source in self.sources)
        return replace(next(found for found in lists if found is not None), complete=False)

    async def _by_challenger(
        self,
        request: RecommendationRequest,
        context: RequestContext,
        assignment: Assignment,
        data: ServingData,
    ) -> RecommendationResponse:
        """The challenger's list; the serving model's where the challenger fails or is late."""
        test = assignment.test
        assert test is not None
        instead, by_serving_model = assignment.fallback(data), replace(context, data=data)
        try:
            response = await self._from_sources(request, context)
        except RecsysError:
            raise  # about the request, not the model
        except Exception as error:  # noqa: BLE001 a model on trial may fail in ways of its own
            test.failed(error)
            return instead.labelled(await self._from_sources(request, by_serving_model))
        if not response.complete:
            test.failed()
            return instead.labelled(self._at_hand(request, by_serving_model))
        test.succeeded()
        return assignment.labelled(response)


def _refuse_unknown_products(request: RecommendationRequest, data: ServingData) -> None:
    """A list about a product that does not exist is the caller's mistake; an old cart is not."""
    for product in request.products:
        if data.catalogue.row(product) < 0:
            raise NotFound("There is no such product.")


def _longer(stored: RecommendationResponse, live: RecommendationResponse) -> RecommendationResponse:
    """A short stored list continues with popular products, or gives way to a live list that is longer."""
    if live.source != "popular" or not stored.entries:
        return live if len(live.entries) > len(stored.entries) else stored
    listed = {entry.product for entry in stored.entries}
    below, more = stored.entries[-1].score, []
    for entry in [*live.entries, *live.rest]:
        if entry.product not in listed:
            below = max(0, min(entry.score, below - 1))
            more.append(entry._replace(score=below))
    missing = stored.request.limit - len(stored.entries)
    return replace(stored, entries=[*stored.entries, *more[:missing]], rest=more[missing:])
