"""A person: history, tastes, lists with reasons, what was shown and what followed; and acting as them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Annotated, Any, Literal, get_args

from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations import preferences
from recsys.domains.recommendations import service as recommendations
from recsys.domains.recommendations.feedback import ingest as feedback
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.interactions.history import interactions_of
from recsys.domains.recommendations.rules.types import SHELF_NAMES
from recsys.domains.recommendations.schemas import TasteOut
from recsys.domains.users import administration
from recsys.domains.users.service import get_user
from recsys.domains.users.tables import User
from recsys.errors import RecsysError
from recsys.own_ids.references import UserText
from recsys.write_buffer.buffer import Sender
from recsys.write_buffer.senders import in_post_thread
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Operator, Viewer
from serving.console.list_screens.displayed_lists import ComparedModels, DisplayedList, displayed, products_of
from serving.console.list_screens.naming import product_named
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.ranking.eligibility import Novelty
from serving.recommender.recommender import Recommender
from serving.recommender.request import Filters, RecommendationRequest
from serving.recommender.response import RecommendationResponse

__all__ = ["PeopleContent", "PersonContent", "router"]

router = screen_router("people")
LIST_LENGTH = 10
MAX_HISTORY = 60
MAX_MATCHES = 25
MAX_LISTS_SHOWN = 8
EventType = Literal["view", "like", "add_to_cart", "purchase", "dismissed"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
_models = ComparedModels()
UserId = Annotated[UserText, Path(description="A number or `username:…`.")]


class PersonSummary(BaseModel):
    """One account among the matches of a search."""

    id: int
    username: str
    full_name: str
    email: str
    created_at: datetime | None
    is_active: bool

    @classmethod
    def of(cls, row: User) -> PersonSummary:
        """Return the summary of an account."""
        return cls(
            id=row.id,
            username=row.username,
            full_name=row.full_name,
            email=row.email,
            created_at=row.created_at,
            is_active=row.is_active is not False,
        )


class PeopleContent(BaseModel):
    """The content of the search for a person.

    Attributes
    ----------
    query
        What was searched for; empty for the first accounts.
    """

    query: str
    matches: list[PersonSummary]


class PastInteraction(BaseModel):
    """One interaction of the history."""

    type: str
    product_id: int
    name: str
    moment: datetime | None


class HistoryDay(BaseModel):
    """The interactions of one day, newest first.

    Attributes
    ----------
    day
        Such as 2026-11-29, or "undated".
    """

    day: str
    interactions: list[PastInteraction]


class TasteEntry(BaseModel):
    """One preference.

    Attributes
    ----------
    share
        From 0 to 1, of the strongest of its kind.
    """

    facet: str
    name: str
    value: float
    share: float


class ShownPage(BaseModel):
    """One page of a list that was shown, and what the person did with its products afterwards.

    Attributes
    ----------
    products
        Number and name of each.
    asked_at
        The moment at which "why" finds this page, as its field has it; None of a list with a name of the
        shop's own.
    """

    request_id: str
    placement: str
    shown_at: datetime
    model: str | None
    arm: str | None
    source: str
    products: list[tuple[int, str]]
    asked_at: str | None
    followed: list[str]


class PersonContent(BaseModel):
    """The content of the screen of one person.

    Attributes
    ----------
    other_models
        To choose `other_model` from.
    compared
        The live list of the serving model, and that of the other model; empty where none is compared.
    overlap
        How many products the two share.
    comparison_problem
        Why none is compared.
    """

    person: PersonSummary
    counts: dict[str, int]
    history: list[HistoryDay]
    stated: list[TasteEntry]
    inferred: list[TasteEntry]
    lists: list[DisplayedList]
    shown: list[ShownPage]
    other_models: list[tuple[str, str]]
    other_model: str | None
    compared: list[DisplayedList]
    overlap: int | None
    comparison_problem: str | None
    event_types: list[tuple[str, str]]


class EventForm(BaseModel):
    """An interaction to post for the person."""

    product: str = Field(min_length=1, max_length=255)
    interaction_type: EventType


@router.get("")
def people(request: Request, user: Viewer, q: Annotated[str, Query(max_length=200)] = "") -> Response:
    """Find a person by own id, name or e-mail."""
    with unit_of_work() as session:
        rows = (
            administration.find_accounts(session, q, limit=MAX_MATCHES)
            if q.strip()
            else administration.listed(session, status="open", prefix=None, after=0, limit=MAX_MATCHES)
        )
        content = PeopleContent(query=q.strip(), matches=[PersonSummary.of(row) for row in rows])
    return TEMPLATES.page(request, "console/people.html.j2", content)


@router.get("/{user_id}")
async def person(
    request: Request,
    user: Viewer,
    user_id: UserId,
    model: Annotated[str, Query(max_length=100)] = "",
    before: Annotated[str, Query(pattern=r"^[0-9]{0,10}(,[0-9]{1,10}){0,20}$")] = "",
) -> Response:
    """One person; before : the products of the first list before an event, to mark what changed."""
    recommender: Recommender = request.app.state.recommender
    lists = []
    for title, novelty in (("Any product", Novelty.ANY), ("New to this person", Novelty.NEW)):
        wanted = RecommendationRequest(user=user_id, limit=LIST_LENGTH, novelty=novelty)
        response = await recommender.recommend(wanted)
        parts = await recommender.explain(wanted, response.entries)
        lists.append(displayed(title, recommender.data.catalogue, response, parts))
    if before:
        _mark_changes(
            lists[0], [int(product) for product in before.split(",") if product], recommender.data.catalogue
        )
    compared, overlap, problem = await _compared(recommender, user_id, model)
    content = await run_in_threadpool(_content, recommender.data.catalogue, user_id, lists)
    content.other_model, content.compared = model or None, compared
    content.overlap, content.comparison_problem = overlap, problem
    return TEMPLATES.page(request, "console/person.html.j2", content)


@router.post("/{user_id}/events")
async def act_as_person(
    request: Request, user: Operator, user_id: UserId, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """Post an interaction for the person; the next list considers it."""
    given = form.model(EventForm)
    recommender: Recommender = request.app.state.recommender
    product = await run_in_threadpool(product_named, recommender.data.catalogue, given.product)
    listed = await recommender.recommend(RecommendationRequest(user=user_id, limit=LIST_LENGTH))
    body = {"user_id": user_id, "product_id": product, "interaction_type": given.interaction_type}
    await in_post_thread(recommendations.record_interactions, body, Sender())
    before = ",".join(str(entry.product) for entry in listed.entries)
    name = recommender.data.catalogue.name(product or 0)
    return redirect(
        f"/console/people/{user_id}?before={before}#lists",
        f"Stored: {given.interaction_type.replace('_', ' ')} of {name}. The list marks what changed.",
    )


def _mark_changes(shown: DisplayedList, before: Sequence[int], catalogue: Catalogue) -> None:
    """Name for each product how its position changed."""
    places = {product: place for place, product in enumerate(before, 1)}
    for product in shown.products:
        old = places.get(product.product_id)
        if old is None:
            product.change = "new"
        elif old != product.position:
            moved = old - product.position
            product.change = f"up {moved}" if moved > 0 else f"down {-moved}"
    listed = {product.product_id for product in shown.products}
    shown.left = [
        (product, catalogue.name(product) or f"product {product}")
        for product in before
        if product not in listed
    ]


async def _compared(
    recommender: Recommender, user_id: int, name: str
) -> tuple[list[DisplayedList], int | None, str | None]:
    """The live list of the serving model beside that of another model, how many they share, or a problem."""
    serving = recommender.data.model
    if not name or serving is None:
        return [], None, None
    # a filter that every product passes: both lists are ranked now, from the same history
    wanted = RecommendationRequest(user=user_id, limit=LIST_LENGTH, filters=Filters(min_price=0.0))
    catalogue = recommender.data.catalogue
    loaded = {
        model.registered.name: model for model in (*recommender.data.auxiliary.by_algorithm.values(), serving)
    }
    try:
        other = loaded[name] if name in loaded else await run_in_threadpool(_models.get, name)
        ranked = [await recommender.stages_by(wanted, each) for each in (serving, other)]
    except RecsysError as error:
        return [], None, error.message
    tops = [list(stages.reranked.entries[:LIST_LENGTH]) for stages in ranked]
    sets = [{entry.product for entry in top} for top in tops]
    lists = []
    for stages, top, beside in zip(ranked, tops, reversed(sets), strict=True):
        model = stages.ranked.model
        response = RecommendationResponse(
            wanted, top, "live", None if model is None else model.registered.name
        )
        shown = displayed(response.model or "popular products", catalogue, response)
        shown.products = products_of(catalogue, top, beside=beside)
        lists.append(shown)
    return lists, len(sets[0] & sets[1]), None


def _content(catalogue: Catalogue, user_id: int, lists: list[DisplayedList]) -> PersonContent:
    with unit_of_work() as session:
        person = PersonSummary.of(get_user(session, user_id))
        rows = interactions_of(session, user_id=user_id, limit=MAX_HISTORY)
        tastes = preferences.of_user(session, user_id)
        models = [(each.name, each.name) for each in registry.list_models(session) if not each.is_active]
        history = [
            PastInteraction(
                type=row.interaction_type,
                product_id=row.product_id,
                name=catalogue.name(row.product_id) or f"product {row.product_id}",
                moment=row.created_at,
            )
            for row in rows
        ]
        shown = _shown(session, catalogue, user_id, history)
    days = groupby(history, key=lambda each: "undated" if each.moment is None else f"{each.moment:%Y-%m-%d}")
    return PersonContent(
        person=person,
        counts=dict(Counter(each.type for each in history)),
        history=[HistoryDay(day=day, interactions=list(group)) for day, group in days],
        stated=_tastes(tastes.explicit),
        inferred=_tastes(tastes.inferred),
        lists=lists,
        shown=shown,
        other_models=models,
        other_model=None,
        compared=[],
        overlap=None,
        comparison_problem=None,
        event_types=[(each, each.replace("_", " ")) for each in EVENT_TYPES],
    )


def _tastes(taste: TasteOut) -> list[TasteEntry]:
    entries = []
    for facet in ("categories", "brands", "colors", "sizes", "styles"):
        values: Mapping[str, float] = getattr(taste, facet)
        most = max((abs(value) for value in values.values()), default=0.0) or 1.0
        strongest = sorted(values.items(), key=lambda pair: -abs(pair[1]))[:6]
        entries += [
            TasteEntry(facet=facet, name=name, value=value, share=max(0.0, value / most))
            for name, value in strongest
        ]
    return entries


def _shown(
    session: Session, catalogue: Catalogue, user_id: int, history: Sequence[PastInteraction]
) -> list[ShownPage]:
    """The last pages that were shown, with the feedback and the interactions that followed."""
    pieces: list[Any] = list(feedback.of_user(session, user_id, limit=200))
    pages = []
    for page in impressions.lists_of(session, user_id=user_id, limit=MAX_LISTS_SHOWN):
        followed = [
            f"{piece.feedback_type} {catalogue.name(piece.product_id) or piece.product_id}"
            for piece in pieces
            if piece.feedback_type != "shown"
            and piece.product_id in page.products
            and piece.created_at
            and piece.created_at >= page.shown_at
        ]
        followed += [
            f"{each.type.replace('_', ' ')} {each.name}"
            for each in history
            if each.product_id in page.products and each.moment and each.moment >= page.shown_at
        ]
        pages.append(
            ShownPage(
                request_id=page.request_id,
                placement=page.shelf,
                shown_at=page.shown_at,
                model=page.model,
                arm=page.arm,
                source=page.source,
                products=[(each, catalogue.name(each) or f"product {each}") for each in page.products],
                # the seconds, rounded up: the page is the last one before that moment
                asked_at=f"{page.shown_at + timedelta(seconds=1):%Y-%m-%dT%H:%M:%S}"
                if page.shelf in SHELF_NAMES
                else None,
                followed=list(dict.fromkeys(followed))[:5],
            )
        )
    return pages
