"""What the API answers: shapes, where lists come from, and what may be in them."""

from __future__ import annotations

import time

import httpx
import pytest
import redis

from recsys.cache import keys
from serving.api.schemas import RecommendationsOut
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids, touched
from tests.serving.running import running
from tests.support.shop import Shop, forget_connections
from tests.support.waiting import until

COLLECTED = time.monotonic()
"""Before the features of any shop of this process were made."""


def test_a_stored_list_has_exactly_the_documented_shape(client: httpx.Client) -> None:
    answer = ask(client)
    assert list(answer) == ["items", "next_cursor", "provenance"]
    assert len(answer["items"]) == 20
    for item in answer["items"]:
        assert list(item) == ["product_id", "sku", "name", "price", "score", "type", "reason"]
        assert list(item["reason"]) == ["code", "text", "product_ids", "skus"]
        assert item["price"] == item["product_id"] + 0.25
        assert f"“{item['product_id']}”" in item["name"]
    provenance = answer["provenance"]
    assert list(provenance) == [
        "request_id", "placement", "shelf", "source", "model", "version", "generation", "arm", "complete",
        "explored", "new_product_ids", "features_age_seconds",
    ]  # fmt: skip
    assert provenance["placement"] == "for_you"
    assert (provenance["shelf"], provenance["arm"], provenance["complete"]) == ("for_you", None, True)
    assert 0 <= provenance["features_age_seconds"] <= time.monotonic() - COLLECTED
    assert (provenance["source"], provenance["model"], provenance["version"]) == ("stored", "knn-v1", "1")
    assert provenance["generation"] == 1
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)


def test_reasons_name_what_the_user_really_did(client: httpx.Client, scored_shop: Shop) -> None:
    bought = {
        row[0]
        for row in execute(
            scored_shop,
            "SELECT product_id FROM recommendations_db.user_interactions "
            "WHERE user_id = 1 AND interaction_type = 'purchase'",
        )
    }
    seen = touched(scored_shop, 1)
    codes = set()
    for item in ask(client, limit=100)["items"]:
        code, named = item["reason"]["code"], item["reason"]["product_ids"]
        codes.add(code)
        if code == "because_bought":
            assert set(named) <= bought
            assert named != [item["product_id"]]
            assert f"“{named[0]}”" in item["reason"]["text"]
        if code == "because_viewed":
            assert set(named) <= seen - bought
        if code == "bought_before":
            assert item["product_id"] in bought
    assert "because_bought" in codes
    assert "bought_before" in codes


def test_new_means_never_touched(client: httpx.Client, scored_shop: Shop) -> None:
    seen = touched(scored_shop, 1)
    assert seen & set(ids(ask(client, limit=60)))
    fresh = ids(ask(client, novelty="new", limit=60))
    assert len(fresh) == 60
    assert not seen & set(fresh)


def test_the_next_answer_knows_what_was_touched_a_moment_ago(client: httpx.Client) -> None:
    first = ids(ask(client, novelty="new"))[0]
    event = {"user_id": 1, "product_id": first, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1
    assert first not in ids(ask(client, novelty="new"))
    assert first in ids(ask(client, novelty="any", limit=100))


def test_a_limit_is_kept_even_when_less_is_stored(client: httpx.Client) -> None:
    # of the stored hundred fifteen are known to the user: the rest is found elsewhere
    answer = ask(client, novelty="new", limit=100)
    assert len(answer["items"]) == 100
    assert "popular" in {item["type"] for item in answer["items"]}


def test_a_user_nobody_knows_gets_what_is_popular(client: httpx.Client) -> None:
    answer = ask(client, 999_999)
    provenance = answer["provenance"]
    assert [provenance[name] for name in ("source", "model", "version", "generation")] == [
        "popular", None, None, None,
    ]  # fmt: skip
    assert provenance["filters"] == {"removed": {}, "qualified": 120}
    assert ids(answer) == ids(client.get("/api/v1/products/popular").json())
    assert len(answer["items"]) == 20


def test_a_newcomer_is_folded_in_after_the_first_event(client: httpx.Client, scored_shop: Shop) -> None:
    user = execute(
        scored_shop,
        "INSERT INTO users_db.users (email, username, full_name, password_hash) "
        "VALUES ('n@example.org', 'newcomer', 'N', 'x') RETURNING id",
    )[0][0]
    assert ask(client, user)["provenance"]["source"] == "popular"
    events = [
        {"username": "newcomer", "product_id": product, "interaction_type": "purchase"}
        for product in (91, 92, 93)
    ]
    assert client.post("/api/v1/interactions", json=events).json()["stored"] == 3
    answer = ask(client, user, novelty="new", limit=5)
    assert answer["provenance"]["source"] == "live"
    assert answer["provenance"]["model"] == "knn-v1"
    assert not {91, 92, 93} & set(ids(answer))
    best = answer["items"][0]
    assert best["name"].startswith("Chair"), "who buys chairs is shown chairs"
    assert set(best["reason"]["product_ids"]) <= {91, 92, 93}


def test_what_is_sold_out_or_inactive_disappears_without_a_restart(
    client: httpx.Client, scored_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = ids(ask(client))[:3]
    # plain SQL by somebody else, who keeps no column up to date
    execute(
        scored_shop,
        "UPDATE products_db.product_variants SET inventory_quantity = 0 WHERE product_id = %s",
        first,
    )
    execute(
        scored_shop,
        "UPDATE products_db.product_variants SET inventory_quantity = 0, inventory_policy = 'continue' "
        "WHERE product_id = %s",
        third,
    )
    execute(
        scored_shop, "UPDATE products_db.products SET status = 'archived', price = 1 WHERE id = %s", second
    )
    until(lambda: not {first, second} & set(ids(ask(client))))
    products = ids(ask(client))
    assert third in products
    assert len(products) == 20
    execute(scored_shop, "UPDATE products_db.products SET price = 7.5 WHERE id = %s", third)
    until(lambda: any(item["product_id"] == third and item["price"] == 7.5 for item in ask(client)["items"]))


def test_a_category_decides_whether_bought_products_return(client: httpx.Client, scored_shop: Shop) -> None:
    seen = touched(scored_shop, 11)  # lamps, below home
    rows = execute(
        scored_shop,
        "SELECT DISTINCT product_id FROM recommendations_db.user_interactions "
        "WHERE user_id = 11 AND interaction_type = 'purchase'",
    )
    bought = {row[0] for row in rows}
    assert bought & set(ids(ask(client, 11, limit=100)))
    execute(
        scored_shop, "INSERT INTO recommendations_db.category_policies VALUES (3, false)"
    )  # home, the parent
    from serving.batch import scoring

    scoring.score()
    until(lambda: ask(client, 11)["provenance"]["generation"] == 2)
    products = set(ids(ask(client, 11, limit=100)))
    assert len(products) == 100
    assert not products & bought
    assert products & (seen - bought), "what was only looked at may return"
    coffee = {row[0] for row in execute(
        scored_shop,
        "SELECT product_id FROM recommendations_db.user_interactions "
        "WHERE user_id = 1 AND interaction_type = 'purchase'",
    )}  # fmt: skip
    assert coffee & set(ids(ask(client, 1, limit=100))), "food has no rule: the setting decides"
    # bought a moment ago: gone from the next answer
    lamp = next(
        item["product_id"] for item in ask(client, 11, limit=100)["items"] if item["name"].startswith("Lamp")
    )
    client.post(
        "/api/v1/interactions", json={"user_id": 11, "product_id": lamp, "interaction_type": "purchase"}
    )
    until(lambda: lamp not in ids(ask(client, 11, limit=100)))


def test_similar_products(client: httpx.Client) -> None:
    answer = client.get("/api/v1/products/95/similar", params={"limit": 10})
    RecommendationsOut.model_validate_json(answer.content, strict=True)
    items = answer.json()["items"]
    assert len(items) == 10
    assert 95 not in [item["product_id"] for item in items]
    assert items[0]["type"] == "similar"
    assert items[0]["reason"] == {
        "code": "similar_to",
        "text": "Similar to Chair “95”",
        "product_ids": [95],
        "skus": ["sku95"],
    }
    assert items[0]["name"].startswith("Chair")
    missing = client.get("/api/v1/products/5000/similar")
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"


def test_a_shop_without_a_model_or_a_single_interaction_shows_its_newest(shop: Shop) -> None:
    execute(
        shop,
        "INSERT INTO products_db.products (name, slug, price) "
        "SELECT 'P' || i, 'p' || i, i FROM generate_series(1, 30) i",
    )
    with running(create_app()) as client:
        answer = ask(client, 5)
        assert answer["provenance"]["source"] == "popular"
        assert ids(answer) == list(range(30, 10, -1))
        assert client.get("/api/v1/products/3/similar").json()["items"][0]["product_id"] == 30
        ready = client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["status"] == "degraded"
        assert "no model is active" in ready.json()["parts"]["model"]["detail"]


def test_an_empty_shop_is_not_ready(shop: Shop) -> None:
    with running(create_app()) as client:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert "nothing to show" in ready.json()["detail"]
        assert ask(client, 5)["items"] == []


def test_readiness_names_model_and_generation(client: httpx.Client) -> None:
    ready = client.get("/health/ready").json()
    assert ready["status"] == "ready"
    assert ready["parts"]["model"]["detail"] == "knn-v1"
    assert ready["parts"]["generation"]["detail"].startswith("1: 2900 rows of 29 users")


def test_without_redis_the_list_comes_from_postgresql(
    scored_shop: Shop, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ask(client)["items"]
    monkeypatch.setenv("RECSYS_REDIS__URL", "redis://127.0.0.1:1/0")
    forget_connections()
    with running(create_app()) as degraded:
        answer = ask(degraded)
        assert answer["items"] == expected
        assert answer["provenance"]["source"] == "stored"
        assert answer["provenance"]["generation"] == 1
        ready = degraded.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["parts"]["redis"]["well"] is False
        first = ids(ask(degraded, novelty="new"))[0]
        event = {"user_id": 1, "product_id": first, "interaction_type": "view"}
        assert degraded.post("/api/v1/interactions", json=event).json()["stored"] == 1
        assert first not in ids(ask(degraded, novelty="new"))


def test_when_redis_forgets_everything_nothing_is_lost(
    client: httpx.Client, redis_client: redis.Redis
) -> None:
    expected = ask(client)["items"]
    redis_client.flushall()
    assert ask(client)["items"] == expected


def test_a_stored_list_of_another_format_is_passed_over(
    client: httpx.Client, redis_client: redis.Redis
) -> None:
    expected = ask(client)["items"]
    redis_client.set(keys.stored_recommendations(1, 1), b"\x07nonsense")
    assert ask(client)["items"] == expected


def test_expired_rows_are_never_served(
    client: httpx.Client, scored_shop: Shop, redis_client: redis.Redis
) -> None:
    redis_client.flushall()
    execute(
        scored_shop,
        "UPDATE recommendations_db.recommendation_generations SET expires_at = now() - interval '1 s'",
    )
    assert ask(client)["provenance"]["source"] == "live"


def test_a_promotion_is_noticed_and_a_damaged_model_is_not_taken(
    client: httpx.Client, scored_shop: Shop
) -> None:
    popular = shopping.promote(shopping.fit("popularity"), "popularity-v1")
    until(lambda: client.get("/health/ready").json()["parts"]["model"]["detail"] == "popularity-v1")
    damaged = shopping.promote(shopping.fit(), "knn-v2", 2)
    array = next(damaged.folder.glob("fitted_*.npy"))
    data = bytearray(array.read_bytes())
    data[-1] ^= 255
    array.write_bytes(data)
    until(lambda: "goes on serving" in client.get("/health/ready").json()["parts"]["model"]["detail"])
    detail = client.get("/health/ready").json()["parts"]["model"]["detail"]
    assert detail.startswith(f"{popular.name} goes on serving")
    assert "knn-v2" in detail
    assert ask(client)["provenance"]["source"] == "stored"
