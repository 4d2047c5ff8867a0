"""Page views and events into their tables: each stored once by its event id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from recsys.database.insert_once import EventRow, insert_once
from recsys.domains.analytics.schemas import PageViewIn
from recsys.domains.analytics.tables import CollectedEvent, PageView, UserEvent
from recsys.domains.analytics.user_agents import described

__all__ = ["StoredEvent", "Visitor", "store_events", "store_pages"]


@dataclass(frozen=True)
class Visitor:
    """The sender of items: the session of the visit, the user where one is logged in, browser and place."""

    session_id: str | None
    user_id: int | None = None
    agent: str | None = None
    address: IPv4Interface | IPv6Interface | None = None
    country: str | None = None
    city: str | None = None


@dataclass(frozen=True)
class StoredEvent:
    """One event as it is stored; `place` is its position in the request."""

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
    """Store page views (place, id, moment, page); the places of those that are new."""
    agent = described(visitor.agent)
    rows = [
        EventRow(
            event_id,
            {
                **_of(visitor),
                "country": visitor.country,
                "city": visitor.city,
                "page_url": page.page_url,
                "page_title": page.page_title,
                "referrer_url": page.referrer_url,
                "device_type": agent.device_type,
                "browser": agent.browser,
                "os": agent.os,
                "timestamp": moment,
            },
        )
        for _, event_id, moment, page in pages
    ]
    return {pages[place][0] for place in insert_once(session, PageView, CollectedEvent, rows)}


def store_events(session: Session, visitor: Visitor, events: Sequence[StoredEvent]) -> set[int]:
    """Store events; the places of those that are new."""
    rows = [
        EventRow(
            one.event_id,
            {
                **_of(visitor),
                "event_type": one.type,
                "event_category": one.category,
                "event_action": one.action,
                "event_label": one.label,
                "event_value": one.value,
                "properties": one.properties or {},
                "page_url": one.page_url,
                "timestamp": one.moment,
            },
        )
        for one in events
    ]
    return {events[place].place for place in insert_once(session, UserEvent, CollectedEvent, rows)}


def _of(visitor: Visitor) -> dict[str, Any]:
    return {
        "user_id": visitor.user_id,
        "session_id": visitor.session_id,
        "user_agent": visitor.agent,
        "ip_address": visitor.address,
    }
