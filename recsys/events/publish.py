"""The ways to publish an event: in a transaction, or at once where the fact is stored in Redis only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, SMALLINT, TEXT, VARCHAR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from recsys import clock
from recsys.cache.client import get_redis
from recsys.events.envelope import fields_of, stream_of
from recsys.events.vocabulary import Event
from recsys.observation.spans import current_traceparent

__all__ = ["CHANNEL", "announce", "publish", "publish_all", "publish_on"]

CHANNEL = "recsys_outbox"
"""Where PostgreSQL notifies the relay when a transaction commits, once for all its events."""

_STORE = text(
    """
    WITH stored AS (
        INSERT INTO analytics_db.outbox
            (event_id, family, name, version, aggregate, data, occurred_at, traceparent)
        VALUES (:event_id, :family, :name, :version, :aggregate, CAST(:data AS json), :occurred_at,
            CAST(:traceparent AS varchar))
        ON CONFLICT (event_id) DO NOTHING
        RETURNING id
    )
    SELECT pg_notify(:channel, '') FROM stored
    """
)


_STORE_ALL = text(
    """
    WITH stored AS (
        INSERT INTO analytics_db.outbox
            (event_id, family, name, version, aggregate, data, occurred_at, traceparent)
        SELECT event_id, family, name, version, aggregate, CAST(data AS json), :occurred_at,
            CAST(:traceparent AS varchar)
        FROM unnest(:event_ids, :families, :names, :versions, :aggregates, :data) WITH ORDINALITY
            AS given(event_id, family, name, version, aggregate, data, place)
        ORDER BY place
        ON CONFLICT (event_id) DO NOTHING
        RETURNING id
    )
    SELECT pg_notify(:channel, '') FROM (SELECT FROM stored LIMIT 1) AS one
    """
).bindparams(
    bindparam("event_ids", type_=ARRAY(PG_UUID(as_uuid=True))),
    bindparam("families", type_=ARRAY(VARCHAR)),
    bindparam("names", type_=ARRAY(VARCHAR)),
    bindparam("versions", type_=ARRAY(SMALLINT)),
    bindparam("aggregates", type_=ARRAY(VARCHAR)),
    bindparam("data", type_=ARRAY(TEXT)),
)
_STORE_ALL_PSYCOPG = str(
    _STORE_ALL.compile(dialect=make_url("postgresql+psycopg://").get_dialect()())
).encode()


def publish(
    session: Session, event: Event, *, event_id: UUID | None = None, occurred_at: datetime | None = None
) -> UUID:
    """Write the event into the outbox, in the caller's transaction; the relay brings it to its stream.

    It is published if, and only if, the transaction commits. An `event_id` that was published already is
    not published again. Events of one aggregate keep the order of their transactions, unless these overlap.

    Returns
    -------
    UUID
        The event's id.
    """
    chosen = event_id or uuid4()
    session.execute(
        _STORE,
        {
            "event_id": chosen,
            "family": event.family,
            "name": event.name,
            "version": event.version,
            "aggregate": event.aggregate[:300],
            "data": event.model_dump_json(),
            "occurred_at": occurred_at or clock.now(),
            "traceparent": current_traceparent(),
            "channel": CHANNEL,
        },
    )
    return chosen


def publish_all(session: Session, events: Sequence[tuple[UUID, Event]]) -> None:
    """The same for many events, each with its id, in one statement; they keep their order."""
    if events:
        session.execute(_STORE_ALL, _columns(events, clock.now()))


def publish_on(
    connection: psycopg.Connection[Any], events: Sequence[tuple[UUID, Event]], *, occurred_at: datetime
) -> None:
    """The same in the transaction of a connection of psycopg's own, as imports have."""
    if events:
        connection.execute(_STORE_ALL_PSYCOPG, _columns(events, occurred_at))


def _columns(events: Sequence[tuple[UUID, Event]], occurred_at: datetime) -> dict[str, Any]:
    return {
        "event_ids": [chosen for chosen, _ in events],
        "families": [event.family for _, event in events],
        "names": [event.name for _, event in events],
        "versions": [event.version for _, event in events],
        "aggregates": [event.aggregate[:300] for _, event in events],
        "data": [event.model_dump_json() for _, event in events],
        "occurred_at": occurred_at,
        "traceparent": current_traceparent(),
        "channel": CHANNEL,
    }


def announce(event: Event, *, client: Any = None, event_id: UUID | None = None) -> UUID:
    """Put the event on its stream at once: only for facts that are stored in Redis alone (carts, searches).

    Parameters
    ----------
    event
        What happened.
    client
        Default: the client of this process. It may be a pipeline, so that the fact and its event are stored
        together.
    event_id
        Default: a new one.

    Returns
    -------
    UUID
        The event's id.

    Raises
    ------
    RedisError
        Redis does not answer.
    """
    chosen = event_id or uuid4()
    entry = fields_of(
        chosen,
        event.name,
        event.version,
        event.aggregate,
        clock.now(),
        event.model_dump_json(),
        current_traceparent(),
    )
    (get_redis() if client is None else client).xadd(stream_of(event.family), entry)
    return chosen
