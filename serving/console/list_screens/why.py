"""Why, and why not: follows a product through the list of a person, now or at a past moment."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from recsys.database.session import unit_of_work
from recsys.domains.users import administration
from recsys.errors import RecsysError
from serving.catalogue.catalogue import Catalogue
from serving.console.access import Viewer
from serving.console.list_screens.displayed_lists import ScorePart, parts_of_score
from serving.console.list_screens.naming import moment_named, product_named, user_named
from serving.console.rendering import TEMPLATES, screen_router
from serving.ranking.eligibility import Novelty
from serving.recommender.past_lists import PastTrace, trace_past
from serving.recommender.product_trace import ProductTrace
from serving.recommender.recommender import Recommender
from serving.recommender.request import Placement, RecommendationRequest

__all__ = ["WhyContent", "router"]

router = screen_router("why")
ShortText = Annotated[str, Query(max_length=255)]
PLACEMENTS = [(placement.value, placement.value.replace("_", " ")) for placement in Placement]
NEED_PRODUCT = (Placement.SIMILAR, Placement.BOUGHT_TOGETHER)


class PageProduct(BaseModel):
    """One product of a page that was shown.

    Attributes
    ----------
    position
        As it was shown, on later pages above 1.
    """

    position: int
    product_id: int
    name: str
    score: float


class WhyQuestion(BaseModel):
    """The question as it was typed.

    Attributes
    ----------
    at
        A moment in UTC such as 2026-11-29T10:00; empty for now.
    """

    user: str
    session: str
    product: str
    placement: Placement
    novelty: Novelty
    limit: int
    start: str
    at: str


class WhyContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    person
        The name.
    trace
        The answer about now.
    past
        The answer about a moment.
    problem
        Why there is no answer.
    """

    question: WhyQuestion
    person: str | None = None
    trace: ProductTrace | None = None
    score_parts: list[ScorePart] = []
    past: PastTrace | None = None
    page_products: list[PageProduct] = []
    problem: str | None = None
    placements: list[tuple[str, str]] = PLACEMENTS


@router.get("")
async def why(
    request: Request,
    user_of_console: Viewer,
    user: ShortText = "",
    session: ShortText = "",
    product: ShortText = "",
    placement: Placement = Placement.FOR_YOU,
    novelty: Novelty = Novelty.ANY,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    start: ShortText = "",
    at: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Why a product is in a list, or which step lost it; start : the product that the list starts from."""
    recommender: Recommender = request.app.state.recommender
    question = WhyQuestion(
        user=user,
        session=session,
        product=product,
        placement=placement,
        novelty=novelty,
        limit=limit,
        start=start,
        at=at,
    )
    content = WhyContent(question=question)
    if product.strip():
        try:
            await _answer(recommender, content)
        except RecsysError as error:
            content.problem = error.message
    return TEMPLATES.page(request, "console/why.html.j2", content)


async def _answer(recommender: Recommender, content: WhyContent) -> None:
    question, catalogue = content.question, recommender.data.catalogue
    user = await run_in_threadpool(user_named, question.user)
    content.person = await run_in_threadpool(_name_of, user)
    product = await run_in_threadpool(product_named, catalogue, question.product)
    start = await run_in_threadpool(product_named, catalogue, question.start)
    if product is None:
        return
    session_id = question.session.strip() or None
    at = moment_named(question.at)
    if at is not None:
        content.past = await run_in_threadpool(
            trace_past,
            catalogue,
            product,
            user=user,
            session_id=session_id if user is None else None,
            placement=question.placement.value,
            at=at,
        )
        content.page_products = _named(catalogue, content.past)
        return
    if question.placement in NEED_PRODUCT and start is None:
        content.problem = "This placement starts from a product: name it in “List starts from”."
        return
    wanted = RecommendationRequest(
        question.placement,
        user,
        session=session_id if user is None else None,
        products=() if start is None else (start,),
        limit=question.limit,
        novelty=question.novelty,
    )
    (content.trace,) = await recommender.trace(wanted, [product])
    content.score_parts = parts_of_score(catalogue, content.trace.explanation)


def _name_of(user: int | None) -> str | None:
    if user is None:
        return None
    with unit_of_work() as session:
        return administration.names_of(session, [user]).get(user)


def _named(catalogue: Catalogue, past: PastTrace) -> list[PageProduct]:
    return [
        PageProduct(
            position=position,
            product_id=product,
            name=catalogue.name(product) or f"product {product}",
            score=score,
        )
        for position, (product, score) in enumerate(
            zip(past.products, past.scores, strict=True), past.first_position
        )
    ]
