"""Segments: whom a campaign should address, and about what; the table, and its export as CSV."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.errors import Invalid, NotFound
from recsys.own_ids.answers import skus_of, usernames_of
from serving.console.access import Operator
from serving.console.rendering import TEMPLATES, screen_router
from serving.segments.members import Segment, SegmentKind, as_csv
from serving.segments.service import SegmentRequest, make

__all__ = ["SegmentsContent", "router"]

router = screen_router("segments")
DISPLAYED, EXPORTED = 50, 10_000
"""Users on the page, and in the file."""
_NUMBERS = re.compile(r"\s*|\s*\d{1,9}(?:[\s,]+\d{1,9}){0,199}\s*", re.ASCII)
_TITLES = {
    SegmentKind.BUYERS: "Likely buyers",
    SegmentKind.LOOK_ALIKES: "Look-alikes",
    SegmentKind.NEXT_CATEGORY: "Next best category",
    SegmentKind.REPLENISHMENT: "Replenishment due",
    SegmentKind.PRICE_DROP: "Price drop for those who looked",
    SegmentKind.BACK_IN_STOCK: "Back in stock for those who looked",
}
Numbers = Annotated[str, Query(max_length=2_000)]
Days = Annotated[float, Query(gt=0, le=366)]


class SegmentRow(BaseModel):
    """One user of the segment."""

    user_id: int
    username: str | None
    product_id: int | None
    sku: str | None
    category_id: int | None
    chance: float | None
    similarity: float | None
    at: datetime | None


class SegmentsContent(BaseModel):
    """The content of the screen. kind : None before one is chosen; problem : why there is no segment."""

    kinds: list[tuple[str, str]]
    kind: SegmentKind | None
    products: str
    category: str
    users: str
    days: float
    model: str | None = None
    rows: list[SegmentRow] = []
    problem: str | None = None


@router.get("")
async def segments(
    request: Request,
    user: Operator,
    kind: SegmentKind | None = None,
    products: Numbers = "",
    category: Numbers = "",
    users: Numbers = "",
    days: Days = 7.0,
) -> Response:
    """The first users of a segment."""
    content = SegmentsContent(
        kinds=[(each.value, title) for each, title in _TITLES.items()],
        kind=kind, products=products, category=category, users=users, days=days,
    )  # fmt: skip
    if kind is not None:
        try:
            wanted = _wanted(kind, products, category, users, days, DISPLAYED)
            content.model, content.rows = await run_in_threadpool(_rows, wanted)
        except (Invalid, NotFound) as error:
            content.problem = error.message
    return TEMPLATES.page(request, "console/segments.html.j2", content)


@router.get("/export")
async def export(
    user: Operator,
    kind: SegmentKind,
    products: Numbers = "",
    category: Numbers = "",
    users: Numbers = "",
    days: Days = 7.0,
) -> Response:
    """The users of a segment as CSV. Raises Invalid and NotFound as the segment does."""
    wanted = _wanted(kind, products, category, users, days, EXPORTED)
    segment = await run_in_threadpool(_segment, wanted)
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"', "Cache-Control": "no-store"}
    return Response(as_csv(segment.members), media_type="text/csv; charset=utf-8", headers=headers)


def _wanted(
    kind: SegmentKind, products: str, category: str, users: str, days: float, limit: int
) -> SegmentRequest:
    categories = _numbers(category, "category")
    if len(categories) > 1:
        raise Invalid("Name one category.", field="category")
    return SegmentRequest(
        kind,
        product_ids=_numbers(products, "products"),
        category_id=categories[0] if categories else None,
        user_ids=_numbers(users, "users"),
        days=days,
        limit=limit,
    )


def _numbers(given: str, field: str) -> tuple[int, ...]:
    if _NUMBERS.fullmatch(given) is None:
        raise Invalid(f"{field}: expected numbers with spaces between them, 200 at most", field=field)
    return tuple(int(number) for number in re.findall(r"\d+", given))


def _segment(wanted: SegmentRequest) -> Segment:
    with unit_of_work() as session:
        return make(session, wanted)


def _rows(wanted: SegmentRequest) -> tuple[str | None, list[SegmentRow]]:
    with unit_of_work() as session:
        segment = make(session, wanted)
        usernames = usernames_of(session, [member.user_id for member in segment.members])
        skus = skus_of(session, [each.product_id for each in segment.members if each.product_id is not None])
    return segment.model, [
        SegmentRow(
            user_id=member.user_id,
            username=usernames.get(member.user_id),
            product_id=member.product_id,
            sku=None if member.product_id is None else skus.get(member.product_id),
            category_id=member.category_id,
            chance=member.chance,
            similarity=member.similarity,
            at=member.at,
        )
        for member in segment.members
    ]
