"""The overview: what is served now, how fast, what followed it, and what needs attention."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from models.registry.measurement import MeasuredGroup, MeasuredSpan, Measurement, read_measurement
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions.counts import answered_between
from recsys.domains.recommendations.stored_lists import generations
from recsys.web.metrics import counted
from serving.console.access import Viewer
from serving.console.attention import AttentionItem, attention_items, examiner_of
from serving.console.rendering import TEMPLATES, screen_router
from serving.state.active_model import LoadedModel
from serving.state.serving_data import ServingData

__all__ = ["OverviewContent", "router"]

router = screen_router("")
MINUTES = 5
PLACEMENT_NAMES = {
    "for_you": "For you",
    "any": "For you",
    "new": "New to the customer",
    "similar": "Similar products",
    "bought_together": "Bought together",
    "buy_again": "Buy again",
    "popular": "Popular",
    "trending": "Trending",
    "new_arrivals": "New arrivals",
    "because_you_viewed": "Because you viewed",
    "search": "Search",
    "unknown": "Placement not reported",
}


class ServedQuestion(BaseModel):
    """What answers one question.

    Attributes
    ----------
    model
        None where products are counted instead of ranked by a model.
    """

    question: str
    model: str | None
    algorithm: str
    trained_at: datetime | None


class ServedGeneration(BaseModel):
    """The stored lists that are live."""

    id: int
    model: str
    users: int
    live_at: datetime | None
    expires_at: datetime | None


class AnswerRate(BaseModel):
    """Lists of one source and placement.

    Attributes
    ----------
    per_second
        In the last minutes.
    last_hour
        Lists of the hour.
    """

    source: str
    placement: str
    name: str
    per_second: float
    last_hour: int


class ServerHealth(BaseModel):
    """Of this server since its start.

    Attributes
    ----------
    late_share
        Of the lists of the last minute; None without any.
    """

    late_share: float | None
    lists_last_minute: int
    requests: int
    errors: int


class FollowedRow(BaseModel):
    """One placement: the period and the one before it."""

    placement: str
    name: str
    current: MeasuredGroup | None
    before: MeasuredGroup | None


class OverviewContent(BaseModel):
    """The content of the screen."""

    model: str | None
    model_trained_at: datetime | None
    model_problem: str | None
    generation: ServedGeneration | None
    questions: list[ServedQuestion]
    products: int
    displayable_products: int
    running_tests: list[str]
    minutes: int
    answers: list[AnswerRate]
    answers_per_second: float
    server: ServerHealth
    days: int
    measured_at: datetime | None
    measured_of: str | None
    followed: list[FollowedRow]
    attention: list[AttentionItem] | None
    examined_at: datetime | None


@router.get("")
def overview(request: Request, user: Viewer, days: Annotated[Literal["7", "28"], Query()] = "7") -> Response:
    """What is served now, and what needs attention."""
    return TEMPLATES.page(request, "console/overview.html.j2", _content(request.app, int(days)))


def _content(app: FastAPI, days: int) -> OverviewContent:
    data: ServingData = app.state.refresher.data
    findings, examined_at = examiner_of(app).last()
    with unit_of_work() as session:
        live = generations.live(session)
        answers = _answers(session)
        attention = None if findings is None else attention_items(session, findings)
        measurement = read_measurement(session)
    loaded = data.model
    return OverviewContent(
        model=None if loaded is None else loaded.registered.name,
        model_trained_at=None if loaded is None else loaded.registered.last_trained_at,
        model_problem=data.model_problem,
        generation=None
        if live is None
        else ServedGeneration(
            id=live.id, model=live.model, users=live.users, live_at=live.live_at, expires_at=live.expires_at
        ),
        questions=_questions(data),
        products=len(data.catalogue),
        displayable_products=int(data.catalogue.shown.sum()),
        running_tests=[each.test.name for each in data.tests.all],
        minutes=MINUTES,
        answers=answers,
        answers_per_second=sum(each.per_second for each in answers),
        server=_server(app),
        days=days,
        measured_at=None if measurement is None else measurement.measured_at,
        measured_of=None if measurement is None else measurement.shown,
        followed=_followed(measurement, days),
        attention=attention,
        examined_at=examined_at,
    )


def _questions(data: ServingData) -> list[ServedQuestion]:
    """Who answers each question, in the order in which `serving.ranking.strategies` asks the models."""
    serving, auxiliary = data.model, data.auxiliary
    similar = next(auxiliary.of("similar_items"), None) or serving or next(auxiliary.of("item_knn"), None)
    together = next(auxiliary.of("complements", "bought_together"), None)
    again = next(auxiliary.of("buy_again"), None)
    return [
        _question("Which products suit this customer?", serving, "popular products"),
        _question("Which products are similar to this one?", similar, "products of the same category"),
        _question("What goes with this product or cart?", together, "counted orders"),
        _question("What will this customer buy again?", again, "the customer's own frequency"),
        _question("What is popular, trending or new?", None, "counted interactions"),
    ]


def _question(question: str, model: LoadedModel | None, otherwise: str) -> ServedQuestion:
    if model is None:
        return ServedQuestion(question=question, model=None, algorithm=otherwise, trained_at=None)
    row = model.registered
    return ServedQuestion(
        question=question, model=row.name, algorithm=row.algorithm, trained_at=row.last_trained_at
    )


def _answers(session: Session) -> list[AnswerRate]:
    now = clock.now()
    recent = {
        (each.source, each.placement): each.lists
        for each in answered_between(session, now - timedelta(minutes=MINUTES), now)
    }
    return [
        AnswerRate(
            source=each.source,
            placement=each.placement,
            name=PLACEMENT_NAMES.get(each.placement, each.placement),
            per_second=recent.get((each.source, each.placement), 0) / (60 * MINUTES),
            last_hour=each.lists,
        )
        for each in answered_between(session, now - timedelta(hours=1), now)
    ]


def _server(app: FastAPI) -> ServerHealth:
    lists, late = app.state.late_share.of_last_minute()
    requests = [(labels["status"], value) for labels, value in counted("recsys_http_requests")]
    return ServerHealth(
        late_share=late / lists if lists else None,
        lists_last_minute=lists,
        requests=int(sum(value for _, value in requests)),
        errors=int(sum(value for status, value in requests if status >= "500")),
    )


def _followed(measurement: Measurement | None, days: int) -> list[FollowedRow]:
    span: MeasuredSpan | None = None if measurement is None else measurement.span(days)
    if span is None or span.current.total is None:
        return []
    rows = [FollowedRow(placement="all", name="All", current=span.current.total, before=span.before.total)]
    earlier = {group.name: group for group in span.before.placements}
    for group in sorted(span.current.placements, key=lambda group: -group.impressions):
        name = PLACEMENT_NAMES.get(group.name, group.name)
        rows.append(
            FollowedRow(placement=group.name, name=name, current=group, before=earlier.get(group.name))
        )
    return rows
