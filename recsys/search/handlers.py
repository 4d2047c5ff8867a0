"""Event handlers of search: they keep the index up to date, and count searches and clicks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from recsys.domains.products.catalogue import category_and_below
from recsys.domains.products.tables import Product
from recsys.errors import NotFound
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import (
    BrandChanged,
    CategoryChanged,
    InteractionsRecorded,
    InventoryChanged,
    PreferencesChanged,
    PriceChanged,
    ProductCreated,
    ProductDeleted,
    ProductUpdated,
    ProfileUpdated,
    ReviewApproved,
    ReviewPosted,
    SearchPerformed,
    SearchResultClicked,
    UserBlocked,
    UserDeactivated,
    UserFollowed,
    UserRegistered,
    UserUnblocked,
    UserUnfollowed,
)
from recsys.search import cache
from recsys.search.analysis.analyser import normal
from recsys.search.backends.factory import chosen
from recsys.search.tables import SearchClick, SearchCount

__all__ = [
    "count_click",
    "count_search",
    "counted_query",
    "drop_product",
    "follow_popularity",
    "refresh_brand",
    "refresh_category",
    "refresh_product",
    "refresh_user",
]

_BATCH = 1000
_LONGEST_COUNTED = 200  # the column's


def refresh_product(session: Session, envelope: Envelope) -> None:
    """Index a product again after a change of anything that can be searched."""
    event = envelope.event
    assert isinstance(
        event,
        ProductCreated | ProductUpdated | PriceChanged | InventoryChanged | ReviewPosted | ReviewApproved,
    )
    _refresh(session, [event.product_id])


def drop_product(session: Session, envelope: Envelope) -> None:
    """Remove a deleted product from the index."""
    event = envelope.event
    assert isinstance(event, ProductDeleted)
    chosen().delete_products(session, [event.product_id])
    cache.changed(session)


def refresh_category(session: Session, envelope: Envelope) -> None:
    """Index the products of a category, and of all below it, after a change of its name or parent."""
    event = envelope.event
    assert isinstance(event, CategoryChanged)
    try:
        categories = category_and_below(session, event.category_id)
    except NotFound:
        return  # only an empty category can be deleted
    _refresh(session, session.scalars(select(Product.id).where(Product.category_id.in_(categories))).all())


def refresh_brand(session: Session, envelope: Envelope) -> None:
    """Index the products of a brand after a change of its name."""
    event = envelope.event
    assert isinstance(event, BrandChanged)
    _refresh(session, session.scalars(select(Product.id).where(Product.brand_id == event.brand_id)).all())


def refresh_user(session: Session, envelope: Envelope) -> None:
    """Index one or two users after a change of anything that can be searched."""
    event = envelope.event
    assert isinstance(
        event,
        UserRegistered
        | ProfileUpdated
        | PreferencesChanged
        | UserDeactivated
        | UserFollowed
        | UserUnfollowed
        | UserBlocked
        | UserUnblocked,
    )
    other = getattr(event, "target_id", None)
    chosen().index_users(session, [event.user_id] if other is None else [event.user_id, other])


def follow_popularity(session: Session, envelope: Envelope) -> None:
    """Update the popularity of products after interactions; cached results stay until they expire."""
    assert isinstance(envelope.event, InteractionsRecorded)
    chosen().follow_popularity(session, envelope.occurred_at)


def count_search(session: Session, envelope: Envelope) -> None:
    """Count a search for the report, without its user."""
    event = envelope.event
    assert isinstance(event, SearchPerformed)
    query = counted_query(event.query)
    if not query:
        return
    row = insert(SearchCount).values(
        day=envelope.occurred_at.date(), query=query, searches=1, empty=int(event.results == 0)
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[SearchCount.day, SearchCount.query],
            set_={
                "searches": SearchCount.searches + row.excluded.searches,
                "empty": SearchCount.empty + row.excluded.empty,
            },
        )
    )


def counted_query(query: str) -> str:
    """The text under which a search is counted; empty where it has no words."""
    return normal(query)[:_LONGEST_COUNTED]


def count_click(session: Session, envelope: Envelope) -> None:
    """Count a click for the report, by its position in the list."""
    event = envelope.event
    assert isinstance(event, SearchResultClicked)
    if event.position is None:
        return
    row = insert(SearchClick).values(
        day=envelope.occurred_at.date(), position=func.least(event.position, 1000), clicks=1
    )
    session.execute(
        row.on_conflict_do_update(
            index_elements=[SearchClick.day, SearchClick.position],
            set_={"clicks": SearchClick.clicks + row.excluded.clicks},
        )
    )


def _refresh(session: Session, product_ids: Sequence[int]) -> None:
    index = chosen()
    for start in range(0, len(product_ids), _BATCH):
        index.index_products(session, product_ids[start : start + _BATCH])
    cache.changed(session)
