"""Routes of business rules, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import (
    RuleChangeOut,
    RuleIn,
    RuleOut,
    RuleSetName,
    RuleSetOut,
)
from recsys.domains.recommendations.rules.tables import BusinessRule
from recsys.domains.recommendations.rules.types import RuleKind
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import Cursor, CursorParam, Limit, Page, last_id, page_of
from recsys.web.versions import IfMatch, etag, version_in

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/recommendations/rules", tags=["business rules"])

RuleId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("", responses=problem_responses(401, 403, 422, 503))
def list_rules(
    session: SessionDep,
    admin: AdminUser,
    limit: Limit = 50,
    cursor: CursorParam = None,
    kind: RuleKind | None = None,
    rule_set: Annotated[RuleSetName | None, Query(description="Only rules of this set.")] = None,
    in_force: Annotated[bool, Query(description="Only rules in force at this moment.")] = False,
) -> Page[RuleOut]:
    """Business rules, newest first."""
    before = last_id(cursor)
    at = clock.now() if in_force else None
    found = rules.listed(session, limit=limit + 1, before=before, kind=kind, rule_set=rule_set, at=at)
    items = rules.with_own_ids(session, [rules.shown(row) for row in found[:limit]])
    more = len(found) > limit
    return Page(items=items, next_cursor=Cursor.encode({"id": items[-1].id}) if more else None)


@router.post("", status_code=201, responses=problem_responses(400, 401, 403, 409, 413, 422, 503))
def create_rule(session: SessionDep, admin: AdminUser, given: RuleIn, response: Response) -> RuleOut:
    """Create a rule; lists follow it within seconds."""
    rule = rules.create(session, given, actor=admin.actor)
    response.headers["Location"] = f"{router.prefix}/{rule.id}"
    return _answer(session, rule, response)


@router.get("/sets", responses=problem_responses(401, 403, 503))
def list_rule_sets(session: SessionDep, admin: AdminUser) -> list[RuleSetOut]:
    """The sets that rules belong to, and the experiments that compare them."""
    return rules.rule_sets(session)


@router.post("/sets/{rule_set}/release", responses=problem_responses(401, 403, 404, 409, 422, 503))
def release_rule_set(
    session: SessionDep, admin: AdminUser, rule_set: Annotated[RuleSetName, Path(examples=["winter"])]
) -> list[RuleOut]:
    """Apply the rules of a set to everybody: they leave the set; 409 while an experiment compares it."""
    released = rules.release_set(session, rule_set, actor=admin.actor)
    return rules.with_own_ids(session, [rules.shown(row) for row in released])


@router.get("/{rule_id}", responses=problem_responses(401, 403, 404, 422, 503))
def get_rule(session: SessionDep, admin: AdminUser, rule_id: RuleId, response: Response) -> RuleOut:
    """One rule, with its version as `ETag`."""
    return _answer(session, rules.get(session, rule_id), response)


@router.put("/{rule_id}", responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
def replace_rule(
    session: SessionDep,
    admin: AdminUser,
    rule_id: RuleId,
    given: RuleIn,
    response: Response,
    if_match: IfMatch,
) -> RuleOut:
    """Replace a rule; 409 when it was changed since the version of `If-Match` was read."""
    version = version_in(if_match)
    rule = rules.replace(session, rule_id, given, version=version, actor=admin.actor)
    return _answer(session, rule, response)


@router.delete("/{rule_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 422, 503))
def delete_rule(
    session: SessionDep,
    admin: AdminUser,
    rule_id: RuleId,
    if_match: IfMatch = "*",
) -> Response:
    """Delete a rule; its history stays."""
    rules.delete(session, rule_id, version=version_in(if_match), actor=admin.actor)
    return Response(status_code=204)


@router.get("/{rule_id}/changes", responses=problem_responses(401, 403, 404, 422, 503))
def list_rule_changes(
    session: SessionDep, admin: AdminUser, rule_id: RuleId, limit: Limit = 50, cursor: CursorParam = None
) -> Page[RuleChangeOut]:
    """The changes of a rule with author and time, newest first; also of a deleted rule."""
    before = last_id(cursor)
    found = rules.changes_of(session, rule_id, limit=limit + 1, before=before)
    return page_of(found, limit, lambda row: RuleChangeOut.model_validate(row, from_attributes=True))


def _answer(session: Session, rule: BusinessRule, response: Response) -> RuleOut:
    response.headers["ETag"] = etag(rule.version)
    return rules.with_own_ids(session, [rules.shown(rule)])[0]
