"""What a shop asks for: which shelf, for whom, narrowed how."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

import orjson

from serving.ranking.eligibility import Novelty

__all__ = ["MAX_POOL", "Filters", "Placement", "RecommendationRequest"]

MAX_POOL = 300
"""So many products are ranked for one question: pages end there."""


class Placement(StrEnum):
    """The lists that there are."""

    FOR_YOU = "for_you"
    SIMILAR = "similar"
    BOUGHT_TOGETHER = "bought_together"
    BUY_AGAIN = "buy_again"
    POPULAR = "popular"
    TRENDING = "trending"
    NEW_ARRIVALS = "new_arrivals"
    BECAUSE_YOU_VIEWED = "because_you_viewed"


@dataclass(frozen=True)
class Filters:
    """What a product must be to qualify; a product must pass all of them.

    categories   any of them, each with all below it
    brands       any of them
    min_price, max_price  in the shop's currency, both included
    tags         all of them
    in_stock     True: a piece is there now; None: whatever the shop sells
    created_since  seconds since 1970: arrived in the shop then or later
    exclude      product ids that must not appear
    attributes   (name, value) pairs, all of them; see `serving.ranking.attributes`
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

    @property
    def empty(self) -> bool:
        """Whether everything qualifies."""
        return self is _NONE or self == _NONE


_NONE = Filters()


@dataclass(frozen=True)
class RecommendationRequest:
    """One list that is asked for.

    user, session  for whom; neither for anybody
    products       what the page shows, or what `similar` and `bought_together` start from
    cart           what lies in the cart: never recommended, and part of what is known of who asks
    country        ISO 3166 code, for `popular`
    diversity      0: by score alone; 1: as different from each other as can be
    explain        whether each product comes with the parts of its score
    """

    shelf: Placement = Placement.FOR_YOU
    user: int | None = None
    session: str | None = None
    products: tuple[int, ...] = ()
    cart: tuple[int, ...] = ()
    country: str | None = None
    limit: int = 20
    novelty: Novelty = Novelty.ANY
    filters: Filters = _NONE
    diversity: float = 0.0
    explain: bool = False

    @property
    def plain(self) -> bool:
        """Whether a stored list answers it as it is."""
        return (
            self.shelf is Placement.FOR_YOU
            and self.filters.empty
            and not self.cart
            and not self.products
            and self.diversity == 0.0
            and not self.explain
        )

    def fingerprint(self) -> bytes:
        """Sixteen bytes that two wishes share when one may go on with the other's pages."""
        filters = self.filters
        asked = (
            self.shelf, self.user, self.session, self.products, self.cart, self.country, self.novelty,
            self.diversity, filters.categories, filters.brands, filters.min_price, filters.max_price,
            filters.tags, filters.in_stock, filters.created_since, filters.exclude, filters.attributes,
        )  # fmt: skip
        return hashlib.blake2b(orjson.dumps(asked), digest_size=16).digest()
