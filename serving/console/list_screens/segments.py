"""Segments: whom a campaign should address, and about what; the table, and its export as CSV."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys.errors import Invalid, NotFound
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser
from serving.console.list_screens.segment_form import (
    SEGMENT_TITLES,
    FormQuery,
    SegmentForm,
    named_segment,
    understood_form,
)
from serving.console.rendering import TEMPLATES, screen_router
from serving.recommender.recommender import Recommender
from serving.segments.members import NamedMember, SegmentKind, as_csv

__all__ = ["SegmentsContent", "router"]

router = screen_router("segments")
DISPLAYED, EXPORTED = 50, 10_000
"""Users on the page, and in the file."""


class SegmentsContent(BaseModel):
    """The content of the screen.

    form : as it was typed. understood : what it names, as label and names. model : by which model.
    as_of : from which moment days are counted; from_old_data : since no interaction is younger.
    studio : the address of the studio with this segment.
    problem : why there is no segment; problems : the same, by field.
    """

    kinds: list[tuple[str, str]]
    form: SegmentForm
    title: str = ""
    studio: str = ""
    understood: list[tuple[str, str]] = []
    model: str | None = None
    as_of: datetime | None = None
    from_old_data: bool = False
    rows: list[NamedMember] = []
    problem: str | None = None
    problems: dict[str, str] = {}


@router.get("")
async def segments(request: Request, user: Merchandiser, form: FormQuery) -> Response:
    """The first users of a segment."""
    content = SegmentsContent(
        kinds=[(each.value, title) for each, title in SEGMENT_TITLES.items()], form=form
    )
    if form.kind is not None:
        content.title = SEGMENT_TITLES[form.kind]
        content.studio = f"/console/studio?{urlencode({'segment': form.query()})}"
        recommender: Recommender = request.app.state.recommender
        await run_in_threadpool(_fill, recommender.data.catalogue, content, form.kind)
    return TEMPLATES.page(request, "console/segments.html.j2", content)


@router.get("/export")
async def export(request: Request, user: Merchandiser, kind: SegmentKind, form: FormQuery) -> Response:
    """The users of a segment as CSV. Raises Invalid and NotFound as the segment does."""
    recommender: Recommender = request.app.state.recommender
    catalogue = recommender.data.catalogue
    understood = await run_in_threadpool(understood_form, catalogue, form, kind, EXPORTED)
    if understood.request is None:
        raise Invalid("; ".join(understood.problems.values()), field=next(iter(understood.problems)))
    _, members = await run_in_threadpool(named_segment, understood.request)
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"', "Cache-Control": "no-store"}
    return Response(as_csv(members), media_type="text/csv; charset=utf-8", headers=headers)


def _fill(catalogue: Catalogue, content: SegmentsContent, kind: SegmentKind) -> None:
    understood = understood_form(catalogue, content.form, kind, DISPLAYED)
    content.understood, content.problems = understood.named, understood.problems
    if understood.request is None:
        content.problem = "Correct the marked field."
        return
    try:
        segment, members = named_segment(understood.request)
    except (Invalid, NotFound) as error:
        content.problem = error.message
        place = _PLACES.get(str(error.details.get("field")))
        if place is not None:
            content.problems[place] = error.message
        return
    content.model, content.as_of = segment.model, segment.as_of
    content.from_old_data = segment.from_old_data
    content.rows = members


_PLACES = {"product_id": "products", "user_id": "users", "days": "days", "as_of": "as_of"}
"""The field of the screen for a field of the request that was refused."""
