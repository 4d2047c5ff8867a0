"""Logging in to the console, logging out, and the look of the pages."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.users import roles, service
from recsys.domains.users.credentials import devices
from recsys.domains.users.sessions import Caller, Device
from recsys.errors import Forbidden, Unauthorized
from recsys.web.dependencies import TOKEN_COOKIE
from serving.console.access import Viewer
from serving.console.rendering import HOME, LOG_IN, TEMPLATES, screen_router
from serving.pages.forms import LocalPath, SubmittedForm, local_path, redirect, set_page_cookie, submitted
from serving.pages.theme import choose_theme

__all__ = ["LogInForm", "router"]

router = screen_router("")
router.add_api_route("/theme", choose_theme, methods=["POST"])
_LONGEST_AGENT = 300


class LogInForm(BaseModel):
    """What the page of the log-in sends.

    Attributes
    ----------
    next
        The page that was asked for.
    """

    login: str = Field(min_length=1, max_length=255)
    password: str = Field(min_length=1, max_length=200)
    next: LocalPath = HOME


class LogInPage(BaseModel):
    """The content of the page."""

    next: str
    login: str = ""
    failure: str | None = None


@router.get("/log-in")
def log_in_page(request: Request, next: Annotated[str, Query(max_length=2000)] = HOME) -> Response:
    """The form."""
    return TEMPLATES.page(request, "console/log_in.html.j2", LogInPage(next=local_path(next)))


@router.post("/log-in")
def log_in(request: Request, form: Annotated[SubmittedForm, Depends(submitted)]) -> Response:
    """Begin a session of an account with a role; the form again where it fails."""
    given = form.model(LogInForm, password=(form.fields.get("password") or [""])[-1])
    agent = request.headers.get("user-agent", "")[:_LONGEST_AGENT].replace("\x00", "")
    device = Device("console", {"user_agent": agent} if agent else None, _address(request))
    try:
        with unit_of_work() as session:
            cookie = request.cookies.get(devices.DEVICE_COOKIE)
            done = service.log_in(session, given.login, given.password, device, device_cookie=cookie)
            if roles.role_of(session, done.user_id) is None:
                raise Forbidden("This account has no role in the console; an administrator can give it one.")
    except (Unauthorized, Forbidden) as error:
        again = LogInPage(next=given.next, login=given.login, failure=error.message)
        return TEMPLATES.page(request, "console/log_in.html.j2", again, status=error.status)
    response = redirect(given.next, "You are logged in.")
    seconds = int((done.expires_at - clock.now()).total_seconds())
    set_page_cookie(response, TOKEN_COOKIE, done.token, seconds=seconds)
    # by which failed attempts of others do not keep this device out
    known = devices.issue(done.user_id)
    set_page_cookie(response, devices.DEVICE_COOKIE, known, seconds=devices.DEVICE_SECONDS, path=LOG_IN)
    return response


@router.post("/log-out")
def log_out(user: Viewer) -> Response:
    """End this session."""
    if user.user_id is not None and user.session_id is not None:
        with unit_of_work() as session:
            service.log_out(session, Caller(user.user_id, user.session_id, is_admin=False))
    response = redirect(LOG_IN, "You are logged out.")
    response.delete_cookie(TOKEN_COOKIE)
    return response


def _address(request: Request) -> str | None:
    try:
        return None if request.client is None else str(ip_address(request.client.host))
    except ValueError:
        return None
