"""HTTP of accounts: registering, logging in and out, sessions, one's own account."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response

from recsys.domains.users import activities, profiles, registration, service, sessions
from recsys.domains.users.credentials import devices, recovery
from recsys.domains.users.schemas import (
    ActivityOut,
    ConfirmEmailIn,
    DeactivateIn,
    EmailIn,
    GuestSessionOut,
    LoggedIn,
    LoginIn,
    MeOut,
    PasswordIn,
    ProfileIn,
    RegisteredOut,
    RegisterIn,
    ResetIn,
    ResetRequestIn,
    SessionOut,
    WantedJson,
)
from recsys.domains.users.sessions import Caller, Device
from recsys.domains.users.tables import UserSession
from recsys.errors import Invalid
from recsys.settings import get_settings
from recsys.web.access import guest_sessions
from recsys.web.dependencies import TOKEN_COOKIE, CurrentUser, GuestSession, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, Page

__all__ = ["router"]

router = APIRouter(prefix="/api/v1", tags=["users"])

Id = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")]
_LONGEST_AGENT = 300


@router.post("/auth/register", status_code=202, responses=problem_responses(400, 409, 413, 422, 429, 503))
def register(request: Request, session: SessionDep, given: RegisterIn) -> RegisteredOut:
    """Make an account; log in with it next, which returns its id.

    The answer is the same when the address has an account: then none is made, and its owner is notified
    by e-mail. Usernames are public: a taken username is a 409.
    """
    registration.register(
        session,
        email=given.email,
        username=given.username,
        full_name=given.full_name,
        password=given.password.get_secret_value(),
        address=_address(request),
    )
    return RegisteredOut(email=given.email, username=given.username)


@router.post("/auth/login", responses=problem_responses(400, 401, 403, 413, 422, 429, 503))
def log_in(
    request: Request, response: Response, session: SessionDep, guest: GuestSession, given: LoginIn
) -> LoggedIn:
    """Get a token for `Authorization: Bearer TOKEN`; it is also set as a cookie for browsers.

    What the guest session of the request (`X-Session-Id`) left behind is the user's from now on.
    """
    agent = request.headers.get("User-Agent")
    device = Device(
        type=given.device_type,
        info={"user_agent": agent[:_LONGEST_AGENT].replace("\x00", "")} if agent else None,
        address=_address(request),
    )
    done = service.log_in(
        session,
        given.login,
        given.password.get_secret_value(),
        device,
        guest_session_id=guest,
        device_cookie=request.cookies.get(devices.DEVICE_COOKIE),
    )
    # Lax: a page of somebody else can't make a browser change anything in a user's name
    response.set_cookie(
        TOKEN_COOKIE,
        done.token,
        expires=done.expires_at,
        httponly=True,
        secure=get_settings().environment == "production",
        samesite="lax",
    )
    # by which failed attempts of others do not keep this device out
    response.set_cookie(
        devices.DEVICE_COOKIE,
        devices.issue(done.user_id),
        max_age=devices.DEVICE_SECONDS,
        path="/api/v1/auth/login",
        httponly=True,
        secure=get_settings().environment == "production",
        samesite="lax",
    )
    response.headers["Cache-Control"] = "no-store"
    return LoggedIn(
        token=done.token, expires_at=done.expires_at, user_id=done.user_id, username=done.username
    )


@router.post("/auth/guest", status_code=201, responses=problem_responses(422, 429, 503))
async def begin_guest_session(response: Response) -> GuestSessionOut:
    """Get a guest session: send it as `X-Session-Id`, or let the browser send its cookie.

    It holds the cart and the history of somebody who is not logged in. Treat it like a password: it
    gives access to the cart. Shops that make ids of their own send them with an API key instead.
    """
    token = guest_sessions.issue()
    response.set_cookie(
        guest_sessions.GUEST_COOKIE,
        token,
        max_age=int(get_settings().shop.guest_cart_days * 86400),
        httponly=True,
        secure=get_settings().environment == "production",
        samesite="lax",
    )
    response.headers["Cache-Control"] = "no-store"
    return GuestSessionOut(session_id=token)


@router.post("/auth/guest/claim", status_code=204, responses=problem_responses(401, 403, 422, 429, 503))
def claim_guest_session(session: SessionDep, caller: CurrentUser, guest: GuestSession) -> None:
    """Give what the guest session `X-Session-Id` holds to the user of the request.

    For web pages whose shop logs its users in itself: the user is that of the signed token. A log-in at
    `/auth/login` does the same.
    """
    if guest is None:
        raise Invalid("Send the guest session to claim as X-Session-Id.")
    service.claim_guest(session, guest, caller.user_id)


@router.post("/auth/password-reset", status_code=202, responses=problem_responses(400, 413, 422, 429, 503))
def request_password_reset(request: Request, session: SessionDep, given: ResetRequestIn) -> None:
    """Have a code for a new password sent to an account's e-mail address.

    The answer is the same whether the address has an account or not.
    """
    recovery.request_reset(session, given.email, _address(request))


@router.post(
    "/auth/password-reset/confirm", status_code=204, responses=problem_responses(400, 413, 422, 429, 503)
)
def reset_password(request: Request, session: SessionDep, given: ResetIn) -> None:
    """Choose a new password with the code; it is valid once, and every device is logged out."""
    recovery.reset_password(
        session, given.token.get_secret_value(), given.new_password.get_secret_value(), _address(request)
    )


@router.post(
    "/auth/confirm-email", status_code=204, responses=problem_responses(400, 409, 413, 422, 429, 503)
)
def confirm_email(request: Request, session: SessionDep, given: ConfirmEmailIn) -> None:
    """Confirm the e-mail address to which the code was sent, or change to it; the code is valid once."""
    recovery.confirm_email(session, given.token.get_secret_value(), _address(request))


@router.post("/auth/logout", status_code=204, responses=problem_responses(401, 422, 503))
def log_out(response: Response, session: SessionDep, caller: CurrentUser) -> None:
    """End the session of this request; its token is worth nothing from now on."""
    service.log_out(session, caller)
    response.delete_cookie(TOKEN_COOKIE)


@router.get("/users/me/sessions", responses=problem_responses(401, 422, 503))
def list_sessions(session: SessionDep, caller: CurrentUser) -> Page[SessionOut]:
    """The devices that are logged in, the last used first; there are few, so it is one page."""
    rows = sessions.listed(session, caller.user_id)
    return Page(items=[_session_out(row, caller) for row in rows], next_cursor=None)


@router.delete("/users/me/sessions/{id}", status_code=204, responses=problem_responses(401, 404, 422, 503))
def revoke_session(session: SessionDep, caller: CurrentUser, id: Id) -> None:
    """Log one device out."""
    sessions.end(session, caller.user_id, id)


@router.delete("/users/me/sessions", status_code=204, responses=problem_responses(401, 422, 503))
def revoke_other_sessions(session: SessionDep, caller: CurrentUser) -> None:
    """Log every other device out."""
    sessions.end_all(session, caller.user_id, but=caller.session_id)


@router.get("/users/me", responses=problem_responses(401, 422, 503))
def get_me(session: SessionDep, caller: CurrentUser) -> MeOut:
    """One's own account."""
    return profiles.me(session, caller.user_id)


@router.patch("/users/me", responses=problem_responses(400, 401, 409, 413, 422, 503))
def change_me(session: SessionDep, caller: CurrentUser, given: ProfileIn) -> MeOut:
    """Change what is sent; what is left out stays."""
    return profiles.change(session, caller.user_id, given)


@router.put("/users/me/password", status_code=204, responses=problem_responses(400, 401, 413, 422, 429, 503))
def change_password(request: Request, session: SessionDep, caller: CurrentUser, given: PasswordIn) -> None:
    """Another password; every other device is logged out."""
    service.change_password(
        session,
        caller,
        given.current_password.get_secret_value(),
        given.new_password.get_secret_value(),
        _address(request),
    )


@router.put("/users/me/email", responses=problem_responses(400, 401, 409, 413, 422, 429, 503))
def change_email(request: Request, session: SessionDep, caller: CurrentUser, given: EmailIn) -> MeOut:
    """Another e-mail address; where addresses are confirmed, it is used once its code was returned."""
    service.change_email(session, caller, given.email, given.password.get_secret_value(), _address(request))
    return profiles.me(session, caller.user_id)


@router.post(
    "/users/me/deactivate", status_code=204, responses=problem_responses(400, 401, 413, 422, 429, 503)
)
def deactivate(
    request: Request, response: Response, session: SessionDep, caller: CurrentUser, given: DeactivateIn
) -> None:
    """Close the account: every device is logged out, nobody can log in, the profile is gone."""
    service.deactivate(session, caller, given.password.get_secret_value(), _address(request))
    response.delete_cookie(TOKEN_COOKIE)


@router.get("/users/me/settings", responses=problem_responses(401, 422, 503))
def get_settings_of_me(session: SessionDep, caller: CurrentUser) -> dict[str, Any]:
    """The caller's settings: language, currency, theme and whatever else the shop stores here."""
    return profiles.json_column(session, caller.user_id, "settings")


@router.put("/users/me/settings", responses=problem_responses(400, 401, 413, 422, 503))
def put_settings_of_me(
    session: SessionDep, caller: CurrentUser, given: Annotated[WantedJson, Body()]
) -> dict[str, Any]:
    """Put these in the place of the settings of now."""
    return profiles.replace(session, caller.user_id, "settings", given)


@router.get("/users/me/preferences", responses=problem_responses(401, 422, 503))
def get_preferences_of_me(session: SessionDep, caller: CurrentUser) -> dict[str, Any]:
    """The caller's preferences in the profile."""
    return profiles.json_column(session, caller.user_id, "preferences")


@router.put("/users/me/preferences", responses=problem_responses(400, 401, 413, 422, 503))
def put_preferences_of_me(
    session: SessionDep, caller: CurrentUser, given: Annotated[WantedJson, Body()]
) -> dict[str, Any]:
    """Replace the caller's preferences."""
    return profiles.replace(session, caller.user_id, "preferences", given)


@router.get("/users/me/activities", responses=problem_responses(401, 422, 503))
def list_activities(
    session: SessionDep, caller: CurrentUser, limit: Limit = 20, cursor: After = None
) -> Page[ActivityOut]:
    """The activities of the caller's account, newest first."""
    before = None if cursor is None else Cursor.decode(cursor).integer("id")
    rows = activities.latest(session, caller.user_id, before=before, limit=limit + 1)
    items = [
        ActivityOut(id=row.id, activity_type=row.activity_type, details=row.details or {},
                    timestamp=row.timestamp)
        for row in rows[:limit]
    ]  # fmt: skip
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if len(rows) > limit else None)


def _session_out(row: UserSession, caller: Caller) -> SessionOut:
    return SessionOut(
        id=row.id,
        device_type=row.device_type,
        device_info=row.device_info or {},
        ip_address=None if row.ip_address is None else str(row.ip_address),
        last_activity=row.last_activity,
        created_at=row.created_at,
        expires_at=row.expires_at,
        current=row.session_id == caller.session_id,
    )


def _address(request: Request) -> str | None:
    """The peer's address; behind a trusted proxy, the client's."""
    if request.client is None:
        return None
    try:
        return str(ip_address(request.client.host))
    except ValueError:
        return None
