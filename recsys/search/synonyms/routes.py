"""Routes of synonyms, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from recsys.search.analysis.analyser import analyser, words_of
from recsys.search.synonyms import service as synonyms
from recsys.search.synonyms.tables import SearchSynonym
from recsys.settings import get_settings
from recsys.web.dependencies import AdminUser, SessionDep
from recsys.web.errors import problem_responses
from recsys.web.pagination import CursorParam, Limit, Page, last_id, page_of
from recsys.web.validators import Input, storable
from recsys.web.versions import IfMatch, etag, version_in

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/admin/search/synonyms", tags=["search"])

SynonymId = Annotated[int, Path(ge=1, le=2**31 - 1)]
_MOST_WORDS = 6


def _searchable(phrase: str) -> str:
    if not 0 < len(words_of(phrase)) <= _MOST_WORDS:
        raise ValueError(f"a phrase of one to {_MOST_WORDS} words")
    return phrase


Phrase = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(storable),
    AfterValidator(_searchable),
]


class SynonymIn(Input):
    """Phrases with the same meaning."""

    phrases: Annotated[list[Phrase], Field(min_length=2, max_length=20)]


class SynonymOut(BaseModel):
    """A group of phrases with the same meaning."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    phrases: list[str]
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime


class SynonymChangeOut(BaseModel):
    """One change of a group; `before` is null for a creation, `after` for a deletion."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    synonym_id: int
    action: Literal["created", "replaced", "deleted"]
    before: list[str] | None
    after: list[str] | None
    actor: str
    changed_at: datetime


@router.get("", responses=problem_responses(401, 403, 422, 503))
def list_synonyms(
    session: SessionDep, admin: AdminUser, limit: Limit = 50, cursor: CursorParam = None
) -> Page[SynonymOut]:
    """Groups of synonyms, newest first."""
    before = last_id(cursor)
    found = synonyms.listed(session, limit=limit + 1, before=before)
    return page_of(found, limit, SynonymOut.model_validate)


@router.post("", status_code=201, responses=problem_responses(400, 401, 403, 409, 413, 422, 503))
def create_synonyms(
    session: SessionDep, admin: AdminUser, given: SynonymIn, response: Response
) -> SynonymOut:
    """Create a group; searches follow it within seconds, without a reindex."""
    used = analyser(get_settings().search.language)
    row = synonyms.create(session, used, given.phrases, actor=admin.actor)
    response.headers["Location"] = f"{router.prefix}/{row.id}"
    return _answer(row, response)


@router.get("/{synonym_id}", responses=problem_responses(401, 403, 404, 422, 503))
def get_synonyms(
    session: SessionDep, admin: AdminUser, synonym_id: SynonymId, response: Response
) -> SynonymOut:
    """One group, with its version as `ETag`."""
    return _answer(synonyms.get(session, synonym_id), response)


@router.put("/{synonym_id}", responses=problem_responses(400, 401, 403, 404, 409, 413, 422, 503))
def replace_synonyms(
    session: SessionDep,
    admin: AdminUser,
    synonym_id: SynonymId,
    given: SynonymIn,
    response: Response,
    if_match: IfMatch,
) -> SynonymOut:
    """Replace the phrases of a group; 409 when it was changed since the version of `If-Match` was read."""
    used = analyser(get_settings().search.language)
    version = version_in(if_match)
    row = synonyms.replace(session, used, synonym_id, given.phrases, version=version, actor=admin.actor)
    return _answer(row, response)


@router.delete("/{synonym_id}", status_code=204, responses=problem_responses(401, 403, 404, 409, 422, 503))
def delete_synonyms(
    session: SessionDep, admin: AdminUser, synonym_id: SynonymId, if_match: IfMatch = "*"
) -> Response:
    """Delete a group; its history stays."""
    synonyms.delete(session, synonym_id, version=version_in(if_match), actor=admin.actor)
    return Response(status_code=204)


@router.get("/{synonym_id}/changes", responses=problem_responses(401, 403, 404, 422, 503))
def list_synonym_changes(
    session: SessionDep,
    admin: AdminUser,
    synonym_id: SynonymId,
    limit: Limit = 50,
    cursor: CursorParam = None,
) -> Page[SynonymChangeOut]:
    """The changes of a group with author and time, newest first; also of a deleted group."""
    before = last_id(cursor)
    found = synonyms.changes_of(session, synonym_id, limit=limit + 1, before=before)
    return page_of(found, limit, SynonymChangeOut.model_validate)


def _answer(row: SearchSynonym, response: Response) -> SynonymOut:
    response.headers["ETag"] = etag(row.version)
    return SynonymOut.model_validate(row)
