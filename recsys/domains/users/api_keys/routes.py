"""HTTP routes of publishable keys, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from recsys.domains.users.api_keys import service as api_keys
from recsys.domains.users.tables import ApiKey
from recsys.errors import NotFound
from recsys.web.access.signing import user_token_secrets
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.validators import Input, Text

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin/publishable-keys", tags=["publishable keys (admin)"])

Origin = Annotated[Text, Field(min_length=1, max_length=300)]
Prefix = Annotated[
    str, Path(pattern="^[a-z0-9]{8}$", description="Of the key, without `pk_`.", examples=["cu6goudg"])
]


class PublishableKeyIn(Input):
    """A new publishable key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "web-page", "origins": ["https://shop.example"]}]}
    )

    name: Annotated[Text, Field(min_length=1, max_length=100, description="What the key is for.")]
    origins: Annotated[
        list[Origin], Field(min_length=1, max_length=50, description="Of the pages: scheme, host and port.")
    ]
    expires_days: Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)] | None = None
    rate_per_second: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = Field(
        default=None, description="Of one visitor's address; default: `api.page_rate_per_second`."
    )


class PublishableKeyOut(BaseModel):
    """A publishable key."""

    model_config = ConfigDict(from_attributes=True)

    prefix: str
    name: str
    origins: list[str]
    state: str = Field(examples=["active"])
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewPublishableKeyOut(PublishableKeyOut):
    """A publishable key, with what is shown when it is created."""

    key: str = Field(description="For the HTML of the pages; shown this once.")
    signing_secret: str = Field(description="Signs user tokens on the shop's server; never in a page.")


@router.post("", status_code=201, responses=problem_responses(400, 401, 403, 413, 422, 503))
def create_publishable_key(
    response: Response, session: SessionDep, admin: AdminUser, given: PublishableKeyIn
) -> NewPublishableKeyOut:
    """Create a key for web pages of these origins: it sends events and asks for lists of their visitor."""
    created = api_keys.publish(
        session,
        given.name,
        given.origins,
        by=admin.actor,
        expires_days=given.expires_days,
        rate_per_second=given.rate_per_second,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewPublishableKeyOut(
        **_out(created.row).model_dump(),
        key=created.key,
        signing_secret=user_token_secrets(created.row.prefix, created.row.signing_epoch)[0],
    )


@router.get("", responses=problem_responses(401, 403, 422, 503))
def list_publishable_keys(session: SessionDep, admin: AdminUser) -> list[PublishableKeyOut]:
    """All publishable keys, the revoked ones included."""
    return [_out(row) for row in api_keys.listed(session) if row.origins]


@router.delete("/{key_prefix}", status_code=204, responses=problem_responses(401, 403, 404, 422, 503))
def revoke_publishable_key(session: SessionDep, admin: AdminUser, key_prefix: Prefix) -> None:
    """End a publishable key; running servers refuse it within two seconds."""
    row = next((row for row in api_keys.listed(session) if row.prefix == key_prefix and row.origins), None)
    if row is None:
        raise NotFound("No publishable key has this prefix.")
    api_keys.revoke(session, row.prefix, by=admin.actor)


def _out(row: ApiKey) -> PublishableKeyOut:
    return PublishableKeyOut(
        prefix=row.prefix,
        name=row.name,
        origins=row.origins,
        state=api_keys.state_of(row),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
