"""Segments: whom a campaign should address, and about what; the table, and its export as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.domains.products.catalogue import name_of
from recsys.errors import Invalid, NotFound
from recsys.own_ids.answers import usernames_of
from recsys.own_ids.scheme import IdKind
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Merchandiser
from serving.console.list_screens.naming import (
    brand_named,
    category_named,
    each_named,
    moment_named,
    product_named,
    user_named,
)
from serving.console.rendering import TEMPLATES, screen_router
from serving.recommender.recommender import Recommender
from serving.segments.members import NamedMember, Segment, SegmentKind, as_csv, named
from serving.segments.service import SegmentRequest, make

__all__ = ["SEGMENT_TITLES", "SegmentsContent", "router"]

router = screen_router("segments")
DISPLAYED, EXPORTED = 50, 10_000
"""Users on the page, and in the file."""
SEGMENT_TITLES = {
    SegmentKind.BUYERS: "Likely buyers",
    SegmentKind.LOOK_ALIKES: "Look-alikes",
    SegmentKind.NEXT_CATEGORY: "Next best category",
    SegmentKind.REPLENISHMENT: "Replenishment due",
    SegmentKind.PRICE_DROP: "Price drop for those who looked",
    SegmentKind.BACK_IN_STOCK: "Back in stock for those who looked",
}
Words = Annotated[str, Query(max_length=2_000)]
ShortWords = Annotated[str, Query(max_length=255)]


class SegmentForm(BaseModel):
    """The fields of the screen, as they were typed."""

    kind: SegmentKind | None
    products: str
    category: str
    brand: str
    users: str
    new: bool
    days: float
    as_of: str


@dataclass
class UnderstoodForm:
    """What the fields name. problems : of each field that names nothing, by its name."""

    request: SegmentRequest | None = None
    named: list[tuple[str, str]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


class SegmentRow(BaseModel):
    """One user of the segment."""

    user_id: int
    username: str | None
    product_id: int | None
    sku: str | None
    product: str | None
    category_id: int | None
    category_slug: str | None
    category: str | None
    chance: float | None
    similarity: float | None
    at: datetime | None


class SegmentsContent(BaseModel):
    """The content of the screen.

    form : as it was typed. understood : what it names, as label and names. model : by which model.
    as_of : from which moment days are counted; from_old_data : since no interaction is younger.
    problem : why there is no segment; problems : the same, by field.
    """

    kinds: list[tuple[str, str]]
    form: SegmentForm
    title: str = ""
    understood: list[tuple[str, str]] = []
    model: str | None = None
    as_of: datetime | None = None
    from_old_data: bool = False
    rows: list[SegmentRow] = []
    problem: str | None = None
    problems: dict[str, str] = {}


def _form(
    kind: SegmentKind | None = None,
    products: Words = "",
    category: ShortWords = "",
    brand: ShortWords = "",
    users: Words = "",
    new: bool = False,
    days: Annotated[float, Query(gt=0, le=366, allow_inf_nan=False)] = 7.0,
    as_of: Annotated[str, Query(max_length=40)] = "",
) -> SegmentForm:
    """Read the address."""
    return SegmentForm(
        kind=kind, products=products, category=category, brand=brand, users=users, new=new, days=days,
        as_of=as_of,
    )  # fmt: skip


FormQuery = Annotated[SegmentForm, Depends(_form)]


@router.get("")
async def segments(request: Request, user: Merchandiser, form: FormQuery) -> Response:
    """The first users of a segment."""
    content = SegmentsContent(
        kinds=[(each.value, title) for each, title in SEGMENT_TITLES.items()], form=form
    )
    if form.kind is not None:
        content.title = SEGMENT_TITLES[form.kind]
        recommender: Recommender = request.app.state.recommender
        await run_in_threadpool(_fill, recommender.data.catalogue, content, form.kind)
    return TEMPLATES.page(request, "console/segments.html.j2", content)


@router.get("/export")
async def export(request: Request, user: Merchandiser, kind: SegmentKind, form: FormQuery) -> Response:
    """The users of a segment as CSV. Raises Invalid and NotFound as the segment does."""
    recommender: Recommender = request.app.state.recommender
    catalogue = recommender.data.catalogue
    understood = await run_in_threadpool(_understood, catalogue, form, kind, EXPORTED)
    if understood.request is None:
        raise Invalid("; ".join(understood.problems.values()), field=next(iter(understood.problems)))
    _, members = await run_in_threadpool(_named_segment, understood.request)
    headers = {"Content-Disposition": f'attachment; filename="{kind}.csv"', "Cache-Control": "no-store"}
    return Response(as_csv(members), media_type="text/csv; charset=utf-8", headers=headers)


def _fill(catalogue: Catalogue, content: SegmentsContent, kind: SegmentKind) -> None:
    understood = _understood(catalogue, content.form, kind, DISPLAYED)
    content.understood, content.problems = understood.named, understood.problems
    if understood.request is None:
        content.problem = "Correct the marked field."
        return
    try:
        segment, members = _named_segment(understood.request)
    except (Invalid, NotFound) as error:
        content.problem = error.message
        place = _PLACES.get(str(error.details.get("field")))
        if place is not None:
            content.problems[place] = error.message
        return
    content.model, content.as_of = segment.model, segment.as_of
    content.from_old_data = segment.from_old_data
    content.rows = [SegmentRow.model_validate(each, from_attributes=True) for each in members]


_PLACES = {"product_id": "products", "user_id": "users", "days": "days", "as_of": "as_of"}
"""The field of the screen for a field of the request that was refused."""


def _understood(catalogue: Catalogue, form: SegmentForm, kind: SegmentKind, limit: int) -> UnderstoodForm:
    """Read the fields that this kind uses; the others are left alone, as they may be of another kind."""
    found = UnderstoodForm()
    buyers, alike = kind is SegmentKind.BUYERS, kind is SegmentKind.LOOK_ALIKES
    products: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    category = brand = as_of = None
    if buyers:
        with _problem_of("products", found):
            products = each_named(form.products, "products", lambda words: product_named(catalogue, words))
        with _problem_of("category", found):
            category = category_named(form.category)
        with _problem_of("brand", found):
            brand = brand_named(form.brand)
    if alike:
        with _problem_of("users", found):
            users = each_named(form.users, "people", user_named)
    with _problem_of("as_of", found):
        as_of = moment_named(form.as_of)
    found.named = _names(catalogue, products, category, brand, users)
    if not found.problems:
        found.request = SegmentRequest(
            kind, products, category, brand, users, form.new and buyers, form.days, limit=limit, as_of=as_of
        )
    return found


def _names(
    catalogue: Catalogue,
    products: Sequence[int],
    category: int | None,
    brand: int | None,
    users: Sequence[int],
) -> list[tuple[str, str]]:
    """What was understood, as label and name, so that a wrong match of a name is seen."""
    found = [("product", catalogue.name(each) or f"number {each}") for each in products]
    with unit_of_work() as session:
        for kind, number in ((IdKind.CATEGORY, category), (IdKind.BRAND, brand)):
            if number is not None:
                found.append((kind.value, name_of(session, kind, number) or f"number {number}"))
        usernames = usernames_of(session, users)
    return found + [("person", usernames.get(each) or f"number {each}") for each in users]


@contextmanager
def _problem_of(name: str, found: UnderstoodForm) -> Iterator[None]:
    """Note an error beside its field."""
    try:
        yield
    except (Invalid, NotFound) as error:
        found.problems[name] = error.message


def _named_segment(wanted: SegmentRequest) -> tuple[Segment, list[NamedMember]]:
    with unit_of_work() as session:
        segment = make(session, wanted)
        return segment, named(session, segment.members)
