"""Completes FastAPI's OpenAPI document: short operation ids, problems as errors, examples, authentication."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from recsys.own_ids.references import is_own_id
from recsys.web.errors import PROBLEM_JSON, Problem, problem_responses
from recsys.web.openapi.examples import example_of

__all__ = ["complete_document", "operation_id", "operations"]

_ADMIN = "/api/v1/admin/"
_SECURITY_SCHEMES = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "`recsys keys create`"},
    "token": {"type": "http", "scheme": "bearer", "description": "of `POST /api/v1/auth/login`"},
}
_ANY_REQUEST = (401, 422, 429, 503)
"""Statuses of every route below /api: a wrong key, a card number, the rate limit, an outage."""
_TITLES = {422: "Invalid input", 429: "Too many requests", 503: "Unavailable"}
_DETAILS = {
    400: "The body is not valid JSON.",
    401: "Log in first: send the token as `Authorization: Bearer TOKEN`.",
    403: "Only administrators may do this.",
    404: "No product has this id.",
    409: "Another request changed this in the meantime; read it again.",
    413: "The body is larger than 1 MB.",
    422: "1 part of the request is not as expected: limit",
    429: "More than 1000 requests a second; try again in 1 second.",
    503: "PostgreSQL does not answer; try again in a moment.",
}


def operation_id(route: APIRoute) -> str:
    """Return the name of the route's function; with `admin_` before it for routes of administrators."""
    return f"admin_{route.name}" if route.path_format.startswith(_ADMIN) else route.name


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method (lower case) and operation of an OpenAPI document, in its order."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def complete_document(app: FastAPI) -> None:
    """Let `app.openapi()` return the completed document; call it after the last route."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate())
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    # FastAPI's own error shape is never sent
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["securitySchemes"] = _SECURITY_SCHEMES
    # each is optional here: what a route needs is in its description and its 401
    document["security"] = [{}, *({name: []} for name in _SECURITY_SCHEMES)]
    statuses = set()
    for path, _, operation in operations(document):
        if _takes_own_ids(operation, schemas, set()):
            operation["responses"].setdefault("404", problem_responses(404)[404])
        statuses |= _document_errors(path, operation)
        _add_examples(operation, schemas)
    components["examples"] = {f"Problem{status}": _problem_example(status) for status in sorted(statuses)}


def _takes_own_ids(value: object, schemas: Mapping[str, Any], seen: set[str]) -> bool:
    """Whether a parameter or body may name something by the shop's own id, which nothing may have."""
    if isinstance(value, list):
        return any(_takes_own_ids(each, schemas, seen) for each in value)
    if not isinstance(value, dict):
        return False
    if is_own_id(value.get("pattern")):
        return True
    name = str(value.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:
        seen.add(name)
        return _takes_own_ids(schemas.get(name), schemas, seen)
    return any(_takes_own_ids(inner, schemas, seen) for key, inner in value.items() if key != "responses")


def _document_errors(path: str, operation: dict[str, Any]) -> set[int]:
    """Give every error of an operation the schema and an example of a problem, and return their statuses."""
    responses = operation["responses"]
    # no route takes a card number, wherever in the request it is
    for status in _ANY_REQUEST if path.startswith("/api/") else (422,):
        responses.setdefault(str(status), problem_responses(status)[status])
    errors = {int(status) for status in responses if status >= "400"}
    for status in errors:
        content = problem_responses(status)[status]["content"]
        example = {"$ref": f"#/components/examples/Problem{status}"}
        content[PROBLEM_JSON]["examples"] = {"problem": example}
        responses[str(status)]["content"] = content
    operation["responses"] = dict(sorted(responses.items()))
    return errors


def _problem_example(status: int) -> dict[str, Any]:
    title = _TITLES.get(status, HTTPStatus(status).phrase)
    kind = "about:blank" if title == HTTPStatus(status).phrase else title.lower().replace(" ", "-")
    value: dict[str, Any] = {
        "type": kind if kind == "about:blank" else f"urn:recsys:problem:{kind}",
        "title": title,
        "status": status,
        "detail": _DETAILS.get(status, HTTPStatus(status).description),
        "request_id": "5f0c1d9e8b7a4f36a1b2c3d4e5f60718",
    }
    if status == 422:
        value["errors"] = [{"field": "limit", "expected": "Input should be less than or equal to 100"}]
    return {"summary": title, "value": value}


def _add_examples(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["required"] and not parameter.keys() & {"example", "examples"}:
            parameter["example"] = example_of(parameter["schema"], schemas, parameter["name"])
    request = operation.get("requestBody", {}).get("content", {})
    for media in request.values():
        _add_example(media, schemas, short=True)
    for status, response in operation["responses"].items():
        if status < "400":
            for kind, media in response.get("content", {}).items():
                if kind == "application/json":
                    _add_example(media, schemas)


def _add_example(media: dict[str, Any], schemas: Mapping[str, Any], *, short: bool = False) -> None:
    if media.get("schema") and not media.keys() & {"example", "examples"}:
        media["example"] = example_of(media["schema"], schemas, short=short)
