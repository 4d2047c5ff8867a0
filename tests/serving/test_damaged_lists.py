"""A damaged list in Redis: the answer comes from PostgreSQL, whole, and Redis is repaired."""

from __future__ import annotations

import httpx
import pytest
import redis

from recsys.cache import keys
from tests.serving.api.answers import ask, execute
from tests.support.shop import Shop

KEY = keys.stored_recommendations(1, 1)


def test_no_flipped_byte_of_a_list_shows_in_an_answer(
    client: httpx.Client, redis_client: redis.Redis
) -> None:
    expected = {novelty: ask(client, novelty=novelty) for novelty in ("any", "new")}
    whole = redis_client.get(KEY)
    assert isinstance(whole, bytes)
    redis_client.expire(KEY, 500)
    for place in range(len(whole)):
        damaged = whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        redis_client.set(KEY, damaged, keepttl=True)
        novelty = ("any", "new")[place % 2]
        answer = ask(client, novelty=novelty)
        assert answer["provenance"]["source"] == "stored"
        assert answer["items"] == expected[novelty]["items"]
        assert redis_client.get(KEY) == whole
    assert 0 < redis_client.ttl(KEY) <= 500


@pytest.mark.parametrize("path", ["the route", "a short list", "a cursor", "a page of shelves"])
def test_every_way_to_a_list_repairs_it(client: httpx.Client, redis_client: redis.Redis, path: str) -> None:
    first = ask(client)
    whole = redis_client.get(KEY)
    assert isinstance(whole, bytes)
    for damaged in (b"", b"\xff", whole[:-1], whole + b"\x00"):
        redis_client.set(KEY, damaged)
        if path == "a page of shelves":
            body = {"user_id": 1, "shelves": [{"shelf": "for_you"}]}
            assert client.post("/api/v1/recommendations", json=body).status_code == 200
        else:
            given = {
                "the route": {"explain": "false", "limit": 20},
                "a short list": {"limit": 7},
                "a cursor": {"cursor": first["next_cursor"]},
            }[path]
            response = client.get("/api/v1/users/1/recommendations", params=given)  # type: ignore[arg-type]
            assert response.status_code == 200, response.text
        assert redis_client.get(KEY) == whole


def test_a_list_that_nothing_can_repair_leaves_redis(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    redis_client.set(KEY, b"\xff")
    execute(scored_shop, "UPDATE recommendations_db.stored_lists SET list = '\\xff' WHERE user_id = 1")
    answer = ask(client)
    assert answer["provenance"]["source"] == "live"
    assert redis_client.get(KEY) is None


def test_what_cannot_be_read_of_the_last_minutes_costs_nobody_the_rest(
    client: httpx.Client, redis_client: redis.Redis
) -> None:
    dismissed = ask(client)["items"][0]["product_id"]
    redis_client.sadd(keys.recent_interactions(1), f"d{dismissed}", b"\xff", b"d", b"9" * 30, "-99999999999")
    assert dismissed not in [item["product_id"] for item in ask(client)["items"]]
