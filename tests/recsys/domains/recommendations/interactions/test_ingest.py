"""POST /api/v1/interactions: every event gets its verdict, and is stored once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import redis

from recsys import clock
from recsys.cache import keys
from recsys.domains.recommendations.interactions.ingest import event_uuid
from tests.support.shop import Shop

VIEW = {"user_id": 1, "product_id": 1, "interaction_type": "view"}


def stored(shop: Shop) -> list[tuple[Any, ...]]:
    with shop.connect() as connection:
        return connection.execute(
            "SELECT e.event_id, i.user_id, i.product_id, i.interaction_type, i.interaction_value, i.context, "
            "i.session_id, i.created_at FROM recommendations_db.user_interactions i "
            "JOIN recommendations_db.interaction_events e ON e.interaction_id = i.id ORDER BY i.id"
        ).fetchall()


def post(client: httpx.Client, body: object) -> httpx.Response:
    return client.post("/api/v1/interactions", json=body)


def test_one_interaction_is_stored_as_it_was_sent(core_client: httpx.Client, small_shop: Shop) -> None:
    answer = post(
        core_client,
        {
            "user_id": 2, "product_id": 3, "interaction_type": "purchase", "interaction_value": 2.5,
            "context": {"page": "Tee \\u0000 & Kaffee", "deep": [1, {"a": None}]}, "session_id": "s",
            "event_id": "order-7", "created_at": "2024-05-01T10:00:00+02:00",
        },
    )  # fmt: skip
    assert answer.status_code == 200
    assert answer.json() == {
        "stored": 1, "duplicates": 0, "refused": 0, "queued": 0, "ignored": 0,
        "verdicts": [
            {"index": 0, "status": "stored", "event_id": str(event_uuid("order-7")), "reason": None}
        ],
    }  # fmt: skip
    (row,) = stored(small_shop)
    assert row[1:4] == (2, 3, "purchase")
    assert float(row[4]) == 2.5
    assert row[5] == {"page": "Tee \\u0000 & Kaffee", "deep": [1, {"a": None}]}
    assert row[6] == "s"
    assert row[7] == datetime(2024, 5, 1, 8, tzinfo=UTC)


def test_each_of_several_gets_its_own_verdict(core_client: httpx.Client, small_shop: Shop) -> None:
    body: list[object] = [
        VIEW,
        {**VIEW, "event_id": "twice"},
        {**VIEW, "event_id": "twice"},
        {**VIEW, "product_id": 999},
        {**VIEW, "user_id": 999},
        {"username": "nobody", "product_id": 1, "interaction_type": "view"},
        {"username": "u2", "product_id": 2, "interaction_type": "like"},
        {"session_id": "guest", "product_id": 2, "interaction_type": "view"},
        17,
    ]
    answer = post(core_client, body).json()
    assert [one["status"] for one in answer["verdicts"]] == [
        "stored", "stored", "duplicate", "refused", "refused", "refused", "stored", "stored", "refused",
    ]  # fmt: skip
    assert [one["index"] for one in answer["verdicts"]] == list(range(9))
    assert (answer["stored"], answer["duplicates"], answer["refused"]) == (4, 1, 4)
    assert [one["reason"] for one in answer["verdicts"] if one["status"] == "refused"][:3] == [
        "product_id: no such product", "user_id: no such user", "username: no such user",
    ]  # fmt: skip
    rows = stored(small_shop)
    assert [row[1] for row in rows if row[3] == "like"] == [2]
    assert [row[1] for row in rows if row[6] == "guest"] == [None]
    again = post(core_client, body).json()
    assert (again["stored"], again["duplicates"]) == (3, 2)


WRONG: list[tuple[dict[str, object], str]] = [
    ({"product_id": None}, "product_id"),
    ({"product_id": "1"}, "product_id: Input should be a valid integer"),
    ({"product_id": True}, "product_id"),
    ({"product_id": 2**31}, "product_id"),
    ({"user_id": 0}, "user_id"),
    ({"user_id": 10**400}, "user_id"),
    ({"user_id": 1, "username": "u1"}, "either user_id or username"),
    ({"user_id": None}, "a user_id, a username, or a session_id"),
    ({"interaction_type": "stare"}, "interaction_type: Input should be 'view', 'like'"),
    ({"interaction_value": "NaN"}, "interaction_value"),
    ({"interaction_value": 1.005}, "interaction_value"),
    ({"interaction_value": 10**9}, "interaction_value"),
    ({"session_id": ""}, "session_id"),
    ({"session_id": "a\x00b"}, "session_id: text without NUL"),
    ({"session_id": "x" * 256}, "session_id"),
    ({"context": []}, "context"),
    ({"context": {"a": "\x00"}}, "context: text without NUL"),
    ({"context": {"\x00": 1}}, "context: text without NUL"),
    ({"context": {"a": list(range(600))}}, "context: at most"),
    ({"created_at": "yesterday"}, "created_at"),
    ({"created_at": "2024-05-01T10:00:00"}, "created_at"),
    ({"created_at": "1812-01-01T00:00:00Z"}, "1970 or later"),
    ({"colour": "red"}, "colour: no such field is known"),
]


def test_what_is_wrong_is_refused_with_its_reason(core_client: httpx.Client, small_shop: Shop) -> None:
    for change, reason in WRONG:
        answer = post(core_client, VIEW | change)
        assert answer.status_code == 422, change
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == 422
        assert reason in problem["verdicts"][0]["reason"], change
    assert stored(small_shop) == []
    # and none of them stops the one beside it
    answer = post(core_client, [*(VIEW | change for change, _ in WRONG), VIEW])
    assert (answer.json()["stored"], answer.json()["refused"]) == (1, len(WRONG))


def test_a_lone_surrogate_is_refused(core_client: httpx.Client) -> None:
    body = b'{"session_id": "\\ud800", "product_id": 1, "interaction_type": "view"}'
    answer = core_client.post(
        "/api/v1/interactions", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


NO_BATCH: list[tuple[bytes, int, str]] = [
    (b"{", 400, "not valid JSON"),
    (b"[" * 100_000, 400, ""),
    (b'"text"', 422, "Expected one interaction"),
    (b"null", 422, ""),
    (b"[]", 422, "empty"),
    (b"", 422, "body"),
    (b"[" + b",".join([b"{}"] * 1001) + b"]", 413, "at most 1000"),
    (b'"' + b"x" * (4 * 2**20) + b'"', 413, "larger than"),
]


def test_a_body_that_is_no_interaction_is_a_problem(core_client: httpx.Client) -> None:
    for body, status, word in NO_BATCH:
        answer = core_client.post(
            "/api/v1/interactions", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status, (body[:40], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert word in answer.json()["detail"], body[:40]


def test_a_thousand_are_stored_at_once(core_client: httpx.Client, small_shop: Shop) -> None:
    answer = post(core_client, [{**VIEW, "event_id": f"e{i}"} for i in range(1000)])
    assert answer.json()["stored"] == 1000
    assert len(stored(small_shop)) == 1000


def test_the_same_event_posted_by_many_at_once_is_stored_once(
    core_client: httpx.Client, small_shop: Shop
) -> None:
    events = [{**VIEW, "event_id": f"e{i}"} for i in range(10)]

    def send(i: int) -> dict[str, Any]:
        # the same events in another order each time, which would deadlock if they were not sorted
        return dict(post(core_client, events[i % 10 :] + events[: i % 10]).json())

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert sum(one["stored"] for one in answers) == 10
    assert sum(one["duplicates"] for one in answers) == 190
    assert len(stored(small_shop)) == 10


def test_touched_products_reach_redis_after_the_commit(
    core_client: httpx.Client, small_shop: Shop, redis_client: redis.Redis
) -> None:
    post(
        core_client,
        [VIEW, {**VIEW, "product_id": 2, "interaction_type": "purchase"}, {**VIEW, "product_id": 99}],
    )
    assert redis_client.smembers(keys.recent_interactions(1)) == {b"1", b"2", b"-2"}
    assert 0 < redis_client.ttl(keys.recent_interactions(1)) <= 7 * 24 * 3600
    post(core_client, {"session_id": "guest", "product_id": 3, "interaction_type": "view"})
    assert redis_client.smembers("interactions:recent:session:guest") == {b"3"}
    assert 0 < redis_client.ttl("interactions:recent:session:guest") <= 7 * 24 * 3600


def test_a_clock_that_runs_a_little_ahead_is_forgiven(core_client: httpx.Client, small_shop: Shop) -> None:
    ahead = clock.now() + timedelta(seconds=30)
    assert post(core_client, VIEW | {"created_at": ahead.isoformat()}).json()["stored"] == 1
    assert stored(small_shop)[0][7] < ahead


def test_event_ids_of_any_kind() -> None:
    uuid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert event_uuid(uuid) == UUID(uuid)
    assert event_uuid(uuid.upper()) == UUID(uuid)
    assert event_uuid("a") == event_uuid("a") != event_uuid("b")
    assert event_uuid("a").version == 5
