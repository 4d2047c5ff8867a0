"""Lists of Gorse's API by the recommender: what a list is, and its form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT
from recsys.errors import NotFound
from recsys.own_ids.resolver import RESOLVER, Resolution
from recsys.own_ids.scheme import IdKind, OwnId
from recsys.web.access.authentication import caller_without_key
from serving.gorse.ids import category_of
from serving.recommender.recommender import Recommender
from serving.recommender.request import MAX_POOL, Filters, Placement, RecommendationRequest
from serving.recommender.response import impression_of

__all__ = [
    "NON_PERSONALIZED",
    "SIMILAR",
    "item_number",
    "placement_named",
    "ranked",
    "session_items",
    "user_number",
]

NON_PERSONALIZED = {
    "popular": Placement.POPULAR,
    "trending": Placement.TRENDING,
    "latest": Placement.NEW_ARRIVALS,
}
SIMILAR = {
    "neighbors": Placement.SIMILAR,
    "similar": Placement.SIMILAR,
    "bought_together": Placement.BOUGHT_TOGETHER,
}


def placement_named(name: str, placements: dict[str, Placement]) -> Placement:
    """Return the placement of a recommender's name. Raises NotFound."""
    if name not in placements:
        raise NotFound(f"No recommender has this name; there are {', '.join(placements)}.")
    return placements[name]


async def user_number(name: str) -> int | None:
    """Return the number of a user; None for a user that does not exist, who gets popular products."""
    own_id = OwnId("username", name)
    return (await _numbers([own_id])).get((IdKind.USER, own_id))


async def item_number(sku: str) -> int:
    """Return the number of an item. Raises NotFound."""
    own_id = OwnId("sku", sku)
    number = (await _numbers([own_id])).get((IdKind.PRODUCT, own_id))
    if number is None:
        raise NotFound(f"No item has the id {sku!r}.")
    return number


async def session_items(skus: Collection[str]) -> tuple[int, ...]:
    """Return the numbers of those items that exist, in their order."""
    own_ids = [OwnId("sku", sku) for sku in skus]
    found = await _numbers(own_ids)
    numbers = (found.get((IdKind.PRODUCT, own_id)) for own_id in own_ids)
    return tuple(dict.fromkeys(number for number in numbers if number is not None))


async def ranked(
    http: Request, request: RecommendationRequest, *, category: str | None, n: int, offset: int
) -> list[tuple[str, float]]:
    """Return SKUs with their scores, by the one path of all lists.

    Parameters
    ----------
    category
        Only products in it and below it; a name that no category has is a label.
    n, offset
        The part of the list; it ends at 300 products.
    """
    recommender: Recommender = http.app.state.recommender
    filters = request.filters if category is None else await run_in_threadpool(_filters, category)
    limit = min(n + offset, MAX_POOL)
    request = replace(request, filters=filters, limit=limit, caller=caller_without_key(http.scope))
    request_id = http.scope["state"]["request_id"]
    response = await recommender.recommend(request, request_id=request_id)
    http.app.state.impressions.note(impression_of(response, request_id))
    entries = response.entries[offset : offset + n]
    label_of = recommender.data.catalogue.label
    scored = [(label_of(entry.product)[1], entry.score / SCORE_UNIT) for entry in entries]
    # a product without a SKU is no item of Gorse's
    return [(sku, score) for sku, score in scored if sku is not None]


async def _numbers(own_ids: Collection[OwnId]) -> Resolution:
    cached = RESOLVER.cached(own_ids)
    return await run_in_threadpool(RESOLVER.look_up, own_ids) if cached is None else cached


def _filters(category: str) -> Filters:
    with unit_of_work() as session:
        number = category_of(session, category)
    return Filters(tags=(category,)) if number is None else Filters(categories=(number,))
