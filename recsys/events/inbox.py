"""The inbox: which events a group has handled, so that each is handled once."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from recsys import clock

__all__ = ["receive"]

# sorted, so that two batches with the same events do not wait for each other in a circle
_RECEIVE = text(
    """
    INSERT INTO analytics_db.inbox (consumer_group, event_id, handled_at)
    SELECT :group, event_id, :now FROM unnest(:ids) AS given(event_id) ORDER BY event_id
    ON CONFLICT DO NOTHING RETURNING event_id
    """
).bindparams(bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True))))


def receive(session: Session, group: str, event_ids: Collection[UUID]) -> set[UUID]:
    """Enter events into the inbox of `group`; those that it has not handled before.

    They count as handled when the transaction commits, for `events.inbox_days`.
    """
    return set(session.scalars(_RECEIVE, {"group": group, "ids": list(event_ids), "now": clock.now()}))
