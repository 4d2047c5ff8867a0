"""Visits (`user_sessions`) computed from page views and events; 30 minutes without an event end a visit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BOOLEAN, INTEGER, NUMERIC, TIMESTAMP, VARCHAR
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.analytics.anonymisation import campaign_of
from recsys.domains.analytics.schemas import SHOP
from recsys.domains.analytics.tables import AnalyticsSession
from recsys.domains.analytics.user_agents import described
from recsys.domains.orders.states import Financial, Status
from recsys.money import LARGEST
from recsys.settings import get_settings

__all__ = ["CANCELLED", "CART", "ORDERED", "SOLD", "attribute", "hold", "roll_up"]

CART, ORDERED = "add_to_cart", "order_placed"
"""The shop's own events."""
SOLD = [str(one) for one in (Financial.PAID, Financial.PARTIALLY_REFUNDED, Financial.REFUNDED)]
"""An order is a sale once it was paid; a later refund does not change that."""
CANCELLED = str(Status.CANCELLED)
_LONGEST_NAME = 240

_HOLD = text(
    """
    SELECT pg_advisory_xact_lock(number)
    FROM (
        SELECT DISTINCT hashtextextended('visits ' || given.id, 0) AS number
        FROM unnest(:sessions) AS given(id)
        ORDER BY 1
    ) AS numbers
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))

_ORDERED_BY = text(
    """
    SELECT DISTINCT (properties ->> 'order_id')::integer FROM analytics_db.user_events
    WHERE session_id = ANY(:sessions) AND event_category = :shop AND event_type = :ordered
        AND properties ? 'order_id'
    """
).bindparams(bindparam("sessions", type_=ARRAY(VARCHAR)))
_SOLD = text(
    """
    SELECT id, total_price FROM orders_db.orders
    WHERE id = ANY(:ids) AND financial_status = ANY(:sold) AND status IS DISTINCT FROM :cancelled
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)), bindparam("sold", type_=ARRAY(VARCHAR)))
# only the last visit that began before `since` and those after it can change: numbering continues there
_VISITS = text(
    """
    WITH touched AS (
        SELECT given.session_id, given.base, coalesce(earlier.since, '-infinity') AS since
        FROM unnest(:sessions, :bases, :sinces) AS given(session_id, base, since)
        CROSS JOIN LATERAL (
            SELECT max(v.start_time) AS since FROM analytics_db.user_sessions AS v
            WHERE split_part(v.session_id, ' ', 1) = given.base AND v.start_time <= given.since
        ) AS earlier
    ), numbered AS (
        SELECT touched.*, (
            SELECT count(*) FROM analytics_db.user_sessions AS v
            WHERE split_part(v.session_id, ' ', 1) = touched.base AND v.start_time < touched.since
        ) AS before
        FROM touched
    ), done AS (
        SELECT t.base, t.before, p.id, p.timestamp AS moment, p.user_id, p.user_agent, p.country, p.city,
            true AS is_page, p.page_url, p.referrer_url, NULL::numeric AS value
        FROM numbered AS t JOIN analytics_db.page_views AS p
            ON p.session_id = t.session_id AND p.timestamp >= t.since
        UNION ALL
        SELECT t.base, t.before, e.id, e.timestamp, e.user_id, e.user_agent, NULL, NULL, false, NULL, NULL,
            o.total_price
        FROM numbered AS t JOIN analytics_db.user_events AS e
            ON e.session_id = t.session_id AND e.timestamp >= t.since
        LEFT JOIN unnest(:order_ids, :order_values) AS o(id, total_price)
            ON o.id = CASE WHEN e.event_category = :shop AND e.event_type = :ordered
                THEN (e.properties ->> 'order_id')::integer END
    ), parted AS (
        SELECT done.*, moment - lag(moment) OVER visitor > :gap AS opens FROM done
        WINDOW visitor AS (PARTITION BY base ORDER BY moment, is_page DESC, id)
    ), counted AS (
        SELECT parted.*, before + 1 + count(*) FILTER (WHERE opens) OVER visitor AS number FROM parted
        WINDOW visitor AS (PARTITION BY base ORDER BY moment, is_page DESC, id)
    )
    SELECT base, number, min(moment) AS first, max(moment) AS last,
        count(*) FILTER (WHERE is_page) AS pages, count(*) FILTER (WHERE NOT is_page) AS events,
        count(value) AS orders, coalesce(sum(value), 0) AS value,
        (array_agg(user_id ORDER BY moment DESC, id DESC) FILTER (WHERE user_id IS NOT NULL))[1] AS user_id,
        (array_agg(user_agent ORDER BY moment, id) FILTER (WHERE user_agent IS NOT NULL))[1] AS agent,
        (array_agg(country ORDER BY moment, id) FILTER (WHERE country IS NOT NULL))[1] AS country,
        (array_agg(city ORDER BY moment, id) FILTER (WHERE city IS NOT NULL))[1] AS city,
        (array_agg(referrer_url ORDER BY moment, id) FILTER (WHERE is_page))[1] AS referrer,
        (array_agg(page_url ORDER BY moment, id) FILTER (WHERE page_url ILIKE '%utm\\_%'))[1] AS campaign
    FROM counted GROUP BY base, number ORDER BY base, number
    """
).bindparams(
    bindparam("sessions", type_=ARRAY(VARCHAR)),
    bindparam("bases", type_=ARRAY(VARCHAR)),
    bindparam("sinces", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("order_ids", type_=ARRAY(INTEGER)),
    bindparam("order_values", type_=ARRAY(NUMERIC)),
)
_COLUMNS: dict[str, Any] = {
    "session_id": VARCHAR,
    "user_id": INTEGER,
    "start_time": TIMESTAMP(timezone=True),
    "end_time": TIMESTAMP(timezone=True),
    "duration_seconds": INTEGER,
    "page_views": INTEGER,
    "events": INTEGER,
    "bounce": BOOLEAN,
    "converted": BOOLEAN,
    "conversion_value": NUMERIC,
    "device_type": VARCHAR,
    "browser": VARCHAR,
    "os": VARCHAR,
    "country": VARCHAR,
    "city": VARCHAR,
    "referrer": VARCHAR,
    "utm_source": VARCHAR,
    "utm_medium": VARCHAR,
    "utm_campaign": VARCHAR,
}
_WRITE = text(
    """
    INSERT INTO analytics_db.user_sessions AS kept (session_id, user_id, start_time, end_time,
        duration_seconds, page_views, events, bounce, converted, conversion_value, device_type, browser, os,
        country, city, referrer, utm_source, utm_medium, utm_campaign, created_at)
    SELECT given.*, :now FROM unnest(:session_id, :user_id, :start_time, :end_time, :duration_seconds,
        :page_views, :events, :bounce, :converted, :conversion_value, :device_type, :browser, :os, :country,
        :city, :referrer, :utm_source, :utm_medium, :utm_campaign) AS given
    ON CONFLICT (session_id) DO UPDATE SET
        user_id = excluded.user_id, start_time = excluded.start_time, end_time = excluded.end_time,
        duration_seconds = excluded.duration_seconds, page_views = excluded.page_views,
        events = excluded.events, bounce = excluded.bounce, converted = excluded.converted,
        conversion_value = excluded.conversion_value, device_type = excluded.device_type,
        browser = excluded.browser, os = excluded.os, country = excluded.country, city = excluded.city,
        referrer = excluded.referrer, utm_source = excluded.utm_source, utm_medium = excluded.utm_medium,
        utm_campaign = excluded.utm_campaign
    WHERE (kept.user_id, kept.start_time, kept.end_time, kept.page_views, kept.events, kept.converted,
            kept.conversion_value, kept.device_type, kept.browser, kept.os, kept.country, kept.city,
            kept.referrer, kept.utm_source, kept.utm_medium, kept.utm_campaign)
        IS DISTINCT FROM (excluded.user_id, excluded.start_time, excluded.end_time, excluded.page_views,
            excluded.events, excluded.converted, excluded.conversion_value, excluded.device_type,
            excluded.browser, excluded.os, excluded.country, excluded.city, excluded.referrer,
            excluded.utm_source, excluded.utm_medium, excluded.utm_campaign)
    """
).bindparams(*[bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()])
# two visits that a late event joined leave one number too many
_DROP = text(
    """
    DELETE FROM analytics_db.user_sessions AS v USING unnest(:bases, :lasts) AS given(base, last)
    WHERE split_part(v.session_id, ' ', 1) = given.base
        AND coalesce(nullif(split_part(v.session_id, ' ', 2), ''), '1')::integer > given.last
    """
).bindparams(bindparam("bases", type_=ARRAY(VARCHAR)), bindparam("lasts", type_=ARRAY(INTEGER)))
_ATTRIBUTE = text(
    """
    UPDATE analytics_db.user_events AS e SET session_id = near.session_id
    FROM analytics_db.user_events AS own CROSS JOIN LATERAL (
        SELECT session_id FROM (
            SELECT p.session_id, p.timestamp FROM analytics_db.page_views AS p
            WHERE p.user_id = own.user_id AND p.session_id IS NOT NULL
                AND p.timestamp BETWEEN own.timestamp - :gap AND own.timestamp
            UNION ALL
            SELECT u.session_id, u.timestamp FROM analytics_db.user_events AS u
            WHERE u.user_id = own.user_id AND u.session_id IS NOT NULL
                AND u.timestamp BETWEEN own.timestamp - :gap AND own.timestamp
        ) AS done ORDER BY timestamp DESC, session_id LIMIT 1
    ) AS near
    WHERE e.id = own.id AND own.event_category = :shop AND own.session_id IS NULL AND own.user_id IS NOT NULL
        AND own.timestamp >= :since AND own.timestamp < :until
        AND (CAST(:user_id AS integer) IS NULL OR own.user_id = :user_id)
    RETURNING e.session_id, e.timestamp
    """
)


def hold(session: Session, sessions: Sequence[str]) -> None:
    """Lock these visitors until the transaction ends, so that no other transaction changes their visits."""
    # on the server of the visits, whose transaction ends last
    session.execute(_HOLD, {"sessions": list(sessions)}, bind_arguments={"mapper": AnalyticsSession})


def roll_up(session: Session, touched: Mapping[str, datetime]) -> int:
    """Compute the visits of visitors again, each from the moment of the first change; return their number.

    The caller holds the locks of the visitors. Late events join, extend or split visits like others.
    """
    if not touched:
        return 0
    bases = {_base(one): one for one in touched}
    rows = session.execute(
        _VISITS,
        {
            "sessions": list(bases.values()),
            "bases": list(bases),
            "sinces": [touched[one] for one in bases.values()],
            "gap": _gap(),
            "shop": SHOP,
            "ordered": ORDERED,
            **_sold(session, list(bases.values())),
        },
    ).all()
    if rows:
        visits = [_visit(row) for row in rows]
        columns = {name: [visit[name] for visit in visits] for name in _COLUMNS}
        session.execute(_WRITE, {**columns, "now": clock.now()})
        lasts = {row.base: row.number for row in rows}
        session.execute(_DROP, {"bases": list(lasts), "lasts": list(lasts.values())})
    return len(rows)


def attribute(
    session: Session, *, since: datetime, until: datetime, user_id: int | None = None
) -> dict[str, datetime]:
    """Assign the shop's events of users, which name no session, to the visit that the user was on.

    That is the session of the user's latest event before, within the timeout that ends a visit.

    Parameters
    ----------
    since, until
        The events between these moments are assigned.
    user_id
        The user whose events are assigned; None: those of all.

    Returns
    -------
    dict of str to datetime
        The sessions that got an event, each with the earliest moment.
    """
    given: dict[str, datetime] = {}
    for row in session.execute(
        _ATTRIBUTE, {"since": since, "until": until, "user_id": user_id, "gap": _gap(), "shop": SHOP}
    ):
        given[row.session_id] = min(row.timestamp, given.get(row.session_id, row.timestamp))
    return given


def _sold(session: Session, sessions: list[str]) -> dict[str, list[Any]]:
    """The orders of visitors that are sales, and what they were worth; orders may lie on another server."""
    ids = session.scalars(_ORDERED_BY, {"sessions": sessions, "shop": SHOP, "ordered": ORDERED}).all()
    found = session.execute(_SOLD, {"ids": ids, "sold": SOLD, "cancelled": CANCELLED}).all() if ids else []
    return {"order_ids": [row.id for row in found], "order_values": [row.total_price for row in found]}


def _gap() -> timedelta:
    return timedelta(minutes=get_settings().analytics.visit_minutes)


def _base(session_id: str) -> str:
    # guests' sessions hold no space, so no visit's name is another visitor's session
    if len(session_id) <= _LONGEST_NAME and " " not in session_id:
        return session_id
    return hashlib.sha256(session_id.encode()).hexdigest()


def _visit(row: Row[Any]) -> dict[str, Any]:
    agent, campaign = described(row.agent), campaign_of(row.campaign)
    value: Decimal = row.value
    return {
        "session_id": row.base if row.number == 1 else f"{row.base} {row.number}",
        "user_id": row.user_id,
        "start_time": row.first,
        "end_time": row.last,
        "duration_seconds": int((row.last - row.first).total_seconds()),
        "page_views": row.pages,
        "events": row.events,
        "bounce": row.pages == 1 and row.events == 0,
        "converted": row.orders > 0,
        "conversion_value": min(value, LARGEST),
        "device_type": agent.device_type,
        "browser": agent.browser,
        "os": agent.os,
        "country": row.country,
        "city": row.city,
        "referrer": row.referrer,
        "utm_source": campaign.source,
        "utm_medium": campaign.medium,
        "utm_campaign": campaign.name,
    }
