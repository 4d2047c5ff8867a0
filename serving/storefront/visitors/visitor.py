"""The visitor of the shop front: a guest, or a user of the shop whom the visitor chose to be.

A cookie holds the guest session that the server issued and, for a user, the username. Each choice begins a
session of its own: what a guest did does not become the history of the user who is chosen next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.orders.carts.store import Owner
from recsys.domains.users import profiles
from recsys.errors import NotFound
from recsys.web.access import guest_sessions
from serving.pages.forms import set_page_cookie
from serving.recommender.request import RecommendationRequest

__all__ = ["VISITOR_COOKIE", "ShopVisitor", "VisitorDep", "as_user", "new_guest", "remember_visitor"]

VISITOR_COOKIE = "recsys_shop_visitor"
_SECONDS = 30 * 86_400
_SEPARATOR = "!"


class ShopVisitor(BaseModel):
    """The visitor of the shop front.

    Attributes
    ----------
    session
        The guest session with its signature.
    user_id
        None for a guest.
    """

    session: str
    user_id: int | None = None
    username: str | None = None
    name: str = "New guest"

    @property
    def guest(self) -> str:
        """The id of the guest session, as tables have it."""
        return self.session.rpartition(".")[0]

    @property
    def owner(self) -> Owner:
        """Whose cart and orders the visitor sees."""
        return Owner(session_id=self.guest) if self.user_id is None else Owner(user_id=self.user_id)

    def asking(self, request: RecommendationRequest) -> RecommendationRequest:
        """The request for a list, made by this visitor."""
        return replace(request, user=self.user_id, session=self.guest if self.user_id is None else None)


def new_guest() -> ShopVisitor:
    """A guest who has done nothing yet."""
    return ShopVisitor(session=guest_sessions.issue())


def as_user(session: Session, username: str) -> ShopVisitor:
    """The user with this username, in a new session. Raises NotFound."""
    user = profiles.public_by_username(session, username)
    return new_guest().model_copy(
        update={"user_id": user.id, "username": username, "name": user.full_name or username}
    )


def remember_visitor(response: Response, visitor: ShopVisitor) -> None:
    """Set the cookie."""
    name = "" if visitor.username is None else f"{_SEPARATOR}{quote(visitor.username, safe='')}"
    set_page_cookie(response, VISITOR_COOKIE, visitor.session + name, seconds=_SECONDS)


def _visitor(request: Request) -> ShopVisitor:
    token, _, name = request.cookies.get(VISITOR_COOKIE, "").partition(_SEPARATOR)
    if guest_sessions.signed_id(token) is None:
        visitor = request.state.new_visitor = new_guest()
        return visitor
    if not name:
        return ShopVisitor(session=token)
    username = unquote(name)
    try:
        if "\x00" in username:
            raise NotFound("There is no user of this name.")
        # a short transaction of its own: a page that ranks lists would hold the connection meanwhile
        with unit_of_work() as session:
            user = as_user(session, username)
    except NotFound:
        # the account was closed since
        visitor = request.state.new_visitor = new_guest()
        return visitor
    return user.model_copy(update={"session": token})


VisitorDep = Annotated[ShopVisitor, Depends(_visitor)]
"""The visitor of the cookie; a new guest without one."""
