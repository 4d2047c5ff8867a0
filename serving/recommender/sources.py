"""The sources of a list, in the order in which they are tried: stored, live, popular."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from recsys import clock
from recsys.domains.recommendations.stored_lists.codec import Entry, StoredList
from serving.merchandising.rerank import RerankedList, rerank
from serving.ranking.eligibility import Novelty, SeenProducts
from serving.ranking.filters import FilterResult, eligible_products
from serving.ranking.strategies import Lookups, Ranked, rank
from serving.ranking.user_context import read_user_context
from serving.recommender.context import RequestContext, stored_in_postgresql
from serving.recommender.explanations import parts_of, with_rules
from serving.recommender.live_lists import LiveLists
from serving.recommender.pagination import Rest
from serving.recommender.request import NO_FILTERS, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.executor import LiveExecutor
from serving.state.serving_data import ServingData

__all__ = ["Live", "Popular", "Source", "Stored", "next_page"]


class Source(ABC):
    """Where lists come from."""

    @abstractmethod
    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """The source's list, which may be short; None where it has none for this request.

        Raises TimeoutError when it is not ready within the deadline.
        """

    def at_hand(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """A list that costs no waiting, for when time ran out; None where there is none."""
        return None


class Stored(Source):
    """The user's list of the generation that is live, while it is as fresh as what they did."""

    def __init__(self, executor: LiveExecutor, deadline: float) -> None:
        self._executor, self._deadline = executor, deadline

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Without waiting, unless Redis is away or a rule needs the user's whole past."""
        if not _may_be_stored(request, context) or context.recent.touched:
            return None
        stored = context.stored
        if stored is None and (context.redis_available or request.user is None):
            return None
        if stored is not None and not _has_pins(request, context.data):
            return _of_stored(stored, request, context.data, context.recent)
        return await self._executor.within(self._deadline, partial(self._with_history, request, context))

    def _with_history(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """A pin must know what the user bought, and without Redis nothing is known of what they did since."""
        stored = context.stored
        if stored is None and request.user is not None:
            stored = stored_in_postgresql(request.user)
        if stored is None:
            return None
        user = read_user_context(request, context.data.model, context.recent)
        return _of_stored(stored, request, context.data, user.seen)

    def at_hand(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """The list that Redis had, though it knows nothing of what the user did since."""
        if context.stored is None or not _may_be_stored(request, context):
            return None
        response = _of_stored(context.stored, request, context.data, context.recent)
        return response if response.entries else None


class Live(Source):
    """A list that is ranked now, by the strategy of its placement."""

    def __init__(self, lists: LiveLists, lookups: Lookups) -> None:
        self._lists, self._lookups = lists, lookups

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Ranked within the deadline; a list for everybody once for all who ask."""
        data, recent = context.data, context.recent
        # by the identity of what it is made of: a change of any of them makes another list
        parts = (data.catalogue, data.model, data.auxiliary, data.rules, data.popular, data.trending)
        seen = tuple(map(frozenset, (recent.touched, recent.bought, recent.dismissed)))
        return await self._lists.get(
            (request, parts, seen),
            partial(self._ranked, request, context),
            shared=request.user is None and request.session is None and not request.cart,
            caller=request.caller,
        )

    def _ranked(self, request: RecommendationRequest, context: RequestContext) -> RecommendationResponse:
        data = context.data
        user = read_user_context(request, data.model, context.recent)
        filtered = eligible_products(request, user.seen, data.rules, self._lookups.attributes)
        ranked = rank(data, self._lookups, request, user, filtered)
        reranked = RerankedList(ranked.entries)
        if data.rules.rules or request.diversity > 0.0:
            reranked = rerank(data.rules, request, ranked.entries, filtered.eligible)
        response = _of_ranked(Ranked(reranked.entries, ranked.model), request, data, filtered)
        if request.explain:
            parts = (
                {}
                if ranked.model is None
                else parts_of(ranked.model, user, response.entries, request.novelty)
            )
            response = replace(response, parts=with_rules(parts, reranked.rules, response.entries))
        return replace(response, filtered_out={**filtered.filtered_out, **reranked.removed})

    def without_rules(self, request: RecommendationRequest, data: ServingData) -> tuple[Ranked, FilterResult]:
        """The candidates of a request before any business rule: what rules are previewed on."""
        user = read_user_context(request, data.model, SeenProducts())
        filtered = eligible_products(request, user.seen, data.rules, self._lookups.attributes, by_rules=False)
        return rank(data, self._lookups, request, user, filtered), filtered


class Popular(Source):
    """Popular products that are eligible."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """The same as `at_hand`."""
        return self.at_hand(request, context)

    def at_hand(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Counted in the background; a filter by an attribute that is not in memory removes everything."""
        data = context.data
        filtered = eligible_products(
            request, context.recent, data.rules, self._lookups.attributes, wait=False
        )
        # nothing but what the user bought may be in it, and that is not known without waiting
        none = request.placement is Placement.BUY_AGAIN
        entries = [] if none else data.popular.entries(data.catalogue, 3 * request.limit, filtered.eligible)
        return _of_ranked(Ranked(entries), request, data, filtered)


def next_page(
    rest: Rest, request: RecommendationRequest, data: ServingData, seen: SeenProducts
) -> RecommendationResponse:
    """The next `limit` products of a list that are still eligible; the others stay for later pages."""
    catalogue, hidden = data.catalogue, set[int]()
    if data.rules.rules:
        plan = data.rules.for_placement(request.placement, request.name)
        hidden = set(catalogue.ids[plan.hidden].tolist()) if plan.hides else hidden
    eligible, examined = seen.first_eligible(catalogue, rest.entries, request.limit, request.novelty, hidden)
    return RecommendationResponse(
        request,
        eligible,
        rest.source,
        rest.model,
        rest.version,
        rest.generation,
        rest.made_at,
        rest.entries[examined:],
        rest.shown,
    )


def _may_be_stored(request: RecommendationRequest, context: RequestContext) -> bool:
    """Whether the request asks for what is stored: a user's best products as they are."""
    return (
        request.placement is Placement.FOR_YOU
        and (request.filters is NO_FILTERS or request.filters == NO_FILTERS)
        and not request.cart
        and not request.products
        and request.diversity == 0.0
        and not request.explain
        and request.on_page is None
        and context.data.uses_stored_lists
    )


def _has_pins(request: RecommendationRequest, data: ServingData) -> bool:
    return bool(data.rules.rules and data.rules.for_placement(request.placement, request.name).pins)


def _of_stored(
    stored: StoredList, request: RecommendationRequest, data: ServingData, seen: SeenProducts
) -> RecommendationResponse:
    entries: Sequence[Entry] = stored.new if request.novelty is Novelty.NEW else stored.entries
    if data.rules.rules and not data.rules.for_placement(request.placement, request.name).empty:
        eligible, _ = seen.first_eligible(data.catalogue, entries, max(1, len(entries)), request.novelty)
        rows = data.catalogue.shown
        for excluded in seen.excluded(data.catalogue, request.novelty).values():
            rows = rows & ~excluded
        entries = rerank(data.rules, request, eligible, rows).entries
    rest = Rest(entries, "stored", stored.model, stored.version, stored.generation, stored.made_at, 0)
    return next_page(rest, request, data, seen)


def _of_ranked(
    ranked: Ranked, request: RecommendationRequest, data: ServingData, filtered: FilterResult
) -> RecommendationResponse:
    registered = None if ranked.model is None else ranked.model.registered
    return RecommendationResponse(
        request,
        ranked.entries[: request.limit],
        ranked.source,
        None if registered is None else registered.name,
        None if registered is None else registered.version,
        None,
        int(data.popular_at) if registered is None else int(clock.now().timestamp()),
        ranked.entries[request.limit :],
        filtered_out=filtered.filtered_out,
        eligible=int(filtered.eligible.sum()),
    )
