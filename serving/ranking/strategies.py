"""The strategy of each placement: ranks eligible products by the model, an auxiliary model or popularity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry, without_ties
from serving.ranking.candidates import Neighbours, from_history, from_model, similar
from serving.ranking.co_purchase import CoPurchases
from serving.ranking.filters import CatalogueFilters, FilterResult
from serving.ranking.popularity import CountryPopularity
from serving.ranking.trending import new_arrivals
from serving.ranking.user_context import UserContext
from serving.recommender.request import MAX_POOL, Placement, RecommendationRequest
from serving.state.active_model import LoadedModel
from serving.state.serving_data import ServingData

__all__ = ["Lookups", "Ranked", "Source", "item_list_models", "rank"]

Source = Literal["stored", "live", "popular"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lookups:
    """What strategies read from PostgreSQL when a request first needs it, and cache.

    `neighbours` are ranked ahead by who makes many lists; there are none for requests.
    """

    filters: CatalogueFilters = field(default_factory=CatalogueFilters)
    co_purchases: CoPurchases = field(default_factory=CoPurchases)
    popular_by_country: CountryPopularity = field(default_factory=CountryPopularity)
    neighbours: Neighbours = field(default_factory=Neighbours)


@dataclass(frozen=True)
class Ranked:
    """Ranked entries, best first.

    Attributes
    ----------
    model
        The model that ranked them; None where no model was used.
    """

    entries: Sequence[Entry] = ()
    model: LoadedModel | None = None

    @property
    def source(self) -> Source:
        """The source that the response names."""
        return "popular" if self.model is None else "live"


@dataclass(frozen=True)
class _StrategyInput:
    data: ServingData
    lookups: Lookups
    request: RecommendationRequest
    user: UserContext
    eligible: Mask
    """bool (catalogue rows,)."""
    k: int
    """Products that a model ranks at most."""
    length: int
    """Products of the list, completed with popular ones."""

    @property
    def eligible_ids(self) -> npt.NDArray[np.int64]:
        return self.data.catalogue.ids[self.eligible]

    def similar(self, model: LoadedModel, products: Sequence[int], reason: ReasonCode) -> list[Entry]:
        """Return the eligible products that are most similar to `products`."""
        return similar(model, products, self.k, self.eligible_ids, reason, self.lookups.neighbours)

    def remaining(self, entries: Sequence[Entry]) -> Mask:
        """Return the eligible products that are not among these entries."""
        return self.eligible & ~self.data.catalogue.mark([entry.product for entry in entries])


def rank(
    data: ServingData,
    lookups: Lookups,
    request: RecommendationRequest,
    user: UserContext,
    filtered: FilterResult,
    pool: int = MAX_POOL,
    length: int | None = None,
) -> Ranked:
    """Rank up to `pool` eligible products, best first, completed with popular products.

    `buy_again` is not completed: it has bought products only, and is empty for a user without purchases.

    Parameters
    ----------
    filtered
        The eligible products.
    length
        The first so many products alone are wanted, as they are in the longer list; None: all.
    """
    k = min(pool, filtered.count)
    if k == 0:
        return Ranked()
    size = k if length is None else min(k, length)
    inputs = _StrategyInput(data, lookups, request, user, filtered.eligible, k, size)
    ranked = _STRATEGIES[request.placement](inputs)
    ranked = Ranked(ranked.entries[:size], ranked.model)
    if request.placement is Placement.BUY_AGAIN:
        return ranked
    completed = _fill_with_popular(inputs, ranked)
    if request.placement is Placement.FOR_YOU:
        return Ranked(without_ties(completed.entries), completed.model)
    return completed


def _fill_with_popular(inputs: _StrategyInput, ranked: Ranked) -> Ranked:
    data, seen = inputs.data, inputs.user.seen
    missing = inputs.length - len(ranked.entries)
    if missing <= 0:
        return ranked
    # popularity is weaker evidence than the model: popular products never rank above the model's
    ceiling = ranked.entries[-1].score if ranked.entries else SCORE_UNIT
    filling = data.popular.entries(data.catalogue, missing, inputs.remaining(ranked.entries), ceiling=ceiling)
    if seen.touched or seen.bought:
        filling = [
            entry._replace(novel=entry.product not in seen.touched, bought=entry.product in seen.bought)
            for entry in filling
        ]
    return Ranked([*ranked.entries, *filling], ranked.model)


def _for_you(inputs: _StrategyInput) -> Ranked:
    model, user, request = inputs.data.model, inputs.user, inputs.request
    if model is None:
        return Ranked()
    seen = user.seen
    if user.history is not None and user.history.products.size:
        entries = from_history(
            model,
            user.history,
            inputs.k,
            inputs.eligible_ids,
            seen.touched.__contains__,
            seen.bought.__contains__,
            request.novelty,
        )
    elif not user.complete and request.user is not None and model.model.knows(request.user):
        entries = from_model(model, request.user, inputs.k, inputs.eligible_ids, request.novelty)
    else:
        # PostgreSQL has no history of this user: that of the training data is not used either
        return Ranked()
    cold_start = inputs.data.cold_start
    if cold_start.new_by_known:
        entries = cold_start.merge(entries, inputs.data.catalogue, inputs.eligible)[: inputs.k]
    return Ranked([_with_chosen_category(inputs, entry) for entry in entries], model if entries else None)


def _with_chosen_category(inputs: _StrategyInput, entry: Entry) -> Entry:
    """Give an entry without evidence in the history the user's preferred category as its reason."""
    preferred = inputs.user.preferred_categories
    if entry.evidence >= 0 or not preferred:
        return entry
    catalogue = inputs.data.catalogue
    category = int(catalogue.category[catalogue.row(entry.product)])
    visited: set[int] = set()
    while category >= 0 and category not in visited:
        if category in preferred:
            return entry._replace(reason=ReasonCode.CHOSEN_CATEGORY)
        visited.add(category)
        category = catalogue.parents.get(category) or -1
    return entry


def _similar(inputs: _StrategyInput) -> Ranked:
    return _similar_to(inputs, inputs.request.products, ReasonCode.SIMILAR_TO)


def item_list_models(data: ServingData, placement: Placement) -> list[LoadedModel]:
    """Return the models of the lists of a product, in the order in which they are asked."""
    if placement is Placement.BOUGHT_TOGETHER:
        return list(data.auxiliary.of("complements", "bought_together"))
    serving = [] if data.model is None else [data.model]
    return [*data.auxiliary.of("similar_items"), *serving, *data.auxiliary.of("item_knn", "content")]


def _similar_to(inputs: _StrategyInput, products: Sequence[int], reason: ReasonCode) -> Ranked:
    """Rank by the first model that knows the products, that for similar items first; then by category."""
    data = inputs.data
    models = item_list_models(data, Placement.SIMILAR)
    ranked = _similar_by_models(models, products, inputs, reason)
    if ranked.model is None and (stand_ins := data.cold_start.stand_ins_of(products)):
        by_stand_ins = _similar_by_models(models, stand_ins, inputs, reason)
        entries = [entry._replace(evidence=products[0]) for entry in by_stand_ins.entries]
        ranked = Ranked(entries, by_stand_ins.model)
    missing = inputs.length - len(ranked.entries)
    if missing <= 0:
        return ranked
    catalogue = data.catalogue
    rows = catalogue.rows(list(products))
    categories = set(catalogue.category[rows[rows >= 0]].tolist()) - {-1}
    same_category = inputs.remaining(ranked.entries) & np.isin(catalogue.category, sorted(categories))
    ceiling = ranked.entries[-1].score if ranked.entries else SCORE_UNIT
    filling = data.popular.entries(catalogue, missing, same_category, ceiling=ceiling)
    return Ranked([*ranked.entries, *filling], ranked.model)


def _similar_by_models(
    models: Sequence[LoadedModel], products: Sequence[int], inputs: _StrategyInput, reason: ReasonCode
) -> Ranked:
    for model in models:
        seeds = [product for product in products if product in model.model.items_]
        if seeds and (entries := inputs.similar(model, seeds, reason)):
            return Ranked(entries, model)
    return Ranked()


def _bought_together(inputs: _StrategyInput) -> Ranked:
    seeds = [*inputs.request.products, *inputs.request.cart]
    if not seeds:
        return _similar_to_last_bought(inputs)
    for model in item_list_models(inputs.data, Placement.BOUGHT_TOGETHER):
        if entries := inputs.similar(model, seeds, ReasonCode.BOUGHT_TOGETHER):
            return Ranked(entries, model)
    co_purchased = inputs.lookups.co_purchases.entries(
        inputs.data.catalogue, seeds, inputs.k, inputs.eligible
    )
    return Ranked(co_purchased) if co_purchased else _similar_to(inputs, seeds, ReasonCode.SIMILAR_TO)


def _similar_to_last_bought(inputs: _StrategyInput) -> Ranked:
    """Rank products similar to the last bought ones, for a request without seeds."""
    history = inputs.user.history
    if history is None or history.products.size == 0:
        return Ranked()
    bought = inputs.user.seen.bought
    last_bought = [product for product in history.products[::-1].tolist() if product in bought]
    if not last_bought:
        return _for_you(inputs)
    return _similar_to(inputs, list(dict.fromkeys(last_bought))[:5], ReasonCode.BECAUSE_BOUGHT)


def _buy_again(inputs: _StrategyInput) -> Ranked:
    """Rank bought products by a model of repeat purchases, if registered; else by frequency with decay.

    Personal frequency with time decay is what next-basket models rarely beat (Hu et al. 2020, "Modeling
    personalized item frequency information for next-basket recommendation", SIGIR, section 5.3).
    """
    history, bought = inputs.user.history, inputs.user.seen.bought
    if history is None or not bought:
        return Ranked()
    # without the promise that no id comes twice, numpy hashes those of the whole catalogue: 11 ms of 92,000
    bought_ids = np.intersect1d(inputs.eligible_ids, np.fromiter(bought, dtype=np.int64), assume_unique=True)
    touched = inputs.user.seen.touched.__contains__
    for model in inputs.data.auxiliary.of("buy_again"):
        if entries := from_history(model, history, inputs.k, bought_ids, touched, bought.__contains__):
            return Ranked(entries, model)
    catalogue = inputs.data.catalogue
    products, group = np.unique(history.products, return_inverse=True)
    weight = np.bincount(group, weights=np.maximum(history.weights, 0.0))
    rows = catalogue.rows(products)
    is_candidate = (rows >= 0) & np.isin(products, list(bought)) & (weight > 0)
    is_candidate[is_candidate] &= inputs.eligible[rows[is_candidate]]
    order = np.flatnonzero(is_candidate)[np.argsort(-weight[is_candidate], kind="stable")][: inputs.k]
    units = np.rint(weight[order] / (weight[order].max(initial=0.0) + 1.0) * SCORE_UNIT).astype(np.int64)
    return Ranked(
        [
            Entry(product, score, Kind.COLLABORATIVE, ReasonCode.BOUGHT_BEFORE, product, False, True)
            for product, score in zip(products[order].tolist(), units.tolist(), strict=True)
        ]
    )


def _because_you_viewed(inputs: _StrategyInput) -> Ranked:
    """Rank products similar to the last viewed one; without views, to the last bought one."""
    history, seen = inputs.user.history, inputs.user.seen
    if history is None or history.products.size == 0:
        return Ranked()
    newest = [product for product in history.products[::-1].tolist() if product not in seen.dismissed]
    viewed = [product for product in newest if product not in seen.bought]
    for product in (viewed or newest)[:3]:
        reason = ReasonCode.BECAUSE_BOUGHT if product in seen.bought else ReasonCode.BECAUSE_VIEWED
        ranked = _similar_to(inputs, [product], reason)
        if ranked.model is not None:
            return ranked
    return _for_you(inputs)


def _popular(inputs: _StrategyInput) -> Ranked:
    data, country = inputs.data, inputs.request.country
    if country is None:
        return Ranked(data.popular.entries(data.catalogue, inputs.k, inputs.eligible))
    popular = inputs.lookups.popular_by_country.of(country)
    is_popular = np.isin(data.catalogue.ids, popular.products)
    return Ranked(popular.entries(data.catalogue, inputs.k, inputs.eligible & is_popular))


def _trending(inputs: _StrategyInput) -> Ranked:
    catalogue, trending = inputs.data.catalogue, inputs.data.trending
    is_trending = np.isin(catalogue.ids, trending.products)
    return Ranked(trending.entries(catalogue, inputs.k, inputs.eligible & is_trending))


def _new_arrivals(inputs: _StrategyInput) -> Ranked:
    return Ranked(new_arrivals(inputs.data.catalogue, inputs.k, inputs.eligible))


_STRATEGIES: dict[Placement, Callable[[_StrategyInput], Ranked]] = {
    Placement.FOR_YOU: _for_you,
    Placement.SIMILAR: _similar,
    Placement.BOUGHT_TOGETHER: _bought_together,
    Placement.BUY_AGAIN: _buy_again,
    Placement.POPULAR: _popular,
    Placement.TRENDING: _trending,
    Placement.NEW_ARRIVALS: _new_arrivals,
    Placement.BECAUSE_YOU_VIEWED: _because_you_viewed,
}
