"""HTTP of privacy: consent by purpose, a person's own data and erasure, and both for administrators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from recsys.database.session import unit_of_work
from recsys.domains.users import service
from recsys.domains.users.schemas import DeactivateIn
from recsys.errors import Unauthorized
from recsys.own_ids.references import UserText
from recsys.privacy import consent as consents
from recsys.privacy.consent import Consent
from recsys.privacy.erasure import erase
from recsys.privacy.export import spooled_zip
from recsys.privacy.receipts import ErasureReceipt
from recsys.web.dependencies import (
    TOKEN_COOKIE,
    AdmissionDep,
    BriefAdmin,
    BriefUser,
    Caller,
    GuestSession,
    MaybeUser,
    SessionDep,
)
from recsys.web.errors import problem_responses

__all__ = ["router"]


PART_BYTES = 1 << 16


class ConsentBody(BaseModel):
    """What a visitor allows, by purpose."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"personalisation": False, "analytics": True}]}
    )

    personalisation: StrictBool = Field(description="Lists from the visitor's own behaviour.")
    analytics: StrictBool = Field(description="Page views, events and impressions that name the visitor.")


router = APIRouter(prefix="/api/v1", tags=["privacy"])

_Id = Annotated[UserText, Path(description="A number or `username:…`.")]
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/zip": {}}, "description": "A ZIP of JSON files, one for each place"}
}


def _logged_in(caller: BriefUser) -> Caller:
    # a web page's visitor proves no password: only a log-in may ask for everything
    if caller is None or not caller.session_id:
        raise Unauthorized("Log in first: send the token as `Authorization: Bearer TOKEN`.")
    return caller


@router.get("/consent", responses=problem_responses(401, 422, 503))
def get_consent(session: SessionDep, caller: MaybeUser, guest: GuestSession) -> ConsentBody:
    """What the caller allows: a user, a guest (`X-Session-Id`), or both together."""
    allowed = consents.of_visitor(session, None if caller is None else caller.user_id, guest)
    return ConsentBody(personalisation=allowed.personalisation, analytics=allowed.analytics)


def _visitor(caller: MaybeUser, guest: GuestSession) -> tuple[int | None, str | None]:
    """The user and the guest session of a request, before its body says anything."""
    if caller is None and guest is None:
        raise Unauthorized("Log in, or send the guest session as X-Session-Id (POST /api/v1/auth/guest).")
    return None if caller is None else caller.user_id, guest


@router.put("/consent", responses=problem_responses(400, 401, 413, 422, 503))
def put_consent(
    session: SessionDep,
    visitor: Annotated[tuple[int | None, str | None], Depends(_visitor)],
    given: ConsentBody,
) -> ConsentBody:
    """Allow or refuse purposes; the next request respects it.

    Without `personalisation` lists are those for everybody, and models learn nothing from the caller. Without
    `analytics` no page view, event, product view or impression that names the caller is stored.
    """
    consents.change(session, *visitor, Consent(given.personalisation, given.analytics))
    return given


_LoggedIn = Annotated[Caller, Depends(_logged_in)]


@router.post(
    "/users/me/export",
    response_class=Response,
    responses={**_ZIP, **problem_responses(400, 401, 404, 413, 422, 429, 503)},
)
def export_me(request: Request, _: AdmissionDep, caller: _LoggedIn, given: DeactivateIn) -> Response:
    """Everything that is kept of the caller, as a ZIP of JSON files; the password is asked for again."""
    _prove(request, caller, given)
    return _archive(caller.user_id)


@router.post("/users/me/erase", responses=problem_responses(400, 401, 404, 409, 413, 422, 429, 503))
def erase_me(
    request: Request, response: Response, _: AdmissionDep, caller: _LoggedIn, given: DeactivateIn
) -> ErasureReceipt:
    """Erase the caller from every place, for good, and answer with a signed receipt.

    Orders and payments are kept without the person. The password is asked for again.
    """
    _prove(request, caller, given)
    receipt = erase(caller.user_id, by=None, requested_by="the person")
    response.delete_cookie(TOKEN_COOKIE)
    return receipt


@router.get(
    "/admin/users/{user_id}/export",
    response_class=Response,
    responses={**_ZIP, **problem_responses(401, 403, 404, 422, 503)},
)
def export_account(_: AdmissionDep, admin: BriefAdmin, user_id: _Id) -> Response:
    """Everything that the shop keeps of a user, as a ZIP of JSON files."""
    return _archive(user_id)


@router.delete("/admin/users/{user_id}", responses=problem_responses(401, 403, 404, 409, 422, 503))
def erase_account(_: AdmissionDep, admin: BriefAdmin, user_id: _Id) -> ErasureReceipt:
    """Erase a user from every place, for good, and answer with a signed receipt.

    Orders and payments are kept without the person. Erasing again is harmless.
    """
    return erase(user_id, by=admin.user_id, requested_by=admin.actor)


def _prove(request: Request, caller: Caller, given: DeactivateIn) -> None:
    """Raise Unauthorized for a wrong password, Throttled after too many."""
    address = None if request.client is None else request.client.host
    with unit_of_work() as session:
        service.prove(session, caller, given.password.get_secret_value(), address)


def _archive(user_id: int) -> Response:
    # made before the response begins, so that what fails is answered as an error
    opened = ExitStack()
    content = opened.enter_context(spooled_zip(user_id))
    return StreamingResponse(
        _parts(content, opened),
        media_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="user-{user_id}.zip"',
            "Cache-Control": "no-store",
        },
    )


def _parts(content: IO[bytes], opened: ExitStack) -> Iterator[bytes]:
    with opened:
        while part := content.read(PART_BYTES):
            yield part
