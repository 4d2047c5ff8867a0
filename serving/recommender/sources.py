"""The sources of a list, in the order in which they are tried: stored, live, popular."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from recsys import clock
from recsys.domains.recommendations.stored_lists.codec import Entry, StoredList, select
from recsys.observation.spans import span
from serving.merchandising.rerank import RerankedList, rerank
from serving.ranking.eligibility import Novelty, SeenProducts
from serving.ranking.filters import FilterResult, eligible_products
from serving.ranking.strategies import Lookups, Ranked, rank
from serving.ranking.user_context import UserContext, read_user_context
from serving.recommender.context import RequestContext, stored_in_postgresql
from serving.recommender.explanations import parts_of, with_rules
from serving.recommender.live_lists import LiveLists
from serving.recommender.pagination import Rest
from serving.recommender.request import ITEM_LISTS, NO_FILTERS, Placement, RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.state.executor import LiveExecutor
from serving.state.serving_data import ServingData

__all__ = [
    "LiveRanking",
    "PopularList",
    "RankingStages",
    "Source",
    "StoredLists",
    "cache_key",
    "entries_for",
    "first_eligible",
    "from_stored",
    "if_long",
    "next_page",
    "rerank_stored",
]

FILTERED_PAGES = 3
"""So many pages of a stored list must pass a filter, if so many products of the shop do."""


class Source(ABC):
    """A source of lists; `span_name` names its part of a trace, `placements` what it has; None: any."""

    span_name: str
    placements: frozenset[Placement] | None = None

    @abstractmethod
    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return the source's list, which may be short; None where it has none for this request.

        Raises
        ------
        TimeoutError
            It is not ready within the deadline.
        """

    def available_now(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return a list without waiting, after the deadline passed; None where there is none."""
        return None


class StoredLists(Source):
    """The user's list of the live generation, while the user has no newer interactions.

    A filter chooses among its products, which are the best of the user's: those of it that pass are the best
    that pass. Where they fill less than `FILTERED_PAGES` pages, though more would pass, there is no list.
    """

    span_name = "source stored"
    placements = frozenset({Placement.FOR_YOU})

    def __init__(self, executor: LiveExecutor, lookups: Lookups, deadline: float) -> None:
        self._executor, self._filters, self._deadline = executor, lookups.filters, deadline

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return it without waiting, unless Redis is away or a pin needs the user's whole history."""
        if not _is_stored_request(request, context) or context.recent.touched:
            return None
        stored = context.stored
        if stored is None and (context.redis_available or request.user is None):
            return None
        is_filtered, filtered = self._cached_filters(request, context)
        if (
            stored is not None
            and (filtered is not None or not is_filtered)
            and not _has_pins(request, context.data)
        ):
            return if_long(from_stored(stored, request, context.data, context.recent, filtered))
        return await self._executor.within(self._deadline, partial(self._with_history, request, context))

    def _with_history(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Read what may take time: the filter's products where they are not cached, and the history.

        A pin needs the purchases, and without Redis recent interactions are unknown.
        """
        stored = context.stored
        if stored is None and request.user is not None:
            # where Redis answers and has no list, it may have been removed a moment ago
            is_old_enough = not context.redis_available
            stored = stored_in_postgresql(request.user, context.data.arm_generation, may_lag=is_old_enough)
        if stored is None:
            return None
        seen = context.recent
        if context.stored is None or _has_pins(request, context.data):
            seen = context.user(request).seen
        is_filtered, filtered = self._cached_filters(request, context)
        if is_filtered and filtered is None:
            filtered = self._filters.of(context.data.catalogue, request.filters)
        return if_long(from_stored(stored, request, context.data, seen, filtered))

    def _cached_filters(
        self, request: RecommendationRequest, context: RequestContext
    ) -> tuple[bool, FilterResult | None]:
        """Return whether the request has filters, and their result where it is cached."""
        if request.filters is NO_FILTERS or request.filters == NO_FILTERS:
            return False, None
        return True, self._filters.cached(context.data.catalogue, request.filters)

    def available_now(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return the list of Redis, though it does not consider the user's recent interactions."""
        if context.stored is None or not _is_stored_request(request, context):
            return None
        is_filtered, filtered = self._cached_filters(request, context)
        if is_filtered and filtered is None:
            return None
        response = from_stored(context.stored, request, context.data, context.recent, filtered)
        return response if response.entries else None


@dataclass(frozen=True, eq=False)
class RankingStages:
    """The stages of a live list: the user, the eligible products, their ranking, and the list after rules."""

    user: UserContext
    filtered: FilterResult
    ranked: Ranked
    reranked: RerankedList


class LiveRanking(Source):
    """A list that is ranked now by the strategy of its placement."""

    span_name = "source live"

    def __init__(self, lists: LiveLists[RecommendationResponse], lookups: Lookups) -> None:
        self._lists, self.lookups = lists, lookups

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Rank within the deadline; a list that is the same for everybody once for all requests."""
        is_personal = request.user is not None or request.session is not None or bool(request.cart)
        key: Hashable = cache_key(request, context)
        if is_personal and not context.redis_available:
            key = object()  # without Redis two equal requests may have different histories
        return await self._lists.get(
            key,
            partial(self._rank, request, context),
            # values of attributes are read when they are used, and are in no version
            shared=not is_personal and not request.filters.attributes,
            caller=request.caller,
        )

    def stages(self, request: RecommendationRequest, context: RequestContext) -> RankingStages:
        """Rank now, without a deadline."""
        data = context.data
        with span("user context"):
            user = context.user(request)
        with span("filters"):
            filtered = eligible_products(request, user.seen, data.rules, self.lookups.filters)
        with span("rank", placement=request.placement.value):
            ranked = rank(data, self.lookups, request, user, filtered)
        reranked = RerankedList(ranked.entries)
        if data.rules.rules or request.diversity > 0.0:
            with span("rules"):
                reranked = rerank(data.rules, request, ranked.entries, filtered.eligible)
        return RankingStages(user, filtered, ranked, reranked)

    def _rank(self, request: RecommendationRequest, context: RequestContext) -> RecommendationResponse:
        stages = self.stages(request, context)
        ranked, reranked, filtered = stages.ranked, stages.reranked, stages.filtered
        response = _from_ranked(Ranked(reranked.entries, ranked.model), request, context.data, filtered)
        if request.explain:
            parts = (
                {}
                if ranked.model is None
                else parts_of(ranked.model, stages.user, response.entries, request.novelty)
            )
            response = replace(response, parts=with_rules(parts, reranked.rules, response.entries))
        return replace(response, filtered_out={**filtered.filtered_out, **reranked.removed})

    def without_rules(self, request: RecommendationRequest, data: ServingData) -> tuple[Ranked, FilterResult]:
        """Return the candidates of a request before any business rule, for previews of rules."""
        user = read_user_context(request, data.model, SeenProducts())
        filtered = eligible_products(request, user.seen, data.rules, self.lookups.filters, by_rules=False)
        return rank(data, self.lookups, request, user, filtered), filtered


class PopularList(Source):
    """Eligible popular products."""

    span_name = "source popular"

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups

    async def lists(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return the same as `available_now`."""
        return self.available_now(request, context)

    def available_now(
        self, request: RecommendationRequest, context: RequestContext
    ) -> RecommendationResponse | None:
        """Return counts of the background job; a filter by an attribute that is not cached removes all."""
        data = context.data
        filtered = eligible_products(request, context.recent, data.rules, self._lookups.filters, wait=False)
        # it has bought products only, and these are not known without waiting
        is_empty = request.placement is Placement.BUY_AGAIN
        entries: Sequence[Entry] = (
            [] if is_empty else data.popular.entries(data.catalogue, 3 * request.limit, filtered.eligible)
        )
        if data.rules.rules:
            entries = rerank(data.rules, request, entries, filtered.eligible).entries
        return _from_ranked(Ranked(entries), request, data, filtered)


def cache_key(request: RecommendationRequest, context: RequestContext) -> Hashable:
    """Return what a list depends on, as long as no user's history is read for it.

    The version names what the list is made of, and keeps none of it in memory; in an A/B test the arms have
    the same version and different models or rules.
    """
    data, recent = context.data, context.recent
    model = None if data.model is None else data.model.registered.id
    seen = map(frozenset, (recent.touched, recent.bought, recent.dismissed))
    return request, data.version, model, data.arm, *seen


def next_page(
    rest: Rest,
    request: RecommendationRequest,
    data: ServingData,
    seen: SeenProducts,
    filtered: FilterResult | None = None,
) -> RecommendationResponse:
    """Return the next `limit` products of a list that are still eligible; the others remain for later.

    Parameters
    ----------
    filtered
        What a filter left of the shop, to be reported; it is not applied.
    """
    eligible, examined = first_eligible(rest.entries, request.limit, request, data, seen)
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
        None if filtered is None else filtered.filtered_out,
        None if filtered is None else filtered.count,
    )


def first_eligible(
    entries: Sequence[Entry],
    limit: int,
    request: RecommendationRequest,
    data: ServingData,
    seen: SeenProducts,
) -> tuple[list[Entry], int]:
    """Return the first `limit` entries that may be displayed now, and how many entries were examined."""
    catalogue, hidden = data.catalogue, set[int]()
    if data.rules.rules:
        placement_rules = data.rules.for_placement(request.placement, request.name)
        hidden = set(catalogue.ids[placement_rules.hidden].tolist()) if placement_rules.hides else hidden
    return seen.first_eligible(catalogue, entries, limit, request.novelty, hidden)


def _is_stored_request(request: RecommendationRequest, context: RequestContext) -> bool:
    """Return whether a stored list answers the request: a user's best products, with filters at most."""
    return (
        request.placement is Placement.FOR_YOU
        and not request.filters.attributes
        and not request.cart
        and request.diversity == 0.0
        and not request.explain
        and context.data.uses_stored_lists
    )


def _has_pins(request: RecommendationRequest, data: ServingData) -> bool:
    return bool(data.rules.rules and data.rules.for_placement(request.placement, request.name).pins)


def entries_for(request: RecommendationRequest, stored: StoredList) -> Sequence[Entry]:
    """Return the entries of the request's novelty; of a list for everybody there are no others."""
    is_for_user = request.placement is Placement.FOR_YOU
    return stored.new if is_for_user and request.novelty is Novelty.NEW else stored.entries


def rerank_stored(
    entries: Sequence[Entry],
    request: RecommendationRequest,
    data: ServingData,
    seen: SeenProducts,
    filtered: FilterResult | None,
) -> RerankedList:
    """Apply filters and the rules of the placement to a stored list, which else is returned as it is.

    Products that the page or the cart has are left out.
    """
    on_page = [*request.cart, *(request.on_page or ())]
    if request.placement not in ITEM_LISTS:  # a list of a product is without it
        on_page += request.products
    if filtered is not None or on_page:

        def passes(products: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
            outside = ~np.isin(products, on_page) if on_page else None
            if filtered is None:
                assert outside is not None
                return outside
            passing = filtered.passes(products)
            return passing if outside is None else passing & outside

        entries = select(entries, passes)
    if not data.rules.rules or data.rules.for_placement(request.placement, request.name).empty:
        return RerankedList(entries)
    eligible, _ = seen.first_eligible(data.catalogue, entries, max(1, len(entries)), request.novelty)
    mask = data.catalogue.shown if filtered is None else filtered.eligible
    for excluded in seen.excluded(data.catalogue, request.novelty).values():
        mask = mask & ~excluded
    if on_page or request.products:
        mask = mask & ~data.catalogue.mark([*on_page, *request.products])
    return rerank(data.rules, request, eligible, mask)


def if_long(response: RecommendationResponse) -> RecommendationResponse | None:
    """Return the response, unless a filter left too little of the stored list."""
    if response.eligible is None:
        return response
    length = len(response.entries) + len(response.rest)
    return response if length >= min(FILTERED_PAGES * response.request.limit, response.eligible) else None


def from_stored(
    stored: StoredList,
    request: RecommendationRequest,
    data: ServingData,
    seen: SeenProducts,
    filtered: FilterResult | None,
) -> RecommendationResponse:
    """Return the first page of a stored list.

    Parameters
    ----------
    filtered
        The products that pass; None without filters.
    """
    entries = entries_for(request, stored)
    entries = rerank_stored(entries, request, data, seen, filtered).entries
    model, version = stored.model or None, stored.version or None  # a list for everybody may have no model
    rest = Rest(entries, "stored", model, version, stored.generation, stored.made_at, 0)
    return next_page(rest, request, data, seen, filtered)


def _from_ranked(
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
        eligible=filtered.count,
    )
