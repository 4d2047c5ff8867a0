"""Keys: those with which programs and web pages call the API; made, displayed once, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Request, Response
from pydantic import BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.domains.users.api_keys import service as api_keys
from recsys.domains.users.api_keys.service import SCOPES
from recsys.domains.users.tables import ApiKey
from serving.console.access import Administrator
from serving.console.rendering import TEMPLATES, screen_router
from serving.pages.forms import SubmittedForm, redirect, submitted

__all__ = ["KeysContent", "router"]

router = screen_router("keys")
Prefix = Annotated[str, Path(pattern="^[a-z0-9]{8}$")]
SCOPE_WORDS = {
    "recommend": "lists of any customer",
    "events": "posts what customers do",
    "admin": "runs the shop",
    "page": "web pages of its origins",
}


class KeyRow(BaseModel):
    """One key; the secret part is not stored."""

    name: str
    prefix: str
    state: str
    scopes: list[str]
    origins: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    rate_per_second: float | None


class KeysContent(BaseModel):
    """The content of the screen.

    Attributes
    ----------
    created
        The new key, displayed once and never part of the JSON.
    """

    keys: list[KeyRow]
    created: str | None = Field(default=None, exclude=True)


class KeyForm(BaseModel):
    """A new key.

    Attributes
    ----------
    days
        It expires after so many; never if unset.
    """

    name: str = Field(min_length=1, max_length=100)
    days: float | None = Field(default=None, gt=0, le=36_500)


@router.get("")
def keys(request: Request, user: Administrator) -> Response:
    """All keys."""
    return TEMPLATES.page(request, "console/keys.html.j2", _content(), scope_words=SCOPE_WORDS)


@router.post("/create")
def create_key(
    request: Request, user: Administrator, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """A new secret key, which no other page displays."""
    given = form.model(KeyForm)
    scopes = [scope for scope in SCOPES if scope in form.texts("scopes")]
    with unit_of_work() as session:
        key = api_keys.create(session, given.name, scopes, by=user.actor, expires_days=given.days).key
    return TEMPLATES.render(
        request, "console/keys.html.j2", page=_content(key), scope_words=SCOPE_WORDS, status=201
    )


@router.post("/publish")
def publish_key(
    request: Request, user: Administrator, form: Annotated[SubmittedForm, Depends(submitted)]
) -> Response:
    """A new publishable key for web pages."""
    given = form.model(KeyForm)
    origins = form.text("origins").replace(",", " ").split()
    with unit_of_work() as session:
        key = api_keys.publish(session, given.name, origins, by=user.actor, expires_days=given.days).key
    return TEMPLATES.render(
        request, "console/keys.html.j2", page=_content(key), scope_words=SCOPE_WORDS, status=201
    )


@router.post("/{prefix}/revoke")
def revoke_key(user: Administrator, prefix: Prefix) -> Response:
    """End a key."""
    with unit_of_work() as session:
        name = api_keys.revoke(session, prefix, by=user.actor).name
    return redirect("/console/keys", f"The key “{name}” is revoked; servers refuse it within seconds.")


def _content(created: str | None = None) -> KeysContent:
    with unit_of_work() as session:
        rows = [_row(row) for row in api_keys.listed(session)]
    return KeysContent(keys=sorted(rows, key=lambda row: row.state != "active"), created=created)


def _row(row: ApiKey) -> KeyRow:
    return KeyRow(
        name=row.name,
        prefix=row.prefix,
        state=api_keys.state_of(row),
        scopes=row.scopes,
        origins=row.origins,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        rate_per_second=row.rate_per_second,
    )
