"""Page views and events into their tables: each is known by its id and stored once, one statement a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INET, INTEGER, JSONB, NUMERIC, TIMESTAMP, VARCHAR
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Session

from recsys.domains.analytics.schemas import PageViewIn
from recsys.domains.analytics.user_agents import described

__all__ = ["Happening", "Visitor", "store_events", "store_pages"]

# both rows of one are written by one statement, so that the reference between them is whole at its end
_PAGES = text(
    """
    WITH incoming AS MATERIALIZED (
        SELECT nextval('analytics_db.page_views_id_seq')::integer AS id, given.*
        FROM unnest(:places, :event_ids, :moments, :urls, :titles, :referrers)
            AS given(place, event_id, moment, url, title, referrer)
        ORDER BY event_id, place
    ), fresh AS (
        INSERT INTO analytics_db.collected_events (event_id, page_view_id)
        SELECT event_id, id FROM incoming ORDER BY event_id, place
        ON CONFLICT (event_id) DO NOTHING
        RETURNING page_view_id
    ), stored AS (
        INSERT INTO analytics_db.page_views (id, user_id, session_id, page_url, page_title, referrer_url,
            user_agent, ip_address, device_type, browser, os, timestamp)
        SELECT id, :user_id, :session_id, url, title, referrer, :agent, :address, :device, :browser, :os,
            moment
        FROM incoming JOIN fresh ON fresh.page_view_id = incoming.id
        RETURNING id
    )
    SELECT place FROM incoming JOIN stored USING (id)
    """
).bindparams(
    bindparam("places", type_=ARRAY(INTEGER)),
    bindparam("event_ids", type_=ARRAY(PG_UUID(as_uuid=True))),
    bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("urls", type_=ARRAY(VARCHAR)),
    bindparam("titles", type_=ARRAY(VARCHAR)),
    bindparam("referrers", type_=ARRAY(VARCHAR)),
    bindparam("user_id", type_=INTEGER),
    bindparam("session_id", type_=VARCHAR),
    bindparam("agent", type_=VARCHAR),
    bindparam("address", type_=INET),
    bindparam("device", type_=VARCHAR),
    bindparam("browser", type_=VARCHAR),
    bindparam("os", type_=VARCHAR),
)
_EVENTS = text(
    """
    WITH incoming AS MATERIALIZED (
        SELECT nextval('analytics_db.user_events_id_seq')::integer AS id, given.*
        FROM unnest(:places, :event_ids, :moments, :types, :categories, :actions, :labels, :amounts,
                    :properties, :urls)
            AS given(place, event_id, moment, type, category, action, label, amount, property, url)
        ORDER BY event_id, place
    ), fresh AS (
        INSERT INTO analytics_db.collected_events (event_id, user_event_id)
        SELECT event_id, id FROM incoming ORDER BY event_id, place
        ON CONFLICT (event_id) DO NOTHING
        RETURNING user_event_id
    ), stored AS (
        INSERT INTO analytics_db.user_events (id, user_id, session_id, event_type, event_category,
            event_action, event_label, event_value, properties, page_url, user_agent, ip_address, timestamp)
        SELECT id, :user_id, :session_id, type, category, action, label, amount, property, url, :agent,
            :address, moment
        FROM incoming JOIN fresh ON fresh.user_event_id = incoming.id
        RETURNING id
    )
    SELECT place FROM incoming JOIN stored USING (id)
    """
).bindparams(
    bindparam("places", type_=ARRAY(INTEGER)),
    bindparam("event_ids", type_=ARRAY(PG_UUID(as_uuid=True))),
    bindparam("moments", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("types", type_=ARRAY(VARCHAR)),
    bindparam("categories", type_=ARRAY(VARCHAR)),
    bindparam("actions", type_=ARRAY(VARCHAR)),
    bindparam("labels", type_=ARRAY(VARCHAR)),
    bindparam("amounts", type_=ARRAY(NUMERIC)),
    bindparam("properties", type_=ARRAY(JSONB)),
    bindparam("urls", type_=ARRAY(VARCHAR)),
    bindparam("user_id", type_=INTEGER),
    bindparam("session_id", type_=VARCHAR),
    bindparam("agent", type_=VARCHAR),
    bindparam("address", type_=INET),
)


@dataclass(frozen=True)
class Visitor:
    """Who did it: the session of the visit, the user if one is known, and what is kept of the browser."""

    session_id: str | None
    user_id: int | None = None
    agent: str | None = None
    address: IPv4Interface | IPv6Interface | None = None


@dataclass(frozen=True)
class Happening:
    """One event as it is stored; `place` is the caller's name for it."""

    place: int
    event_id: UUID
    moment: datetime
    type: str
    category: str | None = None
    action: str | None = None
    label: str | None = None
    value: Decimal | None = None
    properties: dict[str, Any] | None = None
    page_url: str | None = None


def store_pages(
    session: Session, visitor: Visitor, pages: Sequence[tuple[int, UUID, datetime, PageViewIn]]
) -> set[int]:
    """Store page views (place, id, moment, page); the places of those that were not known yet."""
    if not pages:
        return set()
    agent = described(visitor.agent)
    values = {
        "places": [place for place, _, _, _ in pages],
        "event_ids": [event_id for _, event_id, _, _ in pages],
        "moments": [moment for _, _, moment, _ in pages],
        "urls": [page.page_url for _, _, _, page in pages],
        "titles": [page.page_title for _, _, _, page in pages],
        "referrers": [page.referrer_url for _, _, _, page in pages],
        "device": agent.device_type,
        "browser": agent.browser,
        "os": agent.os,
    }
    return set(session.scalars(_PAGES, values | _of(visitor)))


def store_events(session: Session, visitor: Visitor, events: Sequence[Happening]) -> set[int]:
    """Store events; the places of those that were not known yet."""
    if not events:
        return set()
    values = {
        "places": [one.place for one in events],
        "event_ids": [one.event_id for one in events],
        "moments": [one.moment for one in events],
        "types": [one.type for one in events],
        "categories": [one.category for one in events],
        "actions": [one.action for one in events],
        "labels": [one.label for one in events],
        "amounts": [one.value for one in events],
        "properties": [one.properties or {} for one in events],
        "urls": [one.page_url for one in events],
    }
    return set(session.scalars(_EVENTS, values | _of(visitor)))


def _of(visitor: Visitor) -> dict[str, Any]:
    return {
        "user_id": visitor.user_id,
        "session_id": visitor.session_id,
        "agent": visitor.agent,
        "address": None if visitor.address is None else str(visitor.address),
    }
