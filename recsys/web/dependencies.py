"""What routes ask for: a session whose work is committed before the answer leaves, and who is asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys.service import KEY_SHAPE
from recsys.domains.users.sessions import Caller, authenticate
from recsys.errors import Forbidden, Unauthorized, Unavailable
from recsys.settings import get_settings
from recsys.web.access.authorization import key_of
from recsys.web.access.guest_sessions import GUEST_COOKIE, GUEST_HEADER, guest_id, signed_id
from recsys.web.access.pages import PageVisitor, visitor_of

__all__ = [
    "GUEST_COOKIE",
    "GUEST_HEADER",
    "TOKEN_COOKIE",
    "Admin",
    "AdminUser",
    "AdmissionDep",
    "BriefAdmin",
    "BriefUser",
    "Caller",
    "CurrentUser",
    "GuestSession",
    "MaybeUser",
    "SessionDep",
    "brief_admin",
    "brief_user",
    "caller_of",
    "token_of",
]

TOKEN_COOKIE = "recsys_token"
_LONGEST_TOKEN = 200
_ADMISSION_SECONDS = 10
_admitted: RunVar[CapacityLimiter] = RunVar("admitted")


async def _admission() -> AsyncIterator[None]:
    # A request that holds a connection needs a thread to go on, and threads must not all be waiting for
    # connections by then: so it is here that requests queue, where waiting takes no thread.
    places = _places()
    try:
        with fail_after(_ADMISSION_SECONDS):
            await places.acquire_on_behalf_of(here := object())
    except TimeoutError as error:
        busy = "Too many requests are being answered; try again in a moment."
        raise Unavailable(busy, public=busy) from error
    try:
        yield
    finally:
        places.release_on_behalf_of(here)


AdmissionDep = Annotated[None, Depends(_admission, scope="function")]
"""The place that a connection needs, for routes that open their unit of work themselves."""


async def _session(_: AdmissionDep) -> AsyncIterator[Session]:
    async with contextmanager_in_threadpool(unit_of_work()) as session:
        yield session


def _places() -> CapacityLimiter:
    """How many requests of this event loop may hold a connection at once.

    Pool and overflow together hold twice the size; what opens its own short transactions inside one thread
    (BriefUser, payments) always finds the rest.
    """
    try:
        return _admitted.get()
    except LookupError:
        size = get_settings().database.pool_size
        places = CapacityLimiter(size + size // 2)
        _admitted.set(places)
        return places


# scope="function": the commit happens before the answer is sent, so "stored" is never reported too early
SessionDep = Annotated[Session, Depends(_session, scope="function")]


@dataclass(frozen=True)
class Admin:
    """Who runs the shop: an administrator's account, or a key with the scope `admin`, named by its prefix."""

    user_id: int | None
    key: str | None = None

    @property
    def actor(self) -> str:
        """Whom a history names: an account by its number, which tells nothing once the account is gone."""
        return f"user {self.user_id}" if self.user_id is not None else f"key {self.key}"


def token_of(request: Request) -> str | None:
    """The token of `Authorization: Bearer`, else of the cookie; a header always decides.

    An API key may stand there as well, and is no token. A web page with a publishable key has none: its
    visitor was identified with the key.
    """
    if visitor_of(request.scope) is not None:
        return None
    given = request.headers.get("Authorization")
    if given is None:
        return request.cookies.get(TOKEN_COOKIE)
    scheme, _, token = given.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("The Authorization header is not `Bearer TOKEN`; log in to get a token.")
    return None if KEY_SHAPE.fullmatch(token.strip()) else token.strip()


def caller_of(request: Request, session: SessionDep) -> Caller | None:
    """Who is logged in, or the visitor of a web page; None for guests. Raises Unauthorized."""
    if (visitor := visitor_of(request.scope)) is not None:
        return _page_caller(visitor)
    token = token_of(request)
    if token is None:
        return None
    caller = authenticate(session, token) if len(token) <= _LONGEST_TOKEN else None
    # a header asks for a user: an old one is refused, so that its sender notices; an old cookie comes
    # with every request of a browser and only means that nobody is logged in any more
    if caller is None and "Authorization" in request.headers:
        raise Unauthorized("This token is not valid, or its session has ended; log in again.")
    return caller


def _page_caller(visitor: PageVisitor) -> Caller | None:
    # no right beyond those of the page, whatever account the user has
    return None if visitor.user_id is None else Caller(visitor.user_id, session_id="", is_admin=False)


def _current_user(caller: Annotated[Caller | None, Depends(caller_of)]) -> Caller:
    if caller is None:
        raise Unauthorized("Log in first: send the token as `Authorization: Bearer TOKEN`.")
    return caller


def _admin_user(request: Request, caller: Annotated[Caller | None, Depends(caller_of)]) -> Admin:
    key = key_of(request.scope)
    # who is logged in as an administrator is named in what is written down, whatever key is sent along
    if caller is not None and caller.is_admin:
        return Admin(caller.user_id)
    if key is not None and "admin" in key.scopes:
        return Admin(None, key.prefix)
    if caller is None and key is None:
        _current_user(None)
    raise Forbidden("Only administrators may do this.")


# asynchronous, so that it takes no thread
async def _guest_session(request: Request) -> str | None:
    given = request.headers.get(GUEST_HEADER)
    if given is not None:
        return guest_id(request.scope, given)
    if visitor_of(request.scope) is not None:
        return None
    cookie = request.cookies.get(GUEST_COOKIE)
    # a browser sends an old cookie with every request: an invalid cookie counts as none
    return None if cookie is None else signed_id(cookie)


def brief_user(request: Request) -> Caller | None:
    """Who is logged in, looked up in a transaction of its own; None for guests. Raises Unauthorized."""
    if (visitor := visitor_of(request.scope)) is not None:
        return _page_caller(visitor)
    if token_of(request) is None:
        return None
    with unit_of_work() as session:
        return caller_of(request, session)


def brief_admin(request: Request) -> Admin:
    """Who runs the shop, looked up in a transaction of its own. Raises Unauthorized, Forbidden."""
    return _admin_user(request, brief_user(request))


BriefUser = Annotated[Caller | None, Depends(brief_user)]
"""Like MaybeUser, looked up in a transaction that has ended when the route begins: for routes that wait for
somebody outside, and would otherwise hold a connection meanwhile."""
BriefAdmin = Annotated[Admin, Depends(brief_admin)]
"""Like AdminUser, looked up in a transaction that has ended when the route begins."""
MaybeUser = Annotated[Caller | None, Depends(caller_of)]
"""Who is logged in, None for guests; 401 when a token was sent that is worth nothing."""
CurrentUser = Annotated[Caller, Depends(_current_user)]
"""Who is logged in; 401 when nobody is."""
AdminUser = Annotated[Admin, Depends(_admin_user)]
"""An administrator, or a key with the scope `admin`; 401 without either, 403 for everybody else."""
GuestSession = Annotated[str | None, Depends(_guest_session)]
"""The id of the guest session, None without one; 422 when it was neither issued here nor comes with a key."""
