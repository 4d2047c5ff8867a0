"""Lists that are drawn at random from the top of a ranked list, with the propensity of each place.

A share of the lists is drawn, by a hash of the request: the same request id gives the same list again, and
whether a list is drawn depends on nothing else. docs/adr/0023-drawn-lists.md has the reasons.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from prometheus_client import Counter

from models.ranking.plackett_luce import draw, log_chances, place_logits
from recsys.settings.exploration import ExplorationSettings
from recsys.web.metrics import REGISTRY
from serving.exploration.order import digest, placed
from serving.ranking.eligibility import SeenProducts
from serving.recommender.request import RecommendationRequest
from serving.recommender.response import RecommendationResponse
from serving.recommender.sources import first_eligible
from serving.state.serving_data import ServingData

__all__ = ["Explorer"]

_DRAWN = Counter("recsys_explored_answers", "Lists whose order was drawn at random.", registry=REGISTRY)
_UNIT = 2**64


class Explorer:
    """Draws a share of the lists. Lists with the parts of their scores are never drawn."""

    def __init__(self, settings: ExplorationSettings) -> None:
        self._settings = settings

    def draws(self, request: RecommendationRequest, request_id: str) -> bool:
        """Return whether the list of this request is drawn."""
        if request.explain:
            return False
        return int.from_bytes(digest("share", request, request_id)[:8]) < self._settings.share * _UNIT

    def drawn(
        self, response: RecommendationResponse, data: ServingData, seen: SeenProducts, request_id: str
    ) -> RecommendationResponse:
        """Return the list with its first page drawn; the other products follow in their order.

        Pinned products keep their places, with the propensity 1, and new products theirs, whose propensity is
        not known. Where a cap applies, the places of the page
        are exchanged among its own products, so that every page obeys it. A list with a minimum share is
        returned as it is: the share decides about its order.
        """
        request, settings = response.request, self._settings
        rules = data.rules.for_placement(request.placement, request.name) if data.rules.rules else None
        if rules is not None and rules.minimums:
            return response
        size = len(response.entries)
        missing = 0 if rules is not None and rules.caps else max(0, settings.depth - size)
        more, examined = first_eligible(response.rest, missing, request, data, seen) if missing else ([], 0)
        entries = [*response.entries, *more]
        pinned = set[int]() if rules is None else {row for _, rows in rules.pins for row in rows}
        new = response.new_products
        is_free = ~np.isin(data.catalogue.rows([entry.product for entry in entries]), list(pinned))
        is_free &= np.array([entry.product not in new for entry in entries], dtype=bool)
        free = np.flatnonzero(is_free)
        places = free[free < size]
        if places.size == 0 or free.size < 2:
            return response
        logits = place_logits(free.size, settings.temperature)
        generator = np.random.default_rng(int.from_bytes(digest("order", request, request_id)))
        order = draw(logits, places.size, generator)
        propensities: list[float | None] = [
            None if entry.product in new else 1.0 for entry in response.entries
        ]
        for place, chance in zip(places.tolist(), np.exp(log_chances(logits, order)).tolist(), strict=True):
            propensities[place] = chance
        _DRAWN.inc()
        left = np.setdiff1d(np.arange(free.size), order)
        others = [entries[index] for index in free[np.concatenate([order, left])].tolist()]
        fixed = {place: entries[place] for place in np.flatnonzero(~is_free).tolist()}
        reordered = placed(others, fixed)
        return replace(
            response,
            entries=reordered[:size],
            rest=[*reordered[size:], *response.rest[examined:]],
            propensities=propensities,
            candidates=[entries[index].product for index in free.tolist()],
        )
