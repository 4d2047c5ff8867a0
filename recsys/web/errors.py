"""One rendering of every error: RFC 9457 problem+json, with a request id and nothing leaked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from redis.exceptions import RedisError, ResponseError
from starlette.exceptions import HTTPException

from recsys.cache.absence import is_absence
from recsys.errors import RecsysError, Unavailable
from recsys.log import get_logger
from recsys.own_ids.references import NOT_FOUND

__all__ = [
    "PROBLEM_JSON",
    "FieldProblem",
    "Problem",
    "field_problems",
    "install_error_handlers",
    "problem",
    "problem_responses",
    "request_id_of",
]

PROBLEM_JSON = "application/problem+json"
_log = get_logger(__name__)


class FieldProblem(BaseModel):
    """One part of the input that was not as expected."""

    field: str = Field(examples=["limit"])
    expected: str = Field(examples=["Input should be less than or equal to 100"])


class Problem(BaseModel):
    """RFC 9457 problem details; `errors` is there when parts of the input were wrong."""

    type: str = Field(default="about:blank", examples=["urn:recsys:problem:invalid-input"])
    title: str = Field(examples=["Invalid input"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["1 part of the request is not as expected: limit"])
    request_id: str | None = Field(examples=["5f0c1d9e8b7a4f36a1b2c3d4e5f60718"])
    errors: list[FieldProblem] | None = None


def problem(
    status: int,
    detail: str,
    *,
    title: str | None = None,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem+json response; `members` are extension members (RFC 9457, section 3.2)."""
    phrase = HTTPStatus(status).phrase
    # section 4.2.1: about:blank says that the title is no more than the status phrase
    kind = (
        "about:blank" if title in (None, phrase) else f"urn:recsys:problem:{title.lower().replace(' ', '-')}"
    )
    body = {
        "type": kind,
        "title": title or phrase,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **members,
    }
    return Response(
        orjson.dumps(body),
        status,
        headers=None if headers is None else dict(headers),
        media_type=PROBLEM_JSON,
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route documents about its errors: `responses=problem_responses(404, 422)`."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def request_id_of(request: Request) -> str | None:
    """The id that the middleware gave this request."""
    found: str | None = request.scope.get("state", {}).get("request_id")
    return found


_NAME = re.compile(r"\^\[a-z0-9\]\[a-z0-9([._-]+)\]\{0,(\d+)\}\$")
"""The patterns of short names, which forms ask people for: they read what is allowed, not a pattern."""


def field_problems(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> list[FieldProblem]:
    """Pydantic's errors as field names and what was expected; what the user sent is not repeated."""
    found = []
    for error in errors:
        place = [str(part) for part in error["loc"]][skip:]
        found.append(FieldProblem(field=".".join(place) or "body", expected=_expected(error)))
    return found


def _expected(error: Mapping[str, Any]) -> str:
    kind, limits = str(error["type"]), error.get("ctx", {})
    if kind == "extra_forbidden":
        return "no such field is known"
    if kind == "tuple_type":
        # JSON has no tuples
        return "Input should be a valid list"
    # pydantic counts the items of a text whose own check comes first
    if kind == "too_short" and isinstance(error.get("input"), str):
        least = limits["min_length"]
        return f"a text of at least {least} character{'' if least == 1 else 's'}"
    if kind == "too_long" and isinstance(error.get("input"), str):
        return f"a text of at most {limits['max_length']} characters"
    if kind == "string_pattern_mismatch" and (name := _NAME.fullmatch(limits["pattern"])):
        marks, more = name.groups()
        return f"1 to {int(more) + 1} of a-z, 0-9, {' '.join(marks)}, with a letter or a digit first"
    # a message of our own validators starts with a word of pydantic's that helps nobody
    return str(error["msg"]).removeprefix("Value error, ")


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem; unexpected ones are handled by `RequestContextMiddleware`."""
    app.add_exception_handler(RecsysError, _recsys_error)
    # what lives in Redis alone (carts) can't be had without it: that is an outage, not an unexpected error
    app.add_exception_handler(RedisError, _redis_away)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _recsys_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RecsysError)
    if error.status >= 500:
        _log.error(
            "request failed", request_id=request_id_of(request), status=error.status, reason=error.message
        )
    return problem(
        error.status,
        error.public if isinstance(error, Unavailable) else error.message,
        title=error.title,
        request_id=request_id_of(request),
        headers=_headers(error),
        **{name: value for name, value in error.details.items() if name not in Problem.model_fields},
    )


def _headers(error: RecsysError) -> dict[str, str] | None:
    if error.status == 503:
        return {"Retry-After": "5"}
    if error.status == 429:
        return {"Retry-After": str(error.details.get("retry_after", 60))}
    # RFC 9110, section 15.5.2: a 401 names the scheme that it expects
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else None


async def _redis_away(request: Request, error: Exception) -> Response:
    if not is_absence(error):
        raise error
    _log.error("Redis does not take this", request_id=request_id_of(request), error=str(error)[:200])
    # a server that answers with an error is there: it is full, or read-only after a failover
    state = "takes no writes now" if isinstance(error, ResponseError) else "does not answer"
    return await _recsys_error(request, _shown(f"Redis {state}; try again in a moment."))


def _shown(message: str) -> Unavailable:
    return Unavailable(message, public=message)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    given = error.errors()
    if any(one["type"] == "json_invalid" for one in given):
        return problem(400, "The body is not valid JSON.", request_id=request_id_of(request))
    missing = [str(one["msg"]) for one in given if one["type"] == NOT_FOUND]
    if len(missing) == len(given):
        return problem(
            404, " ".join(dict.fromkeys(missing)), title="Not found", request_id=request_id_of(request)
        )
    # the first part of a place says where (path, query, body), which the field name makes clear enough
    found = field_problems(given, skip=1)
    names = ", ".join(dict.fromkeys(one.field for one in found))
    parts = "1 part" if len(found) == 1 else f"{len(found)} parts"
    verb = "is" if len(found) == 1 else "are"
    return problem(
        422,
        f"{parts} of the request {verb} not as expected: {names}",
        title="Invalid input",
        request_id=request_id_of(request),
        errors=[one.model_dump() for one in found],
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    details = {
        404: "There is nothing at this address; /docs lists what there is.",
        405: "This address does not answer to this method; see the Allow header and /docs.",
    }
    detail = error.detail if error.detail != HTTPStatus(error.status_code).phrase else None
    headers = dict(error.headers or {})
    if "GET" in headers.get("Allow", "").split(", "):
        headers["Allow"] += ", HEAD"  # `head_requests`
    return problem(
        error.status_code,
        detail or details.get(error.status_code, HTTPStatus(error.status_code).description),
        request_id=request_id_of(request),
        headers=headers,
    )
