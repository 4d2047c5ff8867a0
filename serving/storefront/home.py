"""The home page, and the switch that chooses whose home page it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.users import administration
from recsys.errors import NotFound
from serving.pages.forms import SubmittedForm, redirect, submitted
from serving.pages.theme import choose_theme
from serving.recommender.request import Placement
from serving.storefront.chrome import UserChoice, shop_page, shop_router
from serving.storefront.lists import ListSection, server_drawn
from serving.storefront.visitors.page_key import user_token
from serving.storefront.visitors.visitor import VisitorDep, as_user, new_guest, remember_visitor

__all__ = ["HomePage", "router"]

router = shop_router()
router.add_api_route("/theme", choose_theme, methods=["POST"])

_SECTIONS = (
    ListSection(
        placement=Placement.FOR_YOU,
        title="For you",
        note="ranked for this visitor; it follows what you look at",
        limit=12,
    ),
    ListSection(placement=Placement.BUY_AGAIN, title="Buy again", note="bought before, and likely due"),
    ListSection(
        placement=Placement.BECAUSE_YOU_VIEWED,
        title="Because of what you looked at",
        note="like the products of this visit",
    ),
    ListSection(placement=Placement.TRENDING, title="Trending", note="rising in the whole shop"),
    ListSection(placement=Placement.NEW_ARRIVALS, title="New in the shop", note="the newest products"),
)


_USERS = 100


class HomePage(BaseModel):
    """The lists of the home page, in their order."""

    sections: list[ListSection]


class VisitorsPage(BaseModel):
    """Users of the shop, by their number.

    Attributes
    ----------
    next
        The next page's address.
    """

    users: list[UserChoice]
    next: str | None


class VisitorChoice(BaseModel):
    """Another visitor to become.

    Attributes
    ----------
    username
        Whom to be; empty for a new guest.
    back
        The page to return to.
    """

    username: str = Field(default="", max_length=100)
    back: str = "/shop"


@router.get("")
async def home(request: Request, visitor: VisitorDep) -> Response:
    """The home page."""
    content = HomePage(sections=await server_drawn(request, visitor, _SECTIONS))
    return await run_in_threadpool(shop_page, request, visitor, "home", content)


@router.get("/visitors")
def visitors(
    request: Request, visitor: VisitorDep, after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0
) -> Response:
    """All whom the visitor can choose to be."""
    with unit_of_work() as session:
        rows = administration.listed(session, status="open", prefix=None, after=after, limit=_USERS + 1)
        users = [
            UserChoice(username=row.username, name=row.full_name or row.username)
            for row in rows[:_USERS]
            if not row.is_admin
        ]
        following = f"/shop/visitors?after={rows[_USERS - 1].id}" if len(rows) > _USERS else None
    return shop_page(request, visitor, "visitors", VisitorsPage(users=users, next=following))


@router.post("/visitor")
def choose_visitor(form: SubmittedForm = Depends(submitted)) -> Response:
    """Become another visitor: a user of the shop, or a new guest."""
    choice = form.model(VisitorChoice)
    visitor = new_guest()
    if choice.username:
        try:
            with unit_of_work() as session:
                visitor = as_user(session, choice.username)
        except NotFound:
            return redirect(choice.back, f"The shop has no user called {choice.username}.", "failed")
    response = redirect(choice.back, f"You are now {visitor.name if choice.username else 'a new guest'}.")
    remember_visitor(response, visitor)
    return response


@router.get("/user-token")
def read_user_token(request: Request, visitor: VisitorDep) -> Response:
    """The signed token of the visitor, as the server of a shop gives it to its pages; empty for a guest."""
    token = None
    if visitor.username is not None:
        with unit_of_work() as session:
            token = user_token(request, session, visitor.username)
    return Response(token or "", media_type="text/plain", headers={"Cache-Control": "no-store"})
