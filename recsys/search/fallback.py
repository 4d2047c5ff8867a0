"""What is answered while search is down: the category's products, or popular ones, and that it is so."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy.orm import Session

from recsys.domains.products import listing, views
from recsys.domains.products.schemas import ProductListItem
from recsys.search.queries import SearchFilters
from recsys.search.schemas import FoundProduct, ProductsFound

__all__ = ["products"]


def products(
    session: Session, category: int | None, wanted: SearchFilters, limit: int, words: Sequence[str]
) -> ProductsFound:
    """Without a cursor: the next page is asked for when search is back."""
    plain = listing.ListingFilters(
        category,
        wanted.brand,
        wanted.min_price,
        wanted.max_price,
        wanted.tags[0] if wanted.tags else None,
        wanted.in_stock,
        wanted.featured,
        wanted.status,
    )
    if plain == listing.ListingFilters(status=wanted.status):
        found = listing.summaries(session, views.trending(session, 3 * limit))[:limit]
        found += _more(session, plain, limit, found)
        told = "Search is down; these are popular products."
    else:
        found = _more(session, plain, limit, [])
        told = "Search is down; these are products that the filters let through, the newest first."
    return ProductsFound(
        search_id=uuid4(),
        query=" ".join(words),
        total=len(found),
        items=[FoundProduct(**one.model_dump(), position=place) for place, one in enumerate(found, 1)],
        degraded=told,
        next_cursor=None,
    )


def _more(
    session: Session, plain: listing.ListingFilters, limit: int, found: Sequence[ProductListItem]
) -> list[ProductListItem]:
    known = {one.id for one in found}
    page = listing.page(session, plain, sort="newest", limit=limit, cursor=None)
    return [one for one in page.items if one.id not in known][: limit - len(found)]
