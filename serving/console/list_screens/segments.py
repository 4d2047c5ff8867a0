"""Segments: whom a campaign should address, and about what; the table, and its export as CSV."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules.schemas import SegmentName
from recsys.domains.recommendations.segments import service as stored_segments
from recsys.errors import Invalid, NotFound
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser
from serving.console.list_screens.segment_form import (
    FormQuery,
    SegmentForm,
    named_segment,
    understood_form,
)
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.recommender.recommender import Recommender
from serving.segments import stored
from serving.segments.members import SEGMENT_TITLES, NamedMember, SegmentKind, as_csv

__all__ = ["SegmentsContent", "router"]

router = screen_router("segments")
SegmentPath = Annotated[SegmentName, Path()]
DISPLAYED, EXPORTED = 50, 10_000
"""Users on the page, and in the file."""


class StoredRow(BaseModel):
    """A stored segment.

    Attributes
    ----------
    what
        Its definition in words.
    found
        When its members were found.
    """

    name: str
    what: str
    members: int
    found: datetime | None
    problem: str | None
    rules: list[str]


class StoreForm(BaseModel):
    """A name for the segment that the fields of the screen, as a query, describe."""

    name: SegmentName
    query: str = Field(max_length=4_000)


class SegmentsContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    form
        As it was typed.
    studio
        The address of the studio with this segment.
    understood
        What the form names, as label and names.
    model
        The model that found the members.
    as_of
        From which moment days are counted.
    from_old_data
        Whether that moment is the newest interaction's, since none is younger.
    problem
        Why there is no segment.
    problems
        The same, by field.
    query
        The fields as a query.
    stored
        The segments with a name.
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
    query: str = ""
    stored: list[StoredRow] = []


@router.get("")
async def segments(request: Request, user: Merchandiser, form: FormQuery) -> Response:
    """The first users of a segment."""
    content = SegmentsContent(
        kinds=[(each.value, title) for each, title in SEGMENT_TITLES.items()], form=form
    )
    await run_in_threadpool(_fill_stored, content)
    if form.kind is not None:
        content.query = form.query()
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


@router.post("/stored")
def store_segment(
    request: Request, user: Merchandiser, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Store the segment of the screen under a name. Raises Invalid and NotFound as the segment does."""
    given = form.model(StoreForm)
    fields = SegmentForm.of_query(given.query)
    recommender: Recommender = request.app.state.recommender
    if fields.kind is None:
        raise Invalid("Choose a segment first.")
    understood = understood_form(recommender.data.catalogue, fields, fields.kind, EXPORTED)
    if understood.request is None:
        raise Invalid("; ".join(understood.problems.values()), field=next(iter(understood.problems)))
    with unit_of_work() as session:
        count = stored.store_request(session, given.name, understood.request, actor=user.actor)
    return redirect("/console/segments", f"Stored {given.name} with {count:,} members.")


@router.post("/stored/{name}/refresh")
def refresh_stored(
    user: Merchandiser, name: SegmentPath, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Find the members of a stored segment again."""
    with unit_of_work() as session:
        count = stored.refreshed(session, name)
    return redirect("/console/segments", f"{name} has {count:,} members.")


@router.post("/stored/{name}/delete")
def delete_stored(
    user: Merchandiser, name: SegmentPath, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Delete a stored segment that no rule is for."""
    with unit_of_work() as session:
        stored_segments.delete(session, name)
    return redirect("/console/segments", f"Deleted {name}.")


def _fill_stored(content: SegmentsContent) -> None:
    with unit_of_work() as session:
        content.stored = [
            StoredRow(
                name=each.name,
                what=stored.described(session, each.definition),
                members=each.members,
                found=each.refreshed_at,
                problem=each.problem,
                rules=each.rules,
            )
            for each in stored_segments.listed(session)
        ]


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
