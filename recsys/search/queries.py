"""What can be asked of an index, and what it answers: the same for every implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

__all__ = [
    "FACETS",
    "PRICE_STEPS",
    "RATING_STEPS",
    "SORTS",
    "USER_SORTS",
    "Bucket",
    "Differences",
    "Facet",
    "FoundUsers",
    "GeoArea",
    "Hit",
    "Key",
    "ProductQuery",
    "SearchFilters",
    "SearchResult",
    "Sort",
    "UserFilters",
    "UserHit",
    "UserQuery",
    "UserSort",
]

Sort = Literal["relevance", "newest", "name", "price", "-price", "rating", "popularity"]
SORTS: tuple[Sort, ...] = ("relevance", "newest", "name", "price", "-price", "rating", "popularity")
UserSort = Literal["relevance", "newest", "followers", "distance"]
USER_SORTS: tuple[UserSort, ...] = ("relevance", "newest", "followers", "distance")
Facet = Literal["category", "brand", "tags", "price", "rating", "in_stock"]
FACETS: tuple[Facet, ...] = ("category", "brand", "tags", "price", "rating", "in_stock")
PRICE_STEPS: tuple[int, ...] = (0, 5, 10, 25, 50, 100, 250, 500)
"""Where the price's buckets begin; the last has no end."""
RATING_STEPS: tuple[int, ...] = (1, 2, 3, 4)
"""So many stars and more; the buckets overlap."""

Key = int | float | str
"""A place in an order; its meaning belongs to the index that gave it."""


@dataclass(frozen=True)
class SearchFilters:
    """What a search is limited to; None and empty limit nothing. `categories` holds whole subtrees."""

    categories: tuple[int, ...] | None = None
    brand: int | None = None
    tags: tuple[str, ...] = ()
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    min_rating: Decimal | None = None
    in_stock: bool = False
    featured: bool | None = None
    status: str | None = "active"


@dataclass(frozen=True)
class ProductQuery:
    """One page of products.

    Attributes
    ----------
    words
        As `words_of` made them; none matches everything.
    synonyms
        Groups of phrases that stand for one another.
    any_word
        One word is enough; else all are needed.
    fuzzy
        Words that no product has stand for those that look like them.
    after
        The key and product id of the page before; sorted by it and then by id, in the same direction.
    """

    words: tuple[str, ...] = ()
    synonyms: tuple[tuple[str, ...], ...] = ()
    any_word: bool = False
    fuzzy: bool = True
    filters: SearchFilters = SearchFilters()
    facets: tuple[Facet, ...] = ()
    sort: Sort = "relevance"
    limit: int = 20
    after: tuple[Key, int] | None = None
    highlight: bool = False


@dataclass(frozen=True)
class Hit:
    """One product that was found. `highlights`: by field, safe HTML in which `<mark>` is the only element."""

    product_id: int
    key: Key
    highlights: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bucket:
    """A value of a facet and its number of products. `name`: of a category or brand if the index has it."""

    value: str
    count: int
    name: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """A page, what was found in all, and what was probably meant."""

    total: int
    hits: Sequence[Hit]
    facets: Mapping[str, Sequence[Bucket]] = field(default_factory=dict)
    did_you_mean: str | None = None


@dataclass(frozen=True)
class GeoArea:
    """A point on the earth in degrees, and the kilometres around it that count."""

    latitude: float
    longitude: float
    kilometres: float | None = None


@dataclass(frozen=True)
class UserFilters:
    """What a search of users is limited to."""

    near: GeoArea | None = None
    active: bool | None = None
    online: bool | None = None
    min_followers: int | None = None
    min_following: int | None = None


@dataclass(frozen=True)
class UserQuery:
    """One page of users."""

    words: tuple[str, ...] = ()
    filters: UserFilters = UserFilters()
    sort: UserSort = "relevance"
    limit: int = 20
    after: tuple[Key, int] | None = None


@dataclass(frozen=True)
class UserHit:
    """One user that was found."""

    user_id: int
    key: Key
    kilometres: float | None = None


@dataclass(frozen=True)
class FoundUsers:
    """A page of users, and how many were found in all."""

    total: int
    hits: Sequence[UserHit]


@dataclass(frozen=True)
class Differences:
    """How an index differs from the database: ids, the first of each kind."""

    checked: int
    missing: int = 0
    superfluous: int = 0
    stale: int = 0
    examples: tuple[int, ...] = ()

    @property
    def total(self) -> int:
        """All of them."""
        return self.missing + self.superfluous + self.stale
