"""Daily figures, visits and bots as they are shown to administrators, in pages."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from recsys.domains.analytics.schemas import BotHitsOut, ProductDay, SalesDay, VisitOut
from recsys.domains.analytics.tables import AnalyticsSession, BotHits, ProductMetric, SalesMetric
from recsys.errors import Invalid
from recsys.own_ids.answers import with_own_ids
from recsys.web.pagination import Cursor, Page, last_id, page_of, refuse_cursor

__all__ = ["bots", "products", "sales", "visits"]


def sales(
    session: Session, *, since: date | None, until: date | None, limit: int, cursor: str | None
) -> Page[SalesDay]:
    """Days from `since` to `until`, the latest first. Raises Invalid for a cursor of another list."""
    query = _between(select(SalesMetric), SalesMetric.date, since, until).order_by(SalesMetric.date.desc())
    if cursor is not None:
        query = query.where(SalesMetric.date < _day(Cursor.decode(cursor)))
    found = session.scalars(query.limit(limit + 1)).all()
    return page_of(found, limit, SalesDay.model_validate, lambda last: {"date": last.date.isoformat()})


def products(
    session: Session,
    *,
    since: date | None,
    until: date | None,
    product_id: int | None,
    limit: int,
    cursor: str | None,
) -> Page[ProductDay]:
    """Products of the days from `since` to `until`, the latest day first, then by product id."""
    day, product = ProductMetric.date, ProductMetric.product_id
    query = _between(select(ProductMetric), day, since, until).order_by(day.desc(), product)
    if product_id is not None:
        query = query.where(product == product_id)
    if cursor is not None:
        place = Cursor.decode(cursor)
        last, after = _day(place), place.integer("product_id")
        query = query.where(day <= last, (day < last) | (product > after))
    found = session.scalars(query.limit(limit + 1)).all()
    page = page_of(
        found,
        limit,
        ProductDay.model_validate,
        lambda last: {"date": last.date.isoformat(), "product_id": last.product_id},
    )
    with_own_ids(session, page.items)
    return page


def visits(session: Session, *, limit: int, cursor: str | None) -> Page[VisitOut]:
    """Visits by id, the latest first."""
    query = select(AnalyticsSession).order_by(AnalyticsSession.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(AnalyticsSession.id < last_id(cursor))
    page = page_of(session.scalars(query).all(), limit, VisitOut.model_validate)
    with_own_ids(session, page.items)
    return page


def bots(session: Session, day: date) -> list[BotHitsOut]:
    """What was counted on a day, by name."""
    found = session.scalars(select(BotHits).where(BotHits.date == day).order_by(BotHits.bot))
    return [BotHitsOut.model_validate(one) for one in found]


def _between(query: Select[Any], column: Any, since: date | None, until: date | None) -> Select[Any]:
    if since is not None and until is not None and since > until:
        raise Invalid(f"The days end ({until}) before they begin ({since}).")
    if since is not None:
        query = query.where(column >= since)
    return query if until is None else query.where(column <= until)


def _day(cursor: Cursor) -> date:
    try:
        return date.fromisoformat(cursor.text("date"))
    except ValueError:
        refuse_cursor()
