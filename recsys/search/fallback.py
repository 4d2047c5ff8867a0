"""The response while search is down: products of the category and filters, or popular products."""

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
    session: Session, category: int | None, filters: SearchFilters, limit: int, words: Sequence[str]
) -> ProductsFound:
    """One page without a cursor; its `degraded` says why."""
    listed = listing.ListingFilters(
        category,
        filters.brand,
        filters.min_price,
        filters.max_price,
        filters.tags[0] if filters.tags else None,
        filters.in_stock,
        filters.featured,
        filters.status,
    )
    if listed == listing.ListingFilters(status=filters.status):
        summaries = listing.summaries(session, views.trending(session, 3 * limit))[:limit]
        summaries += _more(session, listed, limit, summaries)
        degraded = "Search is down; these are popular products."
    else:
        summaries = _more(session, listed, limit, [])
        degraded = "Search is down; these are products that the filters let through, the newest first."
    return ProductsFound(
        search_id=uuid4(),
        query=" ".join(words),
        total=len(summaries),
        items=[
            FoundProduct(**summary.model_dump(), position=position)
            for position, summary in enumerate(summaries, 1)
        ],
        degraded=degraded,
        next_cursor=None,
    )


def _more(
    session: Session, listed: listing.ListingFilters, limit: int, summaries: Sequence[ProductListItem]
) -> list[ProductListItem]:
    shown = {summary.id for summary in summaries}
    page = listing.page(session, listed, sort="newest", limit=limit, cursor=None)
    return [item for item in page.items if item.id not in shown][: limit - len(summaries)]
