"""Events of people who were erased after the events were published: neither sent nor handled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from recsys.events.envelope import Envelope
from recsys.privacy.tombstones import ErasedPeople, identifiers_of

__all__ = ["delete_from_outbox", "without"]

_DELETE = text("DELETE FROM analytics_db.outbox WHERE id = ANY(:ids)")


def without(session: Session, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """The events that are not about erased people."""
    named = [(envelope, identifiers_of(envelope.event.model_dump())) for envelope in envelopes]
    erased = ErasedPeople.among(session, set().union(*(names for _, names in named)))
    return [envelope for envelope, names in named if not erased.includes(names, envelope.occurred_at)]


def delete_from_outbox(session: Session, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
    """Delete rows about erased people, which a transaction wrote that did not know of it; the others."""
    named = [(row, identifiers_of(json.loads(row.data))) for row in rows]
    erased = ErasedPeople.among(session, set().union(*(names for _, names in named)))
    others: list[Row[Any]] = []
    dropped: list[Row[Any]] = []
    for row, names in named:
        (dropped if erased.includes(names, row.occurred_at) else others).append(row)
    if dropped:
        session.execute(_DELETE, {"ids": [row.id for row in dropped]})
    return others
