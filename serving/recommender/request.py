"""The request for one list: placement, user and filters."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from serving.ranking.eligibility import Novelty

__all__ = ["ITEM_LISTS", "MAX_POOL", "NO_FILTERS", "Filters", "Placement", "RecommendationRequest"]

MAX_POOL = 300
"""Products that are ranked for one request at most: pages end there."""


class Placement(StrEnum):
    """The kinds of lists; `serving.ranking.strategies` has the strategy of each."""

    FOR_YOU = "for_you"
    SIMILAR = "similar"
    BOUGHT_TOGETHER = "bought_together"
    BUY_AGAIN = "buy_again"
    POPULAR = "popular"
    TRENDING = "trending"
    NEW_ARRIVALS = "new_arrivals"
    BECAUSE_YOU_VIEWED = "because_you_viewed"


ITEM_LISTS = (Placement.SIMILAR, Placement.BOUGHT_TOGETHER)
"""Placements whose lists are of the products of the page."""


@dataclass(frozen=True)
class Filters:
    """Conditions that an eligible product must all fulfil.

    Attributes
    ----------
    categories
        Any of them, each with all below it.
    brands
        Any of them.
    min_price, max_price
        In the shop's currency, both included.
    tags
        All of them.
    in_stock
        True: in stock now; otherwise: everything on sale.
    created_since
        Seconds since 1970: arrived in the shop then or later.
    exclude
        Product ids that must not appear.
    attributes
        (name, value) pairs, all of them; see `serving.ranking.attributes`.
    """

    categories: tuple[int, ...] = ()
    brands: tuple[int, ...] = ()
    min_price: float | None = None
    max_price: float | None = None
    tags: tuple[str, ...] = ()
    in_stock: bool | None = None
    created_since: float | None = None
    exclude: tuple[int, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


NO_FILTERS = Filters()


@dataclass(frozen=True)
class RecommendationRequest:
    """A request for one list.

    Attributes
    ----------
    user, session
        The visitor; neither for a list that is the same for everybody.
    products
        What the page displays, or the seeds of `similar` and `bought_together`.
    cart
        Products in the cart: never recommended, and part of the user's history.
    country
        ISO 3166 code, for `popular`.
    limit
        Products of a page.
    diversity
        0: by score alone; 1: as different from each other as can be.
    explain
        Whether each product comes with the parts of its score.
    name
        What the shop calls the list, for rules about it; None: as the placement.
    on_page
        Products of the lists above it on the same page, never repeated; None: a list by itself.
    caller
        Address of a caller without a key, who gets a fair part of the live ranking and no more.
    """

    placement: Placement = Placement.FOR_YOU
    user: int | None = None
    session: str | None = None
    products: tuple[int, ...] = ()
    cart: tuple[int, ...] = ()
    country: str | None = None
    limit: int = 20
    novelty: Novelty = Novelty.ANY
    filters: Filters = NO_FILTERS
    diversity: float = 0.0
    explain: bool = False
    name: str | None = None
    on_page: frozenset[int] | None = None
    caller: str | None = field(default=None, compare=False)
