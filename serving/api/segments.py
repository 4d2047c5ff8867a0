"""Segments over HTTP, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, Field

from recsys.database.session import unit_of_work
from recsys.own_ids.answers import WithSku, WithUsername
from recsys.own_ids.references import BrandText, CategoryText, ProductText, UserText
from recsys.web.dependencies import BriefAdmin
from recsys.web.errors import problem_responses
from serving.segments.members import SegmentKind, named
from serving.segments.service import SegmentRequest, make

__all__ = ["router"]

router = APIRouter()


class SegmentMemberOut(WithUsername, WithSku):
    """One user of a segment, and the product or category that it is about."""

    user_id: int
    product_id: int | None
    product: str | None = Field(description="The name of the product.")
    category_id: int | None
    category_slug: str | None = Field(description="The shop's own id of the category.")
    category: str | None = Field(description="The name of the category.")
    chance: float | None = Field(description="The chance that the user chooses the product, from 0 to 1.")
    similarity: float | None = Field(description="Of a look-alike to the given users, from 0 to 1.")
    at: datetime | None = Field(description="When it is due, or when the user last looked at the product.")


class SegmentOut(BaseModel):
    """The users of a segment, the most likely first."""

    kind: SegmentKind
    model: str | None = Field(description="By which model; null where none was used.")
    as_of: datetime | None = Field(description="From which moment days are counted; null where none are.")
    from_old_data: bool = Field(
        description="Whether this is the newest interaction's moment, since no interaction is younger."
    )
    members: list[SegmentMemberOut]


@router.get(
    "/api/v1/admin/segments/{kind}",
    tags=["segments"],
    responses=problem_responses(401, 403, 404, 422, 503),
)
def admin_segment(
    _admin: BriefAdmin,
    kind: SegmentKind,
    product_id: Annotated[list[ProductText], Query(default_factory=list, max_length=200)],
    user_id: Annotated[list[UserText], Query(default_factory=list, max_length=200)],
    category_id: Annotated[CategoryText | None, Query()] = None,
    brand_id: Annotated[BrandText | None, Query()] = None,
    new: Annotated[bool, Query(description="Only users who never looked at the product.")] = False,
    days: Annotated[float, Query(gt=0, le=366, description="Due, or changed, within so many days.")] = 7.0,
    looked_days: Annotated[float, Query(gt=0, le=366, description="The user looked at it since.")] = 60.0,
    as_of: Annotated[AwareDatetime | None, Query(description="Count days from this moment.")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
) -> SegmentOut:
    """The users whom a campaign should address: likely buyers, look-alikes, or for whom something is due.

    Users who refuse personalisation are in none. `recsys segments` exports larger ones.
    """
    request = SegmentRequest(
        kind, tuple(product_id), category_id, brand_id, tuple(user_id), new, days, looked_days, limit, as_of
    )
    with unit_of_work() as session:
        segment = make(session, request)
        named_members = named(session, segment.members)
    return SegmentOut(
        kind=segment.kind,
        model=segment.model,
        as_of=segment.as_of,
        from_old_data=segment.from_old_data,
        members=[SegmentMemberOut.model_validate(each, from_attributes=True) for each in named_members],
    )
