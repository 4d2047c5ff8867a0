"""How each shelf ranks what qualifies: by the model, by a companion of it, or by what everybody does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry, without_ties
from serving.ranking.candidates import from_history, from_model, similar
from serving.ranking.filters import FilterResult
from serving.ranking.trending import new_arrivals
from serving.ranking.user_context import UserContext
from serving.recommender.request import MAX_POOL, Placement, RecommendationRequest
from serving.state.active_model import LoadedModel
from serving.state.serving_state import State

__all__ = ["Ranked", "Source", "rank"]

Source = Literal["stored", "live", "popular"]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ranked:
    """Candidates, best first, and whose work they are. `by`: None where no model had a part in it."""

    entries: list[Entry] = field(default_factory=list)
    by: LoadedModel | None = None

    @property
    def source(self) -> Source:
        return "popular" if self.by is None else "live"


@dataclass(frozen=True)
class _Asked:
    state: State
    wish: RecommendationRequest
    past: UserContext
    allowed: Mask
    """bool, a row of the catalogue each."""
    k: int

    @property
    def only(self) -> npt.NDArray[np.int64]:
        return self.state.catalogue.current.ids[self.allowed]

    def but(self, entries: Sequence[Entry]) -> Mask:
        """What qualifies and is not among these."""
        return _without(self.state, self.allowed, [one.product for one in entries])


def rank(state: State, wish: RecommendationRequest, past: UserContext, qualified: FilterResult) -> Ranked:
    """Up to `MAX_POOL` eligible products, best first, filled up with popular ones where that is honest.

    What was bought before is the only thing to buy again: that shelf is filled with nothing else, and empty
    for a visitor who bought nothing.
    """
    allowed = _without(state, qualified.allowed, [*wish.cart, *wish.products])
    asked = _Asked(state, wish, past, allowed, min(MAX_POOL, int(allowed.sum())))
    if asked.k == 0:
        return Ranked()
    found = _SHELVES[wish.shelf](asked)
    if wish.shelf is Placement.FOR_YOU:
        filled = _filled(asked, found)
        return Ranked(without_ties(filled.entries), filled.by)
    if wish.shelf is Placement.BUY_AGAIN:
        return found
    return _filled(asked, found)


def _filled(asked: _Asked, found: Ranked) -> Ranked:
    state, past = asked.state, asked.past
    missing = asked.k - len(found.entries)
    if missing <= 0:
        return found
    more = state.popular.entries(state.catalogue.current, missing, asked.but(found.entries))
    # the chance that just anybody takes a product says less than the model: it never ranks above it
    ceiling = found.entries[-1].score if found.entries else SCORE_UNIT
    touched, bought = past.visitor.touched, past.visitor.bought
    filled = [
        one._replace(
            score=min(one.score, ceiling), novel=one.product not in touched, bought=one.product in bought
        )
        for one in more
    ]
    return Ranked([*found.entries, *filled], found.by)


def _for_you(asked: _Asked) -> Ranked:
    loaded, past, wish = asked.state.model.current, asked.past, asked.wish
    if loaded is None:
        return Ranked()
    only, visitor = asked.only, past.visitor
    if past.history is not None and past.history.products.size:
        touched, bought = visitor.touched.__contains__, visitor.bought.__contains__
        entries = from_history(loaded, past.history, asked.k, only, touched, bought, wish.novelty)
    elif not past.complete and wish.user is not None and loaded.model.knows(wish.user):
        entries = from_model(loaded, wish.user, asked.k, only, wish.novelty)
    else:
        # who has no past by PostgreSQL's word is told nothing from the model's memory of them
        return Ranked()
    entries = asked.state.arrivals().among(entries, asked.state.catalogue.current, asked.allowed)
    return Ranked([_chosen(asked, one) for one in entries[: asked.k]], loaded if entries else None)


def _chosen(asked: _Asked, entry: Entry) -> Entry:
    """With nothing in the past that speaks for it, a category that the user chose does."""
    if entry.evidence >= 0 or not asked.past.chosen:
        return entry
    catalogue = asked.state.catalogue.current
    category = int(catalogue.category[catalogue.row(entry.product)])
    seen: set[int] = set()
    while category >= 0 and category not in seen:
        if category in asked.past.chosen:
            return entry._replace(reason=ReasonCode.CHOSEN_CATEGORY)
        seen.add(category)
        category = catalogue.parents.get(category) or -1
    return entry


def _similar(asked: _Asked) -> Ranked:
    return _like(asked, asked.wish.products, ReasonCode.SIMILAR_TO)


def _like(asked: _Asked, products: Sequence[int], reason: ReasonCode) -> Ranked:
    """By the first model that knows the products, the one made for it first; then by their category."""
    state, only = asked.state, asked.only
    serving = [] if state.model.current is None else [state.model.current]
    models = [
        *state.companions.of("similar_items"),
        *serving,
        *state.companions.of("item_knn", "content"),
    ]
    found, by = list[Entry](), None
    for loaded in models:
        known = [one for one in products if one in loaded.model.items_]
        if known and (found := similar(loaded, known, asked.k, only, reason)):
            by = loaded
            break
    if by is None and (known := state.arrivals().stood_in_for(products)):
        for loaded in models:
            if found := similar(loaded, known, asked.k, only, reason):
                by = loaded
                found = [one._replace(evidence=products[0]) for one in found]
                break
    catalogue = state.catalogue.current
    rows = catalogue.rows(list(products))
    categories = set(catalogue.category[rows[rows >= 0]].tolist()) - {-1}
    mask = asked.but(found) & np.isin(catalogue.category, sorted(categories))
    ceiling = found[-1].score if found else SCORE_UNIT
    more = state.popular.entries(catalogue, asked.k - len(found), mask)
    return Ranked([*found, *(one._replace(score=min(one.score, ceiling)) for one in more)], by)


def _bought_together(asked: _Asked) -> Ranked:
    seeds = [*asked.wish.products, *asked.wish.cart]
    if not seeds:
        return _buyers_history(asked)
    for loaded in asked.state.companions.of("complements", "bought_together"):
        if found := similar(loaded, seeds, asked.k, asked.only, ReasonCode.BOUGHT_TOGETHER):
            return Ranked(found, loaded)
    found = asked.state.baskets.entries(asked.state.catalogue.current, seeds, asked.k, asked.allowed)
    if found:
        return Ranked(found)
    return _like(asked, seeds, ReasonCode.SIMILAR_TO)


def _buyers_history(asked: _Asked) -> Ranked:
    """Without a product to start from: what goes with what was bought last."""
    history = asked.past.history
    if history is None or history.products.size == 0:
        return Ranked()
    last = [product for product in history.products[::-1].tolist() if product in asked.past.visitor.bought]
    return _like(asked, list(dict.fromkeys(last))[:5], ReasonCode.BECAUSE_BOUGHT) if last else _for_you(asked)


def _buy_again(asked: _Asked) -> Ranked:
    """What was bought, by a model of habits where one is registered; else by how often and how lately.

    Without a model each event fades as everywhere:
    The personal frequency that next-basket models rarely beat (Hu et al. 2020, "Modeling personalized item
    frequency information for next-basket recommendation", SIGIR, section 5.3).
    """
    history, bought = asked.past.history, asked.past.visitor.bought
    if history is None or not bought:
        return Ranked()
    only = np.intersect1d(asked.only, np.fromiter(bought, dtype=np.int64))
    touched = asked.past.visitor.touched.__contains__
    for loaded in asked.state.companions.of("buy_again"):
        if found := from_history(loaded, history, asked.k, only, touched, bought.__contains__):
            return Ranked(found, loaded)
    catalogue = asked.state.catalogue.current
    products, place = np.unique(history.products, return_inverse=True)
    weight = np.bincount(place, weights=np.maximum(history.weights, 0.0))
    rows = catalogue.rows(products)
    fits = (rows >= 0) & np.isin(products, list(bought)) & (weight > 0)
    fits[fits] &= asked.allowed[rows[fits]]
    order = np.flatnonzero(fits)[np.argsort(-weight[fits], kind="stable")][: asked.k]
    units = np.rint(weight[order] / (weight[order].max(initial=0.0) + 1.0) * SCORE_UNIT).astype(np.int64)
    return Ranked(
        [
            Entry(product, score, Kind.COLLABORATIVE, ReasonCode.BOUGHT_BEFORE, product, False, True)
            for product, score in zip(products[order].tolist(), units.tolist(), strict=True)
        ]
    )


def _because_you_viewed(asked: _Asked) -> Ranked:
    """More like what was looked at last, or, where that is nothing, like what was bought last."""
    history, bought = asked.past.history, asked.past.visitor.bought
    if history is None or history.products.size == 0:
        return Ranked()
    newest = [one for one in history.products[::-1].tolist() if one not in asked.past.visitor.dismissed]
    viewed = [one for one in newest if one not in bought]
    for product in (viewed or newest)[:3]:
        reason = ReasonCode.BECAUSE_BOUGHT if product in bought else ReasonCode.BECAUSE_VIEWED
        found = _like(asked, [product], reason)
        if found.by is not None:
            return found
    return _for_you(asked)


def _popular(asked: _Asked) -> Ranked:
    state, catalogue = asked.state, asked.state.catalogue.current
    if asked.wish.country is None:
        return Ranked(state.popular.entries(catalogue, asked.k, asked.allowed))
    of_country = state.popular_in(asked.wish.country)
    sold = np.isin(catalogue.ids, of_country.products)
    return Ranked(of_country.entries(catalogue, asked.k, asked.allowed & sold))


def _trending(asked: _Asked) -> Ranked:
    catalogue = asked.state.catalogue.current
    rising = np.isin(catalogue.ids, asked.state.trends.products)
    return Ranked(asked.state.trends.entries(catalogue, asked.k, asked.allowed & rising))


def _new_arrivals(asked: _Asked) -> Ranked:
    return Ranked(new_arrivals(asked.state.catalogue.current, asked.k, asked.allowed))


_SHELVES: dict[Placement, Callable[[_Asked], Ranked]] = {
    Placement.FOR_YOU: _for_you,
    Placement.SIMILAR: _similar,
    Placement.BOUGHT_TOGETHER: _bought_together,
    Placement.BUY_AGAIN: _buy_again,
    Placement.POPULAR: _popular,
    Placement.TRENDING: _trending,
    Placement.NEW_ARRIVALS: _new_arrivals,
    Placement.BECAUSE_YOU_VIEWED: _because_you_viewed,
}


def _without(state: State, allowed: Mask, products: Sequence[int]) -> Mask:
    return allowed & ~state.catalogue.current.mark(products) if products else allowed
