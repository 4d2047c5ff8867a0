"""How each placement ranks eligible products: by the model, an auxiliary model, or what everybody does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry, without_ties
from serving.ranking.attributes import Attributes
from serving.ranking.candidates import from_history, from_model, similar
from serving.ranking.co_purchase import CoPurchases
from serving.ranking.filters import FilterResult
from serving.ranking.popularity import CountryPopularity
from serving.ranking.trending import new_arrivals
from serving.ranking.user_context import UserContext
from serving.recommender.request import MAX_POOL, Placement, RecommendationRequest
from serving.state.active_model import LoadedModel
from serving.state.serving_data import ServingData

__all__ = ["Lookups", "Ranked", "Source", "rank"]

Source = Literal["stored", "live", "popular"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Lookups:
    """What strategies look up in PostgreSQL when a request needs it first, and keep for a while."""

    attributes: Attributes = field(default_factory=Attributes)
    co_purchases: CoPurchases = field(default_factory=CoPurchases)
    popular_by_country: CountryPopularity = field(default_factory=CountryPopularity)


@dataclass(frozen=True)
class Ranked:
    """Candidates, best first. model: the one that ranked them; None where no model had a part in it."""

    entries: list[Entry] = field(default_factory=list)
    model: LoadedModel | None = None

    @property
    def source(self) -> Source:
        """Where a list of these comes from."""
        return "popular" if self.model is None else "live"


@dataclass(frozen=True)
class _Input:
    data: ServingData
    lookups: Lookups
    request: RecommendationRequest
    user: UserContext
    eligible: Mask
    """bool, a row of the catalogue each."""
    k: int

    @property
    def eligible_ids(self) -> npt.NDArray[np.int64]:
        return self.data.catalogue.ids[self.eligible]

    def remaining(self, entries: Sequence[Entry]) -> Mask:
        """What is eligible and not among these."""
        return self.eligible & ~self.data.catalogue.mark([entry.product for entry in entries])


def rank(
    data: ServingData,
    lookups: Lookups,
    request: RecommendationRequest,
    user: UserContext,
    filtered: FilterResult,
) -> Ranked:
    """Up to `MAX_POOL` eligible products, best first, filled up with popular ones.

    `buy_again` is not filled: it holds nothing but what was bought, and is empty for who bought nothing.
    """
    k = min(MAX_POOL, int(filtered.eligible.sum()))
    if k == 0:
        return Ranked()
    given = _Input(data, lookups, request, user, filtered.eligible, k)
    ranked = _STRATEGIES[request.placement](given)
    if request.placement is Placement.BUY_AGAIN:
        return ranked
    filled = _filled(given, ranked)
    if request.placement is Placement.FOR_YOU:
        return Ranked(without_ties(filled.entries), filled.model)
    return filled


def _filled(given: _Input, ranked: Ranked) -> Ranked:
    data, seen = given.data, given.user.seen
    missing = given.k - len(ranked.entries)
    if missing <= 0:
        return ranked
    popular = data.popular.entries(data.catalogue, missing, given.remaining(ranked.entries))
    # the share of all people who take a product says less than the model: it never ranks above it
    ceiling = ranked.entries[-1].score if ranked.entries else SCORE_UNIT
    filling = [
        entry._replace(
            score=min(entry.score, ceiling),
            novel=entry.product not in seen.touched,
            bought=entry.product in seen.bought,
        )
        for entry in popular
    ]
    return Ranked([*ranked.entries, *filling], ranked.model)


def _for_you(given: _Input) -> Ranked:
    model, user, request = given.data.model, given.user, given.request
    if model is None:
        return Ranked()
    seen = user.seen
    if user.history is not None and user.history.products.size:
        entries = from_history(
            model,
            user.history,
            given.k,
            given.eligible_ids,
            seen.touched.__contains__,
            seen.bought.__contains__,
            request.novelty,
        )
    elif not user.complete and request.user is not None and model.model.knows(request.user):
        entries = from_model(model, request.user, given.k, given.eligible_ids, request.novelty)
    else:
        # PostgreSQL has no history of this user: what the model remembers of them is not used either
        return Ranked()
    entries = given.data.cold_start.among(entries, given.data.catalogue, given.eligible)[: given.k]
    return Ranked([_with_chosen_category(given, entry) for entry in entries], model if entries else None)


def _with_chosen_category(given: _Input, entry: Entry) -> Entry:
    """Without evidence in the history, a category that the user chose is the reason."""
    preferred = given.user.preferred_categories
    if entry.evidence >= 0 or not preferred:
        return entry
    catalogue = given.data.catalogue
    category = int(catalogue.category[catalogue.row(entry.product)])
    visited: set[int] = set()
    while category >= 0 and category not in visited:
        if category in preferred:
            return entry._replace(reason=ReasonCode.CHOSEN_CATEGORY)
        visited.add(category)
        category = catalogue.parents.get(category) or -1
    return entry


def _similar(given: _Input) -> Ranked:
    return _like(given, given.request.products, ReasonCode.SIMILAR_TO)


def _like(given: _Input, products: Sequence[int], reason: ReasonCode) -> Ranked:
    """By the first model that knows the products, the one made for it first; then by their category."""
    data = given.data
    serving = [] if data.model is None else [data.model]
    models = [*data.auxiliary.of("similar_items"), *serving, *data.auxiliary.of("item_knn", "content")]
    ranked = _like_by_models(models, products, given, reason)
    if ranked.model is None and (stand_ins := data.cold_start.stood_in_for(products)):
        by_stand_ins = _like_by_models(models, stand_ins, given, reason)
        entries = [entry._replace(evidence=products[0]) for entry in by_stand_ins.entries]
        ranked = Ranked(entries, by_stand_ins.model)
    catalogue = data.catalogue
    rows = catalogue.rows(list(products))
    categories = set(catalogue.category[rows[rows >= 0]].tolist()) - {-1}
    same_category = given.remaining(ranked.entries) & np.isin(catalogue.category, sorted(categories))
    ceiling = ranked.entries[-1].score if ranked.entries else SCORE_UNIT
    popular = data.popular.entries(catalogue, given.k - len(ranked.entries), same_category)
    filling = [entry._replace(score=min(entry.score, ceiling)) for entry in popular]
    return Ranked([*ranked.entries, *filling], ranked.model)


def _like_by_models(
    models: Sequence[LoadedModel], products: Sequence[int], given: _Input, reason: ReasonCode
) -> Ranked:
    for model in models:
        seeds = [product for product in products if product in model.model.items_]
        if seeds and (entries := similar(model, seeds, given.k, given.eligible_ids, reason)):
            return Ranked(entries, model)
    return Ranked()


def _bought_together(given: _Input) -> Ranked:
    seeds = [*given.request.products, *given.request.cart]
    if not seeds:
        return _with_last_bought(given)
    for model in given.data.auxiliary.of("complements", "bought_together"):
        if entries := similar(model, seeds, given.k, given.eligible_ids, ReasonCode.BOUGHT_TOGETHER):
            return Ranked(entries, model)
    counted = given.lookups.co_purchases.entries(given.data.catalogue, seeds, given.k, given.eligible)
    return Ranked(counted) if counted else _like(given, seeds, ReasonCode.SIMILAR_TO)


def _with_last_bought(given: _Input) -> Ranked:
    """Without a product to start from: what goes with what was bought last."""
    history = given.user.history
    if history is None or history.products.size == 0:
        return Ranked()
    bought = given.user.seen.bought
    last = [product for product in history.products[::-1].tolist() if product in bought]
    if not last:
        return _for_you(given)
    return _like(given, list(dict.fromkeys(last))[:5], ReasonCode.BECAUSE_BOUGHT)


def _buy_again(given: _Input) -> Ranked:
    """What was bought, by a model of repeat purchases where one is registered; else by frequency with decay.

    Personal frequency with time decay is what next-basket models rarely beat (Hu et al. 2020, "Modeling
    personalized item frequency information for next-basket recommendation", SIGIR, section 5.3).
    """
    history, bought = given.user.history, given.user.seen.bought
    if history is None or not bought:
        return Ranked()
    bought_ids = np.intersect1d(given.eligible_ids, np.fromiter(bought, dtype=np.int64))
    touched = given.user.seen.touched.__contains__
    for model in given.data.auxiliary.of("buy_again"):
        if entries := from_history(model, history, given.k, bought_ids, touched, bought.__contains__):
            return Ranked(entries, model)
    catalogue = given.data.catalogue
    products, place = np.unique(history.products, return_inverse=True)
    weight = np.bincount(place, weights=np.maximum(history.weights, 0.0))
    rows = catalogue.rows(products)
    fits = (rows >= 0) & np.isin(products, list(bought)) & (weight > 0)
    fits[fits] &= given.eligible[rows[fits]]
    order = np.flatnonzero(fits)[np.argsort(-weight[fits], kind="stable")][: given.k]
    units = np.rint(weight[order] / (weight[order].max(initial=0.0) + 1.0) * SCORE_UNIT).astype(np.int64)
    return Ranked(
        [
            Entry(product, score, Kind.COLLABORATIVE, ReasonCode.BOUGHT_BEFORE, product, False, True)
            for product, score in zip(products[order].tolist(), units.tolist(), strict=True)
        ]
    )


def _because_you_viewed(given: _Input) -> Ranked:
    """More like what was viewed last, or, where that is nothing, like what was bought last."""
    history, seen = given.user.history, given.user.seen
    if history is None or history.products.size == 0:
        return Ranked()
    newest = [product for product in history.products[::-1].tolist() if product not in seen.dismissed]
    viewed = [product for product in newest if product not in seen.bought]
    for product in (viewed or newest)[:3]:
        reason = ReasonCode.BECAUSE_BOUGHT if product in seen.bought else ReasonCode.BECAUSE_VIEWED
        ranked = _like(given, [product], reason)
        if ranked.model is not None:
            return ranked
    return _for_you(given)


def _popular(given: _Input) -> Ranked:
    data, country = given.data, given.request.country
    if country is None:
        return Ranked(data.popular.entries(data.catalogue, given.k, given.eligible))
    popular = given.lookups.popular_by_country.of(country)
    sold = np.isin(data.catalogue.ids, popular.products)
    return Ranked(popular.entries(data.catalogue, given.k, given.eligible & sold))


def _trending(given: _Input) -> Ranked:
    catalogue, trending = given.data.catalogue, given.data.trending
    rising = np.isin(catalogue.ids, trending.products)
    return Ranked(trending.entries(catalogue, given.k, given.eligible & rising))


def _new_arrivals(given: _Input) -> Ranked:
    return Ranked(new_arrivals(given.data.catalogue, given.k, given.eligible))


_STRATEGIES: dict[Placement, Callable[[_Input], Ranked]] = {
    Placement.FOR_YOU: _for_you,
    Placement.SIMILAR: _similar,
    Placement.BOUGHT_TOGETHER: _bought_together,
    Placement.BUY_AGAIN: _buy_again,
    Placement.POPULAR: _popular,
    Placement.TRENDING: _trending,
    Placement.NEW_ARRIVALS: _new_arrivals,
    Placement.BECAUSE_YOU_VIEWED: _because_you_viewed,
}
