"""Stored segments over HTTP, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, model_validator

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules.schemas import SegmentName
from recsys.domains.recommendations.segments import service as segments
from recsys.own_ids.references import BrandRef, CategoryRef, ProductRef, UserRef
from recsys.web.dependencies import BriefAdmin
from recsys.web.errors import problem_responses
from recsys.web.validators import Input
from serving.segments.members import SegmentKind
from serving.segments.service import SegmentRequest
from serving.segments.stored import refreshed, store_given, store_request

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin/stored-segments", tags=["segments"])
Name = Annotated[SegmentName, Path(examples=["coffee-buyers"])]
_ERRORS = problem_responses(400, 401, 403, 404, 409, 413, 422, 503)


class StoredSegmentIn(Input):
    """Which users: those of a kind of segment, or given ones."""

    kind: SegmentKind | None = Field(default=None, description="Null: `user_ids` are the members.")
    product_ids: Annotated[list[ProductRef], Field(default_factory=list, max_length=200)]
    category_id: CategoryRef | None = None
    brand_id: BrandRef | None = None
    user_ids: Annotated[list[UserRef], Field(default_factory=list, max_length=10_000)]
    new: bool = Field(default=False, description="buyers: only users who never looked at the product.")
    days: float = Field(default=7.0, gt=0, le=366, description="Due, or changed, within so many days.")
    looked_days: float = Field(default=60.0, gt=0, le=366)
    limit: int = Field(default=10_000, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _has_members(self) -> Self:
        if self.kind is None and not self.user_ids:
            raise ValueError("a kind, or user_ids")
        return self


class StoredSegmentOut(BaseModel):
    """A stored segment."""

    name: str
    definition: dict[str, Any] = Field(
        description="How its members are found; kind `given`: they were given."
    )
    members: int
    created_by: str
    created_at: datetime
    refreshed_at: datetime | None = Field(description="When its members were found.")
    problem: str | None = Field(description="Why the last refresh failed; the earlier members stay.")
    rules: list[str] = Field(description="The business rules that are for it.")


@router.get("", responses=problem_responses(401, 403, 422, 503))
def list_stored_segments(_admin: BriefAdmin) -> list[StoredSegmentOut]:
    """All stored segments, with how many members they have and how old these are."""
    with unit_of_work() as session:
        return [
            StoredSegmentOut.model_validate(each, from_attributes=True) for each in segments.listed(session)
        ]


@router.put("/{name}", responses=_ERRORS)
def put_stored_segment(admin: BriefAdmin, name: Name, body: StoredSegmentIn) -> StoredSegmentOut:
    """Store a segment, or replace the one of this name, and find its members.

    Users who refuse personalisation are in none.
    """
    with unit_of_work() as session:
        if body.kind is None:
            store_given(session, name, body.user_ids, actor=admin.actor)
        else:
            request = SegmentRequest(
                body.kind,
                product_ids=tuple(body.product_ids),
                category_id=body.category_id,
                brand_id=body.brand_id,
                user_ids=tuple(body.user_ids),
                new=body.new,
                days=body.days,
                looked_days=body.looked_days,
                limit=body.limit,
            )
            store_request(session, name, request, actor=admin.actor)
    return _shown(name)


@router.post("/{name}/refresh", responses=_ERRORS)
def refresh_stored_segment(_admin: BriefAdmin, name: Name) -> StoredSegmentOut:
    """Find the members again now."""
    with unit_of_work() as session:
        refreshed(session, name)
    return _shown(name)


@router.delete("/{name}", status_code=204, responses=problem_responses(401, 403, 404, 409, 422, 503))
def delete_stored_segment(_admin: BriefAdmin, name: Name) -> Response:
    """Delete a segment that no rule is for."""
    with unit_of_work() as session:
        segments.delete(session, name)
    return Response(status_code=204)


def _shown(name: str) -> StoredSegmentOut:
    with unit_of_work() as session:
        found = next(each for each in segments.listed(session) if each.name == name)
    return StoredSegmentOut.model_validate(found, from_attributes=True)
