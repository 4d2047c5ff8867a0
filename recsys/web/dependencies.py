"""What routes ask for: a session whose work is committed before the answer leaves, and who is asking."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated

from anyio import CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from fastapi import Depends, Request
from fastapi.concurrency import contextmanager_in_threadpool
from sqlalchemy.orm import Session

from recsys.database.session import unit_of_work
from recsys.domains.users.sessions import Caller, authenticate
from recsys.errors import Forbidden, Invalid, Unauthorized, Unavailable
from recsys.settings import get_settings

__all__ = [
    "GUEST_COOKIE",
    "GUEST_HEADER",
    "TOKEN_COOKIE",
    "AdminUser",
    "BriefAdmin",
    "BriefUser",
    "Caller",
    "CurrentUser",
    "GuestSession",
    "MaybeUser",
    "SessionDep",
]

TOKEN_COOKIE = "recsys_token"
GUEST_COOKIE = "recsys_session"
GUEST_HEADER = "X-Session-Id"
_LONGEST_TOKEN = 200
_ADMISSION_SECONDS = 10
_admitted: RunVar[CapacityLimiter] = RunVar("admitted")
_GUEST_SESSION = re.compile(r"[\x21-\x7e]{1,255}")


async def _session() -> AsyncIterator[Session]:
    # A request that holds a connection needs a thread to go on, and threads must not all be waiting for
    # connections by then: so it is here that requests queue, where waiting takes no thread.
    places = _places()
    try:
        with fail_after(_ADMISSION_SECONDS):
            await places.acquire_on_behalf_of(here := object())
    except TimeoutError as error:
        raise Unavailable("Too many requests are being answered; try again in a moment.") from error
    try:
        async with contextmanager_in_threadpool(unit_of_work()) as session:
            yield session
    finally:
        places.release_on_behalf_of(here)


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


# scope="function": the commit happens before the answer is sent, so "stored" is never told too early
SessionDep = Annotated[Session, Depends(_session, scope="function")]


def _token(request: Request) -> str | None:
    """The token of `Authorization: Bearer`, else of the cookie; a header always decides."""
    given = request.headers.get("Authorization")
    if given is None:
        return request.cookies.get(TOKEN_COOKIE)
    scheme, _, token = given.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("The Authorization header is not `Bearer TOKEN`; log in to get a token.")
    return token.strip()


def _maybe_user(request: Request, session: SessionDep) -> Caller | None:
    token = _token(request)
    if token is None:
        return None
    caller = authenticate(session, token) if len(token) <= _LONGEST_TOKEN else None
    # a header asks to be known: whoever sends an old one must hear that they are not; an old cookie comes
    # with every request of a browser and only means that nobody is logged in any more
    if caller is None and "Authorization" in request.headers:
        raise Unauthorized("This token is not valid, or its session has ended; log in again.")
    return caller


def _current_user(caller: Annotated[Caller | None, Depends(_maybe_user)]) -> Caller:
    if caller is None:
        raise Unauthorized("Log in first: send the token as `Authorization: Bearer TOKEN`.")
    return caller


def _admin_user(caller: Annotated[Caller, Depends(_current_user)]) -> Caller:
    if not caller.is_admin:
        raise Forbidden("Only administrators may do this.")
    return caller


def _guest_session(request: Request) -> str | None:
    given = request.headers.get(GUEST_HEADER)
    found = request.cookies.get(GUEST_COOKIE) if given is None else given
    if found is None:
        return None
    if not _GUEST_SESSION.fullmatch(found):
        raise Invalid(
            f"The guest session ({GUEST_HEADER} or the cookie {GUEST_COOKIE}) is not 1 to 255 visible "
            "ASCII characters."
        )
    return found


def _brief_user(request: Request) -> Caller | None:
    with unit_of_work() as session:
        return _maybe_user(request, session)


def _brief_admin(caller: Annotated[Caller | None, Depends(_brief_user)]) -> Caller:
    return _admin_user(_current_user(caller))


BriefUser = Annotated[Caller | None, Depends(_brief_user)]
"""Like MaybeUser, looked up in a transaction that has ended when the route begins: for routes that wait for
somebody outside, and would otherwise hold a connection meanwhile."""
BriefAdmin = Annotated[Caller, Depends(_brief_admin)]
"""Like AdminUser, looked up in a transaction that has ended when the route begins."""
MaybeUser = Annotated[Caller | None, Depends(_maybe_user)]
"""Who is logged in, None for guests; 401 when a token was sent that is worth nothing."""
CurrentUser = Annotated[Caller, Depends(_current_user)]
"""Who is logged in; 401 when nobody is."""
AdminUser = Annotated[Caller, Depends(_admin_user)]
"""An administrator; 401 when nobody is logged in, 403 for everybody else."""
GuestSession = Annotated[str | None, Depends(_guest_session)]
"""The session that a guest's shop gave the visit, None when there is none; 422 when it can't be one."""
