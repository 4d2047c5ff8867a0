"""The report of searches: frequent queries, queries without results, positions of clicks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from recsys import clock
from recsys.search.tables import SearchClick, SearchCount

__all__ = ["KEPT_DAYS", "QueryCount", "SearchReport", "forget_old", "report"]

KEPT_DAYS = 90
_FIRST_PLACES = 10


@dataclass(frozen=True)
class QueryCount:
    """A query, how often it was searched for, and how often it had no results."""

    query: str
    searches: int
    empty: int


@dataclass(frozen=True)
class SearchReport:
    """Some days of searches. `clicks_by_position`: the first ten places, and those behind as 0."""

    days: int
    searches: int
    empty: int
    clicks: int
    without_results: tuple[QueryCount, ...]
    most_asked: tuple[QueryCount, ...]
    clicks_by_position: dict[int, int]


def report(session: Session, *, days: int, most: int) -> SearchReport:
    """Of the last `days` days, today included; the `most` frequent queries of each kind."""
    first = (clock.now() - timedelta(days=days - 1)).date()
    searches, empty = func.sum(SearchCount.searches), func.sum(SearchCount.empty)
    counted = (
        select(SearchCount.query, searches, empty)
        .where(SearchCount.day >= first)
        .group_by(SearchCount.query)
        .limit(most)
    )
    asked = session.execute(counted.order_by(searches.desc(), SearchCount.query)).all()
    missed = session.execute(counted.having(empty > 0).order_by(empty.desc(), SearchCount.query)).all()
    total, total_empty = session.execute(
        select(func.coalesce(searches, 0), func.coalesce(empty, 0)).where(SearchCount.day >= first)
    ).one()
    place = func.least(SearchClick.position, _FIRST_PLACES + 1)
    clicks = {
        (0 if position > _FIRST_PLACES else position): int(count)
        for position, count in session.execute(
            select(place, func.sum(SearchClick.clicks))
            .where(SearchClick.day >= first)
            .group_by(place)
            .order_by(place)
        )
    }
    return SearchReport(
        days=days,
        searches=int(total),
        empty=int(total_empty),
        clicks=sum(clicks.values()),
        without_results=tuple(QueryCount(query, int(all_), int(none)) for query, all_, none in missed),
        most_asked=tuple(QueryCount(query, int(all_), int(none)) for query, all_, none in asked),
        clicks_by_position=clicks,
    )


def forget_old(session: Session) -> None:
    """Delete counts that are older than 90 days."""
    before = (clock.now() - timedelta(days=KEPT_DAYS)).date()
    session.execute(delete(SearchCount).where(SearchCount.day < before))
    session.execute(delete(SearchClick).where(SearchClick.day < before))
