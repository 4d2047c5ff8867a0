"""How many lists were answered, by source and placement, in the last minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from recsys.domains.recommendations.impressions.tables import Exposure

__all__ = ["AnsweredCount", "answered_between"]


@dataclass(frozen=True)
class AnsweredCount:
    """Lists of one source and placement."""

    source: str
    placement: str
    lists: int


def answered_between(session: Session, since: datetime, until: datetime) -> Sequence[AnsweredCount]:
    """The lists answered in [since, until), the most first; without those that wait in Redis."""
    lists = func.count().label("lists")
    query = (
        select(Exposure.source, Exposure.shelf, lists)
        .where(Exposure.shown_at >= since, Exposure.shown_at < until)
        .group_by(Exposure.source, Exposure.shelf)
        .order_by(lists.desc(), Exposure.source, Exposure.shelf)
    )
    return [AnsweredCount(*row) for row in session.execute(query)]
