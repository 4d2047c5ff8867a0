"""Places of a page that are reserved for new products, which no model knows enough about."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from prometheus_client import Counter

from recsys.domains.recommendations.reasons import Kind, ReasonCode
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT, Entry
from recsys.settings.exploration import ExplorationSettings
from recsys.web.metrics import REGISTRY
from serving.exploration.order import digest, placed
from serving.ranking.eligibility import SeenProducts
from serving.ranking.filters import CatalogueFilters, eligible_products
from serving.ranking.user_context import read_user_context
from serving.recommender.request import Placement
from serving.recommender.response import RecommendationResponse
from serving.state.serving_data import ServingData

__all__ = ["NewProductPlaces"]

_PLACEMENTS = (Placement.FOR_YOU, Placement.POPULAR)
_PLACED = Counter("recsys_new_product_places", "Places given to new products.", registry=REGISTRY)


class NewProductPlaces:
    """Gives a share of the places of a page to new products.

    Lists of `for_you` and `popular` only. Lists under a cap or a minimum share are returned as they are: a
    product that moves to the next page could break them there.
    """

    def __init__(self, settings: ExplorationSettings, filters: CatalogueFilters) -> None:
        self._share, self._filters = settings.new_product_share, filters

    def places(self, size: int) -> list[int]:
        """The places, from 0, of a page of `size` products: at most ⌊share · p⌋ of its first p places."""
        filled = [math.floor(self._share * place + 1e-9) for place in range(size + 1)]
        return [place for place in range(size) if filled[place + 1] > filled[place]]

    def wanted(self, response: RecommendationResponse, data: ServingData) -> bool:
        """Return whether the list may have such places."""
        request = response.request
        if not (self.places(len(response.entries)) and data.new_products.products.size):
            return False
        if request.placement not in _PLACEMENTS or request.explain:
            return False
        rules = data.rules.for_placement(request.placement, request.name)
        return not (rules.caps or rules.minimums)

    def filled(
        self, response: RecommendationResponse, data: ServingData, recent: SeenProducts, request_id: str
    ) -> RecommendationResponse:
        """Return the list with new products at these places; reads the user's history from PostgreSQL.

        A product that may not be displayed to the user is never chosen, and none is repeated. Pinned products
        keep their places.
        """
        request, new = response.request, data.new_products
        seen = read_user_context(request, data.model, recent).seen
        eligible = eligible_products(request, seen, data.rules, self._filters, wait=False).eligible
        rows = data.catalogue.rows(new.products)
        on_page = [entry.product for entry in response.entries]
        rules = data.rules.for_placement(request.placement, request.name)
        pinned = {row for _, rows_of_pin in rules.pins for row in rows_of_pin}
        candidates = (rows >= 0) & eligible[rows] & ~np.isin(new.products, on_page)
        candidates &= ~np.isin(rows, list(pinned))
        is_pinned = np.isin(data.catalogue.rows(on_page), list(pinned))
        places = [place for place in self.places(len(on_page)) if not is_pinned[place]]
        seed = int.from_bytes(digest("new products", request, request_id))
        chosen = new.choose(candidates, len(places), np.random.default_rng(seed))
        if not chosen:
            return response
        _PLACED.inc(len(chosen))
        products = {product for product, _ in chosen}
        fixed = {
            place: Entry(product, round(rate * SCORE_UNIT), Kind.POPULAR, ReasonCode.NEW_ARRIVAL, -1, True)
            for place, (product, rate) in zip(places, chosen, strict=False)
        }
        others = []
        for place, entry in enumerate([*response.entries, *response.rest]):
            if pinned and data.catalogue.row(entry.product) in pinned:
                fixed[place] = entry
            elif entry.product not in products:
                others.append(entry)
        listed, size = placed(others, fixed), len(response.entries)
        return replace(response, entries=listed[:size], rest=listed[size:], new_products=frozenset(products))
