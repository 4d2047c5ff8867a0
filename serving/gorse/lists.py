"""Lists of Gorse's API by the recommender: what a list is, and its form."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.stored_lists.codec import SCORE_UNIT
from recsys.errors import NotFound
from recsys.web.access.authentication import caller_without_key
from serving.gorse.ids import category_of, product_numbers, skus_of, user_numbers
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
    return (await run_in_threadpool(_numbers, user_numbers, [name])).get(name)


async def item_number(sku: str) -> int:
    """Return the number of an item. Raises NotFound."""
    number = (await run_in_threadpool(_numbers, product_numbers, [sku])).get(sku)
    if number is None:
        raise NotFound(f"No item has the id {sku!r}.")
    return number


async def session_items(skus: Collection[str]) -> tuple[int, ...]:
    """Return the numbers of those items that exist, in their order."""
    numbers = await run_in_threadpool(_numbers, product_numbers, skus)
    return tuple(dict.fromkeys(numbers[sku] for sku in skus if sku in numbers))


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
    response = await recommender.recommend(request)
    http.app.state.impressions.note(impression_of(response, http.scope["state"]["request_id"]))
    entries = response.entries[offset : offset + n]
    skus = await run_in_threadpool(_skus, [entry.product for entry in entries])
    return [(skus[entry.product], entry.score / SCORE_UNIT) for entry in entries if entry.product in skus]


def _numbers(read: Any, names: Collection[str]) -> dict[str, int]:
    with unit_of_work() as session:
        numbers: dict[str, int] = read(session, names)
    return numbers


def _filters(category: str) -> Filters:
    with unit_of_work() as session:
        number = category_of(session, category)
    return Filters(tags=(category,)) if number is None else Filters(categories=(number,))


def _skus(numbers: Collection[int]) -> dict[int, str]:
    with unit_of_work() as session:
        return skus_of(session, numbers)
