"""Which requests are sent again and when; what answers that are none of the API's become."""

from __future__ import annotations

import random
from collections.abc import Callable

import httpx
import pytest

from recsys.client import ClientError, NoAnswer, ProblemAnswer, RecsysClient, RetryPolicy
from recsys.client.retries import Attempts

Answer = httpx.Response | Exception
POPULAR = {"items": [], "next_cursor": None,
           "provenance": {"request_id": "r", "placement": "popular", "source": "popular", "model": None,
                          "complete": True}}  # fmt: skip


class Scripted:
    """Answers in turn; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self.answers, self.requests = list(answers), []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[RecsysClient, Scripted]]:
    def make(*answers: Answer, **policy: object) -> tuple[RecsysClient, Scripted]:
        scripted = Scripted(*answers)

        def connect(client: RecsysClient) -> None:
            client._http = httpx.Client(**client._options, transport=httpx.MockTransport(scripted))

        monkeypatch.setattr(RecsysClient, "_connect", connect)
        return RecsysClient(
            "https://shop.example/api-root", retries=RetryPolicy(**{"first_wait": 0, **policy})
        ), scripted

    return make  # fmt: skip


def ok() -> httpx.Response:
    return httpx.Response(200, json=POPULAR)


@pytest.mark.parametrize(
    "failure",
    [httpx.Response(status) for status in (429, 502, 503, 504)]
    + [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("closed")],
)
def test_reading_is_tried_again_after_outages(client_of, failure: Answer) -> None:
    client, scripted = client_of(failure, failure, ok())
    assert client.popular().items == ()
    assert len(scripted.requests) == 3
    assert str(scripted.requests[0].url) == "https://shop.example/api-root/api/v1/products/popular"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501])
def test_refusals_and_unexpected_errors_are_final(client_of, status: int) -> None:
    client, scripted = client_of(httpx.Response(status, json={"title": "No", "detail": "Because."}))
    with pytest.raises(ProblemAnswer, match=f"{status} No: Because"):
        client.popular()
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("failure", "headers", "sent"),
    [
        (httpx.Response(503), {}, 1),
        (httpx.ReadTimeout("slow"), {}, 1),
        (httpx.Response(429), {}, 2),
        (httpx.ConnectError("refused"), {}, 2),
        (httpx.Response(503), {"Idempotency-Key": "order-1"}, 2),
        (httpx.ReadTimeout("slow"), {"idempotency-key": "order-1"}, 2),
    ],
)
def test_a_post_without_a_key_is_sent_again_only_where_nothing_was_handled(
    client_of, failure: Answer, headers: dict[str, str], sent: int
) -> None:
    client, scripted = client_of(failure, httpx.Response(201, json={}))
    try:
        client.request("POST", "/api/v1/orders", json={}, headers=headers)
    except ClientError:
        assert sent == 1
    assert len(scripted.requests) == sent


def test_the_attempts_end_and_the_last_reason_is_named(client_of) -> None:
    client, scripted = client_of(httpx.Response(503), attempts=3)
    with pytest.raises(NoAnswer, match=r"3 attempts .*status 503"):
        client.popular()
    assert len(scripted.requests) == 3
    client, scripted = client_of(httpx.Response(503), attempts=1)
    with pytest.raises(NoAnswer, match="1 attempt "):
        client.popular()


def test_waits_double_with_jitter_and_follow_retry_after() -> None:
    policy = RetryPolicy(attempts=20, first_wait=1, longest_wait=8, deadline=1000)
    attempts = Attempts(policy, random.Random(3), repeatable=True)
    waits = [attempts.after_response(httpx.Response(503)) for _ in range(8)]
    limits = [1, 2, 4, 8, 8, 8, 8, 8]
    assert all(0 <= wait <= limit for wait, limit in zip(waits, limits, strict=True))
    assert len(set(waits)) == 8
    assert attempts.after_response(httpx.Response(429, headers={"Retry-After": "60"})) == 60
    for odd in ("soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"):
        wait = attempts.after_response(httpx.Response(503, headers={"Retry-After": odd}))
        assert wait is not None
        assert wait <= 8
    assert attempts.after_response(httpx.Response(200)) is None


def test_a_wait_beyond_the_deadline_ends_the_call() -> None:
    attempts = Attempts(RetryPolicy(deadline=30), random.Random(3), repeatable=True)
    with pytest.raises(NoAnswer, match="1 attempt"):
        attempts.after_response(httpx.Response(429, headers={"Retry-After": "3600"}))


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_wait": -1}, {"deadline": -1}])
def test_a_policy_that_is_none_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.Response(200, html="<p>Welcome</p>"), "text/html instead of JSON"),
        (httpx.Response(200, content=b"x", headers={"Content-Type": "application/json"}), "not valid JSON"),
        (httpx.Response(200, json={"hello": "world"}), "address of recsys"),
        (httpx.Response(200, json=[1]), "address of recsys"),
        (httpx.Response(200), "address of recsys"),
        (httpx.Response(301, headers={"Location": "https://elsewhere.example"}), "redirects"),
        (httpx.Response(404, html="<p>Nothing</p>"), "404"),
        (httpx.Response(500, content=b"x", headers={"Content-Type": "application/json"}), "not valid JSON"),
    ],
)
def test_answers_that_are_not_the_apis_are_errors(client_of, answer: httpx.Response, expected: str) -> None:
    client, scripted = client_of(answer)
    with pytest.raises(ClientError, match=expected):
        client.popular()
    assert len(scripted.requests) == 1
