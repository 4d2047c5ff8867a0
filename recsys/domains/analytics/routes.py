"""HTTP routes of analytics: the collector of page views and events, and figures for administrators."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import BeforeValidator

from recsys.domains.analytics import queries, service
from recsys.domains.analytics.anonymisation import kept_address, place_of
from recsys.domains.analytics.event_store import Visitor
from recsys.domains.analytics.schemas import (
    ITEMS,
    BotHitsOut,
    ProductDay,
    SalesDay,
    VisitOut,
    item_schema,
)
from recsys.own_ids.references import ProductText
from recsys.settings import get_settings
from recsys.web.dependencies import AdminUser, GuestSession, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page
from recsys.write_buffer.batches import PostVerdicts
from recsys.write_buffer.senders import VisitorDep, in_post_thread

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["analytics"])

_LONGEST_AGENT = 500
_ITEM = item_schema()
_EXAMPLES = [
    {
        "type": "page_view",
        "event_id": "0d4f-1",
        "page_url": "https://shop.example/tea?utm_source=letter&utm_medium=email",
        "referrer_url": "https://mail.example/",
    },
    {"type": "event", "event_id": "0d4f-2", "event_type": "video_played", "event_value": 12.5},
]


def _written_out(given: object) -> object:
    # pydantic reads a number as a date, too: seconds since 1970
    if isinstance(given, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", given):
        raise ValueError("a day such as 2026-03-29")
    return given


_Date = Annotated[date, BeforeValidator(_written_out)]
Day = Annotated[_Date | None, Query(description="A day such as 2026-03-29, in the shop's time zone.")]


@router.post(
    "/analytics/collect",
    responses={
        202: {"model": PostVerdicts, "description": "Some are queued, and stored when PostgreSQL takes them"},
        **problem_responses(400, 401, 403, 413, 422, 429, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _ITEM,
                            {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": ITEMS.most},
                        ]
                    },
                    "examples": {"one": {"value": _EXAMPLES[0]}, "several": {"value": _EXAMPLES}},
                }
            },
        }
    },
)
async def collect(
    request: Request,
    response: Response,
    sender: VisitorDep,
    guest: GuestSession,
    body: Annotated[Any, Body()],
) -> PostVerdicts:
    """Store up to 500 page views and events of the caller, each with its own verdict.

    `stored`; `duplicate` when its `event_id` is stored already; `refused` with the reason; `ignored` when the
    User-Agent is a bot's; `queued` while PostgreSQL takes no writes (status 202). The session of the visit
    (header `X-Session-Id`, or the cookie) names the visitor, else the log-in. When every item is refused, the
    response is a problem with the verdicts.
    """
    agent = request.headers.get("User-Agent")
    settings = get_settings().analytics
    country, city = place_of(request.headers, settings)
    visitor = Visitor(
        session_id=sender.token_id if guest is None else guest,
        user_id=sender.user_id,
        agent=agent[:_LONGEST_AGENT].replace("\x00", "") if agent else None,
        address=kept_address(None if request.client is None else request.client.host, settings.ip),
        country=country,
        city=city,
    )
    verdicts = await in_post_thread(service.collect, body, visitor, sender)
    if verdicts.queued:
        response.status_code = 202
    return verdicts


@router.get("/admin/analytics/sales", responses=problem_responses(401, 403, 422, 503))
def list_sales(
    session: SessionDep,
    admin: AdminUser,
    since: Day = None,
    until: Day = None,
    limit: Limit = 31,
    cursor: CursorParam = None,
) -> Page[SalesDay]:
    """The shop's sales of each day, the latest first; `recsys analytics rollup` makes them."""
    return queries.sales(session, since=since, until=until, limit=limit, cursor=cursor)


@router.get("/admin/analytics/products", responses=problem_responses(401, 403, 422, 503))
def list_products(
    session: SessionDep,
    admin: AdminUser,
    since: Day = None,
    until: Day = None,
    product_id: ProductText | None = None,
    limit: Limit = 31,
    cursor: CursorParam = None,
) -> Page[ProductDay]:
    """The figures of each product and day, the latest day first, then by product."""
    return queries.products(
        session, since=since, until=until, product_id=product_id, limit=limit, cursor=cursor
    )


@router.get("/admin/analytics/visits", responses=problem_responses(401, 403, 422, 503))
def list_visits(
    session: SessionDep, admin: AdminUser, limit: Limit = 20, cursor: CursorParam = None
) -> Page[VisitOut]:
    """Visits to the shop, the newest first."""
    return queries.visits(session, limit=limit, cursor=cursor)


@router.get("/admin/analytics/bots/{day}", responses=problem_responses(401, 403, 422, 503))
def list_bots(session: SessionDep, admin: AdminUser, day: Annotated[_Date, Path()]) -> list[BotHitsOut]:
    """The number of items that each bot sent on a day; none of them is stored."""
    return queries.bots(session, day)
