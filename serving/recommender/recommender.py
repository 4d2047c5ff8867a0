"""The path of a request: the serving data of its arm, the user's context, then the sources in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from anyio import to_thread

from recsys.domains.recommendations.stored_lists.codec import Entry
from recsys.errors import NotFound, RecsysError
from recsys.observation.spans import span
from recsys.settings.exploration import ExplorationSettings
from serving.exploration.drawn_lists import Explorer
from serving.exploration.interleaved_lists import interleaved
from serving.exploration.new_product_places import NewProductPlaces
from serving.merchandising.compiled_rules import CompiledRules
from serving.merchandising.rerank import rerank
from serving.ranking.filters import FilterResult
from serving.ranking.shared_lists import key_of
from serving.ranking.strategies import Lookups, Ranked
from serving.ranking.user_context import read_user_context
from serving.recommender.ab_routing import Assignment, assign, assign_to
from serving.recommender.context import ContextReader, RequestContext
from serving.recommender.explanations import parts_of
from serving.recommender.live_lists import LiveLists
from serving.recommender.pagination import decode
from serving.recommender.product_trace import ProductTrace
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.shared_lists import SharedLists
from serving.recommender.sources import (
    LiveRanking,
    PopularList,
    RankingStages,
    Source,
    StoredLists,
    next_page,
)
from serving.recommender.why_not import ServedList, trace_products
from serving.state.ab_assignment import ArmModel, RunningTest
from serving.state.active_model import LoadedModel
from serving.state.executor import LiveExecutor
from serving.state.metrics import LateShare, count_arm
from serving.state.redis_connection import RedisConnection
from serving.state.serving_data import ServingData

__all__ = ["DataSource", "Recommender"]

MAX_LIMIT = 100
"""Products of one page at most."""


class DataSource(Protocol):
    """Has the newest snapshot at any time; `serving.state.refresher.Refresher` does."""

    data: ServingData


class Recommender:
    """Recommends lists: where a source has no list, the next one is used, so that few lists are empty."""

    def __init__(
        self,
        refresher: DataSource,
        redis: RedisConnection,
        late_share: LateShare,
        *,
        deadline: float,
        exploration: ExplorationSettings | None = None,
    ) -> None:
        """Use the newest snapshot of a refresher.

        Parameters
        ----------
        refresher
            Its `data` is the newest snapshot.
        redis
            Where stored lists and recent interactions are read.
        late_share
            Counts the lists that miss the deadline.
        deadline
            Seconds that a request waits for a list that is not stored.
        exploration
            Which lists are drawn at random, and which places new products have; None: neither.
        """
        exploration = exploration or ExplorationSettings()
        self._explorer = Explorer(exploration) if exploration.share else None
        self._deadline = deadline
        self._refresher, self._late_share = refresher, late_share
        self._executor = LiveExecutor()
        lookups = Lookups()
        responses: LiveLists[RecommendationResponse] = LiveLists(self._executor, deadline)
        self._live = LiveRanking(responses, lookups)
        self._shared = SharedLists(redis, self._executor, responses, lookups, deadline)
        self._new_products = (
            NewProductPlaces(exploration, lookups.filters) if exploration.new_product_share else None
        )
        self._contexts = ContextReader(redis, self._executor, deadline)
        self.sources: Sequence[Source] = (
            StoredLists(self._executor, lookups, deadline),
            self._shared,
            self._live,
            PopularList(lookups),
        )

    @property
    def data(self) -> ServingData:
        """The newest snapshot."""
        return self._refresher.data

    def data_for(self, user: int | None) -> ServingData:
        """Return the newest snapshot, with the rules for a user, or for a guest (None)."""
        data = self._refresher.data
        # without a rule for a segment nothing is looked up
        return data.of_visitor(user) if data.rules.segments else data

    async def recommend(
        self, request: RecommendationRequest, *, request_id: str | None = None
    ) -> RecommendationResponse:
        """Return one list; a stored list takes one round trip to Redis.

        Parameters
        ----------
        request_id
            Of a list that is displayed and logged: a share of these is drawn at random (`exploration.share`),
            the same list for the same id. None: never, and the list is neither interleaved nor has places for
            new products.

        Raises
        ------
        NotFound
            A product of the page is unknown.
        Invalid
            A filter names an attribute that no product has.
        Unavailable
            A filter cannot be read.
        """
        data = self.data_for(request.user)
        _check_products(request, data)
        return await self._recommended(request, data, await self._contexts.read(request, data), request_id)

    async def _recommended(
        self,
        request: RecommendationRequest,
        data: ServingData,
        visitor: RequestContext,
        request_id: str | None,
    ) -> RecommendationResponse:
        context, test, began = visitor, data.tests.get(request.placement), time.perf_counter()
        if test is None:
            response = await self._from_sources(request, context)
        elif request_id is not None and test.interleaves(request):
            response = await self._interleaved(test, request, visitor, request_id)
        else:
            response, context = await self._of_arm(assign(data, request), visitor)
        if response.arm is not None:
            count_arm(response.arm)
            response = replace(response, milliseconds=1000 * (time.perf_counter() - began))
        # the places of an interleaved list are given out already
        if request_id is None or response.teams is not None:
            return response
        new_products, explorer = self._new_products, self._explorer
        if new_products is not None and new_products.wanted(response, context.data):
            response = await self._with_new_products(new_products, response, context, request_id)
        if explorer is not None and explorer.draws(request, request_id):
            response = explorer.drawn(response, context.data, context.recent, request_id)
        return response

    async def _of_arm(
        self, assignment: Assignment, visitor: RequestContext
    ) -> tuple[RecommendationResponse, RequestContext]:
        """Return the list of an arm, and the context that it was made in.

        An arm of an A/B test differs in what the path begins with, and in nothing else.
        """
        context, data = visitor, visitor.data
        if assignment.data.arm_generation is not None:
            # lists of the arm's model are stored as a generation of their own
            context = await self._contexts.read(assignment.request, assignment.data)
        elif assignment.data is not data:
            context = replace(visitor, data=assignment.data)
        if assignment.arm_model is not None:
            return await self._by_arm_model(context, assignment, assignment.arm_model, data), context
        return assignment.labelled(await self._from_sources(assignment.request, context)), context

    async def _interleaved(
        self, test: RunningTest, request: RecommendationRequest, visitor: RequestContext, request_id: str
    ) -> RecommendationResponse:
        """Return a list of the products of both arms; the control's where the other has none of its own."""
        (control, _), (challenger, _) = await asyncio.gather(
            *(
                self._of_arm(assign_to(arm, test, visitor.data, request), visitor)
                for arm in test.test.design.arms
            )
        )
        return interleaved(test, control, challenger, visitor, request_id)

    async def _with_new_products(
        self,
        places: NewProductPlaces,
        response: RecommendationResponse,
        context: RequestContext,
        request_id: str,
    ) -> RecommendationResponse:
        """Return the list with new products at their places; without them where that is late."""
        fill = partial(places.filled, response, context.data, context.recent, request_id)
        try:
            return await self._executor.within(self._deadline, fill)
        except TimeoutError:
            return response

    async def recommend_page(
        self, requests: Sequence[RecommendationRequest], *, request_id: str | None = None
    ) -> list[RecommendationResponse]:
        """Return the lists of one page without repeating products; earlier lists take precedence.

        All of them are made of one snapshot and one reading of the visitor's history.

        Parameters
        ----------
        requests
            Of one visitor, with one cart.
        request_id
            As in `recommend`.

        Raises
        ------
        NotFound, Invalid, Unavailable
            As `recommend`.
        """
        if not requests:
            return []
        data = self.data_for(requests[0].user)
        for request in requests:
            _check_products(request, data)
        visitor = await self._contexts.read(requests[0], data)
        responses: list[RecommendationResponse] = []
        on_page: frozenset[int] = frozenset()
        for request in requests:
            response = await self._recommended(replace(request, on_page=on_page), data, visitor, request_id)
            on_page |= {entry.product for entry in response.entries}
            responses.append(response)
        return responses

    async def next_page(self, request: RecommendationRequest, cursor: str) -> RecommendationResponse:
        """Return the next page of a list. Raises Invalid for an invalid cursor, or one of another request."""
        rest = decode(cursor, request)
        data = self.data_for(request.user)
        context = await self._contexts.read(request, data)
        response = next_page(rest, request, data, context.recent)
        response = assign(data, request).labelled_page(response)
        if response.arm is not None:
            count_arm(response.arm)
        return response

    async def whole_list(self, request: RecommendationRequest) -> ServedList:
        """Return all pages of a list. Raises as `recommend`."""
        page = first = await self.recommend(request)
        entries = list(first.entries)
        later = replace(request, limit=MAX_LIMIT)
        while (cursor := page.next_cursor) is not None:
            page = await self.next_page(later, cursor)
            entries += page.entries
        return ServedList(first, entries)

    async def trace(self, request: RecommendationRequest, products: Sequence[int]) -> list[ProductTrace]:
        """Return for each product why it is in a list, or which step lost it.

        Raises
        ------
        NotFound
            One of `products` is unknown, or as `recommend`.
        Invalid, Unavailable
            As `recommend`.
        """
        data = self.data_for(request.user)
        for product in products:
            _check_product(product, data)
        served = await self.whole_list(request)
        assignment = assign(data, request)
        request = assignment.request
        context = await self._contexts.read(request, assignment.data)
        if served.first.source == "stored" and (key := key_of(request, context.data)) is not None:
            context = replace(context, stored=await self._shared.list_of(key, context.data))
        return await to_thread.run_sync(trace_products, self._live, request, context, served, products)

    async def explain(
        self, request: RecommendationRequest, entries: Sequence[Entry]
    ) -> dict[int, dict[str, Any]]:
        """Return the parts of the scores of entries, as `explain=true` does; empty without a model."""
        data = self.data_for(request.user)
        context = await self._contexts.read(request, data)
        model = assign(data, request).data.model

        def parts() -> dict[int, dict[str, Any]]:
            if model is None:
                return {}
            return parts_of(
                model, read_user_context(request, model, context.recent), entries, request.novelty
            )

        return await to_thread.run_sync(parts)

    async def stages_by(self, request: RecommendationRequest, model: LoadedModel) -> RankingStages:
        """Rank a request now by any loaded model, with the rules in force. Raises as `recommend`."""
        data = self.data_for(request.user)
        _check_products(request, data)
        context = await self._contexts.read(request, data)
        context = replace(context, data=replace(data, model=model, uses_stored_lists=False))
        return await to_thread.run_sync(self._live.stages, request, context)

    def without_rules(self, request: RecommendationRequest) -> tuple[Ranked, FilterResult]:
        """Return the live candidates before any business rule. Raises NotFound for unknown products."""
        data = self.data_for(request.user)
        _check_products(request, data)
        return self._live.without_rules(request, data)

    def close(self) -> None:
        """Wait briefly for lists that are being ranked."""
        self._executor.close()

    async def _from_sources(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse:
        short: RecommendationResponse | None = None
        for source in self.sources:
            if source.placements is not None and request.placement not in source.placements:
                continue
            try:
                with span(source.span_name):
                    response = await source.lists(request, context)
            except TimeoutError:
                self._late_share.count()
                return self._list_available_now(request, context)
            if response is None:
                continue
            response = response if short is None else _longer(short, response, context.data.rules)
            if response.source != "stored" or response.is_full:
                return response
            short = response
        assert short is not None
        return short

    def _list_available_now(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse:
        """Return the best list that is available without waiting."""
        lists = (source.available_now(request, context) for source in self.sources)
        return replace(next(response for response in lists if response is not None), complete=False)

    async def _by_arm_model(
        self,
        context: RequestContext,
        assignment: Assignment,
        arm_model: ArmModel,
        data: ServingData,
    ) -> RecommendationResponse:
        """Return the list of the arm's own model, or the serving model's where it fails or is late."""
        original = assignment.original
        try:
            response = await self._from_sources(assignment.request, context)
        except RecsysError:
            raise  # about the request, not the model
        except Exception as error:  # noqa: BLE001 a model on trial may raise anything
            arm_model.failed(error)
            by_serving_model = await self._contexts.read(original, data)
            response = await self._from_sources(original, by_serving_model)
            return assignment.fallback(data).labelled(response)
        if not response.complete:
            arm_model.failed()
            by_serving_model = await self._contexts.read(original, data)
            return assignment.fallback(data).labelled(self._list_available_now(original, by_serving_model))
        arm_model.succeeded()
        return assignment.labelled(response)


def _check_products(request: RecommendationRequest, data: ServingData) -> None:
    """Raise NotFound for unknown products of the page; unknown products of a cart are allowed."""
    for product in request.products:
        _check_product(product, data)


def _check_product(product: int, data: ServingData) -> None:
    if data.catalogue.row(product) < 0:
        raise NotFound("There is no such product.")


def _longer(
    stored: RecommendationResponse, live: RecommendationResponse, rules: CompiledRules
) -> RecommendationResponse:
    """Complete a short stored list with popular products, or replace it with a longer live list."""
    if live.source != "popular" or not stored.entries:
        return live if len(live.entries) > len(stored.entries) else stored
    listed = {entry.product for entry in stored.entries}
    score, added = stored.entries[-1].score, []
    for entry in [*live.entries, *live.rest]:
        if entry.product not in listed:
            score = max(0, min(entry.score, score - 1))
            added.append(entry._replace(score=score))
    request, entries = stored.request, [*stored.entries, *added]
    if rules.rules:
        # caps and shares speak of the page as a whole; a pin brings in nothing that neither list has
        listed_only = rules.catalogue.mark([entry.product for entry in entries])
        entries = list(rerank(rules, request, entries, listed_only).entries)
    return replace(stored, entries=entries[: request.limit], rest=entries[request.limit :])
