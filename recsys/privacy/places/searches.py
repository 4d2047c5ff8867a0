"""What a person searched for, taken off the counts of all searches as far as the stream still knows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from recsys.search.handlers import counted_query

__all__ = ["NAME", "erase"]

NAME = "analytics_db.search_counts"
# what no group has counted yet must not be taken off
_COUNTED = text(
    "SELECT event_id FROM analytics_db.inbox WHERE consumer_group = 'core' AND event_id = ANY(:ids)"
).bindparams(bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True))))
_TAKE_OFF = text(
    """
    UPDATE analytics_db.search_counts
    SET searches = greatest(searches - 1, 0), empty = greatest(empty - :empty, 0)
    WHERE day = :day AND query = :query
    """
)
_SWEEP = text("DELETE FROM analytics_db.search_counts WHERE searches = 0")


def erase(session: Session, searches: Sequence[dict[str, Any]]) -> int:
    """Take the person's searches (entries of the stream) off the counts; how many."""
    if not searches:
        return 0
    by_id = {UUID(each["event_id"]): each for each in searches}
    counted = session.scalars(_COUNTED, {"ids": list(by_id)}).all()
    for event_id in counted:
        entry = by_id[event_id]
        session.execute(
            _TAKE_OFF,
            {
                "day": datetime.fromisoformat(entry["occurred_at"]).date(),
                "query": counted_query(str(entry["data"]["query"])),
                "empty": int(entry["data"].get("results") == 0),
            },
        )
    session.execute(_SWEEP)
    return len(counted)
