"""What search does when it hears events: keep the index in step, count what was searched for and opened."""

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
    "drop_product",
    "follow_popularity",
    "refresh_brand",
    "refresh_category",
    "refresh_product",
    "refresh_user",
]

_BATCH = 1000
_LONGEST_COUNTED = 200  # the column's


def refresh_product(session: Session, heard: Envelope) -> None:
    """Something that can be searched of a product changed."""
    event = heard.event
    assert isinstance(
        event,
        ProductCreated | ProductUpdated | PriceChanged | InventoryChanged | ReviewPosted | ReviewApproved,
    )
    _refresh(session, [event.product_id])


def drop_product(session: Session, heard: Envelope) -> None:
    """A product is gone."""
    event = heard.event
    assert isinstance(event, ProductDeleted)
    chosen().delete_products(session, [event.product_id])
    cache.changed(session)


def refresh_category(session: Session, heard: Envelope) -> None:
    """A category has another name or place: its products, and all below it, are found by other words."""
    event = heard.event
    assert isinstance(event, CategoryChanged)
    try:
        categories = category_and_below(session, event.category_id)
    except NotFound:
        return  # only an empty one can be deleted
    _refresh(session, session.scalars(select(Product.id).where(Product.category_id.in_(categories))).all())


def refresh_brand(session: Session, heard: Envelope) -> None:
    """A brand has another name."""
    event = heard.event
    assert isinstance(event, BrandChanged)
    _refresh(session, session.scalars(select(Product.id).where(Product.brand_id == event.brand_id)).all())


def refresh_user(session: Session, heard: Envelope) -> None:
    """Something that can be searched of a user changed, or of two."""
    event = heard.event
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


def follow_popularity(session: Session, heard: Envelope) -> None:
    """Somebody did something with products. Answers that Redis holds stay until they expire."""
    assert isinstance(heard.event, InteractionsRecorded)
    chosen().follow_popularity(session, heard.occurred_at)


def count_search(session: Session, heard: Envelope) -> None:
    """Count it for the report, without whose it was."""
    event = heard.event
    assert isinstance(event, SearchPerformed)
    query = normal(event.query)[:_LONGEST_COUNTED]
    if not query:
        return
    row = insert(SearchCount).values(
        day=heard.occurred_at.date(), query=query, searches=1, empty=int(event.results == 0)
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


def count_click(session: Session, heard: Envelope) -> None:
    """Count it for the report, by its place in the list."""
    event = heard.event
    assert isinstance(event, SearchResultClicked)
    if event.position is None:
        return
    row = insert(SearchClick).values(
        day=heard.occurred_at.date(), position=func.least(event.position, 1000), clicks=1
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
