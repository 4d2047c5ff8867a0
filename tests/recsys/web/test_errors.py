"""Errors, request ids, limits and logs of the HTTP edge."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter, ValidationError

from recsys import log
from recsys.api import create_api
from recsys.domains.recommendations.rules.schemas import Placement, RuleSetName, SegmentName
from recsys.errors import Conflict, Unavailable
from recsys.web.errors import field_problems
from tests.serving.running import running

SECRET = "the password is hunter2"


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """An application with routes that go wrong."""
    app: FastAPI = create_api()

    @app.get("/conflict")
    def conflict() -> None:
        raise Conflict("There is one already.", which=7)

    @app.get("/away")
    def away() -> None:
        raise Unavailable("PostgreSQL at db.internal:5432/shop is away; run `recsys up`")

    @app.get("/broken/{secret}")
    def broken(secret: str) -> None:
        raise RuntimeError(SECRET)

    with running(app) as found:
        yield found


def test_our_errors_are_problems(client: httpx.Client) -> None:
    answer = client.get("/conflict", headers={"X-Request-ID": "abc-12345"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "abc-12345"
    assert answer.json() == {
        "type": "about:blank", "title": "Conflict", "status": 409, "detail": "There is one already.",
        "request_id": "abc-12345", "which": 7,
    }  # fmt: skip
    away = client.get("/away")
    assert (away.status_code, away.headers["retry-after"]) == (503, "5")
    assert "db.internal" not in away.text
    assert "recsys up" not in away.text
    assert away.json()["detail"].endswith("try again in a moment.")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/metrics", 405)]
)
def test_what_is_not_there_is_a_problem(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert status != 405 or "GET" in answer.headers["allow"]


def test_an_unexpected_error_leaks_nothing_and_is_logged_under_its_id(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    log.configure("INFO", json=True)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    try:
        answer = client.get("/broken/person-17")
    finally:
        root.handlers, root.level = handlers, level
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    wanted = answer.json()["request_id"]
    (error,) = [line for line in lines if line["event"] == "unexpected error"]
    assert error["request_id"] == wanted
    assert SECRET in error["exception"]
    (access,) = [line for line in lines if line["event"] == "request"]
    assert (access["route"], access["status"], access["request_id"]) == ("/broken/{secret}", 500, wanted)
    assert "person-17" not in json.dumps(access), "addresses hold ids of people: only the template is logged"


@pytest.mark.parametrize("given", ["short", "x" * 65, "with space", "<script>"])
def test_a_strange_request_id_is_replaced(client: httpx.Client, given: str) -> None:
    answer = client.get("/metrics", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert len(answer.headers["x-request-id"]) == 32


def test_a_body_without_a_length_is_limited_too(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    answer = client.post(
        "/api/v1/interactions", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_metrics_count_by_route_and_status(client: httpx.Client) -> None:
    client.get("/conflict")
    text = client.get("/metrics").text
    assert 'recsys_http_requests_total{method="GET",route="/conflict",status="409"}' in text
    assert "recsys_http_request_seconds_bucket" in text


def test_the_documentation_shows_problems_and_examples(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/api/v1/interactions"]["post"]
    assert "application/problem+json" in operation["responses"]["422"]["content"]
    assert operation["requestBody"]["content"]["application/json"]["examples"]
    assert document["components"]["schemas"]["Problem"]["properties"]["request_id"]
    assert "HTTPValidationError" not in json.dumps(document)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SegmentName, "1 to 50 of a-z, 0-9, _ -, with a letter or a digit first"),
        (RuleSetName, "1 to 40 of a-z, 0-9, _ -, with a letter or a digit first"),
        (Placement, "1 to 50 of a-z, 0-9, _ . -, with a letter or a digit first"),
    ],
)
@pytest.mark.parametrize("given", ["Coffee Buyers!", "", "-tea", "a" * 51])
def test_a_wrong_name_is_answered_in_words(kind: object, expected: str, given: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given)
    (problem,) = field_problems(caught.value.errors())
    assert problem.expected == expected


def test_what_is_no_list_is_answered_in_words_of_json() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(tuple[int, ...]).validate_python({"a": 1})
    assert [problem.expected for problem in field_problems(caught.value.errors())] == [
        "Input should be a valid list"
    ]
