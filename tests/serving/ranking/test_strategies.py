"""Every placement over HTTP: contents, exclusions, filters, pages and explanations."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids, touched
from tests.serving.running import running
from tests.support.guests import guest as guest_header
from tests.support.shop import Shop
from tests.support.waiting import until
from training.experiment import load

COFFEE, LAMPS, CHAIRS = range(1, 61), range(61, 91), range(91, 121)


def page(client: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = client.post("/api/v1/recommendations", json=body)
    assert answer.status_code == 200, answer.text
    shelves: list[dict[str, Any]] = answer.json()["shelves"]
    return shelves


def get(client: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/api/v1/{path}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_the_first_event_of_a_guest_changes_the_next_list(client: httpx.Client) -> None:
    headers = guest_header("guest-1")
    before = client.get("/api/v1/recommendations", headers=headers).json()
    assert before["provenance"]["source"] == "popular"
    event = {"session_id": "guest-1", "product_id": 75, "interaction_type": "view"}
    assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1
    after = client.get("/api/v1/recommendations", headers=headers).json()
    assert after["provenance"]["source"] == "live"
    assert sum(product in LAMPS for product in ids(after)) > sum(product in LAMPS for product in ids(before))
    viewed = client.get(
        "/api/v1/recommendations", params={"shelf": "because_you_viewed", "limit": 5}, headers=headers
    ).json()
    assert 75 not in ids(viewed)
    assert viewed["items"][0]["reason"]["code"] == "because_viewed"
    assert viewed["items"][0]["reason"]["product_ids"] == [75]
    assert set(ids(viewed)) <= set(LAMPS)


def test_buy_again_has_bought_products_only(client: httpx.Client, scored_shop: Shop) -> None:
    bought = {
        row[0]
        for row in execute(
            scored_shop,
            "SELECT DISTINCT product_id FROM recommendations_db.user_interactions "
            "WHERE user_id = 1 AND interaction_type = 'purchase'",
        )
    }
    answer = ask(client, 1, shelf="buy_again", limit=100)
    assert set(ids(answer)) <= bought
    assert ids(answer)
    assert {item["reason"]["code"] for item in answer["items"]} == {"bought_before"}
    without_purchases = ask(client, 999_999, shelf="buy_again")
    assert ids(without_purchases) == [], "empty for a user without purchases"


def test_buy_again_is_ranked_by_its_model_once_registered(scored_shop: Shop) -> None:
    recipe = load("buy_again")
    shopping.promote(shopping.fit(recipe.algorithm, **recipe.parameters), "buy_again-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    with running(create_app()) as client:
        bought = {
            row[0]
            for row in execute(
                scored_shop,
                "SELECT DISTINCT product_id FROM recommendations_db.user_interactions "
                "WHERE user_id = 1 AND interaction_type = 'purchase'",
            )
        }
        answer = ask(client, 1, shelf="buy_again", limit=100)
        assert answer["provenance"]["model"] == "buy_again-v1"
        assert ids(answer)
        assert set(ids(answer)) <= bought
        assert {item["reason"]["code"] for item in answer["items"]} == {"bought_before"}


def test_trending_new_and_popular(client: httpx.Client, scored_shop: Shop) -> None:
    assert ids(get(client, "products/new", limit=5)) == [1, 2, 3, 4, 5]
    assert ids(get(client, "products/new", limit=3, category=4)) == [61, 62, 63]
    assert set(ids(get(client, "products/popular", limit=30, category=5))) == set(CHAIRS)


@pytest.mark.one_server
def test_trending_products_lead_their_list(scored_shop: Shop) -> None:
    trending = [70, 105, 33]
    for product in trending:
        execute(
            scored_shop,
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, created_at) "
            "SELECT u.id, %s, 'purchase', newest.at FROM users_db.users AS u, "
            "(SELECT max(created_at) AS at FROM recommendations_db.user_interactions) AS newest",
            product,
        )
    with running(create_app()) as client:
        items = get(client, "recommendations", shelf="trending", limit=20)["items"]
    codes = [item["reason"]["code"] for item in items]
    count = codes.count("trending")
    assert codes[:count] == ["trending"] * count, "popular products come after all trending ones"
    assert set(trending) <= {item["product_id"] for item in items[:count]}
    assert len(items) == 20


def test_popular_in_a_country_counts_paid_orders_sent_there(client: httpx.Client, scored_shop: Shop) -> None:
    orders = [  # country, user, products, financial_status, status, days ago
        ("FR", 1, (77, 80), "paid", "delivered", 0),
        ("FR", 2, (80,), "authorized", "processing", 3),
        ("fr", 3, (80, 77, 90), "partially_refunded", "processing", 20),
        ("FR", 4, (81,), "pending", "pending", 0),
        ("FR", 4, (82,), "paid", "cancelled", 0),
        ("FR", 4, (83,), "refunded", "delivered", 0),
        ("FR", 5, (84,), "paid", "delivered", 29),
        ("DE", 5, (85,), "paid", "delivered", 1),
        # many orders of a person count once
        *[("FR", 6, (86,), "paid", "delivered", 1)] * 5,
    ]
    for order, (country, user, products, financial, status, days) in enumerate(orders, 1):
        execute(
            scored_shop,
            "INSERT INTO orders_db.orders (id, user_id, order_number, subtotal_price, total_price, "
            "financial_status, status, created_at) VALUES (%s, %s, %s, 10, 10, %s, %s, now() - %s)",
            order, user, f"A{order}", financial, status, timedelta(days=days),
        )  # fmt: skip
        for product in products:
            execute(
                scored_shop,
                "INSERT INTO orders_db.order_items (order_id, product_id, quantity, price, name) "
                "VALUES (%s, %s, 3, 5, 'x')", order, product,
            )  # fmt: skip
        execute(
            scored_shop,
            "INSERT INTO orders_db.shipping_addresses (order_id, first_name, last_name, address1, city, "
            "country, zip) VALUES (%s, 'A', 'B', 'Street 1', 'Town', %s, '75001')", order, country,
        )  # fmt: skip
    answer = get(client, "products/popular", limit=10, country="fr")
    # of four people three bought the first, two the second; then products of one person each
    assert ids(answer)[:2] == [80, 77]
    assert set(ids(answer)[2:4]) == {86, 90}
    assert not {81, 82, 83, 84, 85} & set(ids(answer)[:4])
    assert [item["score"] for item in answer["items"][:2]] == [0.75, 0.5]
    assert len(ids(answer)) == 10, "completed with products popular everywhere"
    assert ids(get(client, "products/popular", limit=10, country="DE"))[0] == 85
    lamps = get(client, "products/popular", limit=2, country="FR", category=5)
    assert set(ids(lamps)) <= set(CHAIRS)


def test_bought_together(trained_shop: Shop) -> None:
    for order in (1, 2, 3):
        execute(
            trained_shop,
            "INSERT INTO orders_db.orders (id, user_id, order_number, email, subtotal_price, total_price) "
            "VALUES (%s, 1, %s, 'a@example.org', 10, 10)", order, f"A{order}",
        )  # fmt: skip
        for product in (50, 100, 60 + order):
            execute(
                trained_shop,
                "INSERT INTO orders_db.order_items (order_id, product_id, quantity, price, name) "
                "VALUES (%s, %s, 1, 5, 'x')", order, product,
            )  # fmt: skip
    scoring.score()
    with running(create_app()) as client:
        answer = get(client, "products/50/bought-together", limit=3)
        assert ids(answer)[0] == 100, "not 61, 62 or 63: one shared order is no evidence"
        assert answer["items"][0]["reason"] == {
            "code": "bought_together",
            "text": "Bought together with Coffee “50”",
            "product_ids": [50],
            "skus": ["sku50"],
        }
        assert 50 not in ids(answer)
        assert client.get("/api/v1/products/5000/bought-together").status_code == 404


def test_the_auxiliary_model_is_used_once_registered(scored_shop: Shop) -> None:
    for basket in range(12):
        for product in (50, 100, 61 + basket):
            execute(
                scored_shop,
                "INSERT INTO recommendations_db.user_interactions "
                "(user_id, product_id, interaction_type, session_id, created_at) "
                "VALUES (%s, %s, 'purchase', %s, '2024-02-01')", basket + 1, product, f"basket-{basket}",
            )  # fmt: skip
    for basket in range(12):  # and others, of which most orders are made
        for product in (20 + basket, 110):
            execute(
                scored_shop,
                "INSERT INTO recommendations_db.user_interactions "
                "(user_id, product_id, interaction_type, session_id, created_at) "
                "VALUES (%s, %s, 'purchase', %s, '2024-02-02')", basket + 1, product, f"other-{basket}",
            )  # fmt: skip
    recipe = load("bought_together")
    shopping.promote(shopping.fit(recipe.algorithm, **recipe.parameters), "bought_together-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    with running(create_app()) as client:
        answer = get(client, "products/50/bought-together", limit=3)
        assert answer["provenance"]["model"] == "bought_together-v1"
        assert ids(answer)[0] == 100, "one shared basket of twelve is no evidence"
        assert answer["items"][0]["reason"]["code"] == "bought_together"
        assert answer["items"][1]["reason"]["code"] == "popular"
        assert ask(client, 1)["provenance"]["model"] == "knn-v1", "lists of users stay with the active model"


def test_lists_of_a_product_are_ranked_by_their_auxiliary_models(scored_shop: Shop) -> None:
    for basket in range(24):
        # coffee 50 with chair 100 and lamp 61 with chair 110, each in half of the baskets, and something else
        pair = (50, 100) if basket % 2 else (61, 110)
        for product in (*pair, 20 + basket):
            execute(
                scored_shop,
                "INSERT INTO recommendations_db.user_interactions "
                "(user_id, product_id, interaction_type, session_id, created_at) "
                "VALUES (%s, %s, 'purchase', %s, '2024-02-01')", basket + 1, product, f"basket-{basket}",
            )  # fmt: skip
    for name in ("similar_items", "complements"):
        recipe = load(name)
        shopping.promote(shopping.fit(recipe.algorithm, **recipe.parameters), f"{name}-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    with running(create_app()) as client:
        together = get(client, "products/50/bought-together", limit=10)
        assert together["provenance"]["model"] == "complements-v1"
        assert ids(together)[0] == 100
        cart = page(client, cart=[50, 61], page={"product_ids": []}, shelves=[{"shelf": "bought_together"}])
        best = cart[0]["items"][:2]
        assert {(product["product_id"], *product["reason"]["product_ids"]) for product in best} == {
            (100, 50),
            (110, 61),
        }
        for product in range(1, 121):
            similar_products = get(client, f"products/{product}/similar", limit=10)
            assert similar_products["provenance"]["model"] == "similar_items-v1"
            assert product not in ids(similar_products)
            scores = [
                item["score"] for item in similar_products["items"] if item["reason"]["code"] == "similar_to"
            ]
            assert all(0 < score < 1 for score in scores)
            assert all(score > after for score, after in pairwise(scores)), "scores decrease strictly"
        assert ask(client, 1)["provenance"]["model"] == "knn-v1", "lists of users stay with the active model"


def test_no_product_is_in_two_lists_of_a_page(client: httpx.Client) -> None:
    shelves = page(
        client,
        user_id=1,
        cart=[5, 6],
        page={"product_ids": [10]},
        shelves=[
            {"shelf": "similar", "limit": 10},
            {"shelf": "for_you", "limit": 20, "name": "More"},
            {"shelf": "popular", "limit": 20},
            {"shelf": "buy_again", "limit": 20},
        ],
    )
    assert [shelf["name"] for shelf in shelves] == ["similar", "More", "popular", "buy_again"]
    shown = [product for shelf in shelves for product in ids(shelf)]
    assert len(shown) == len(set(shown))
    assert not {5, 6, 10} & set(shown), "products of the cart and the page are not recommended"
    assert len(ids(shelves[1])) == len(ids(shelves[2])) == 20
    assert shelves[1]["provenance"]["filters"]["removed"]["on_page"] == 10


def test_a_cart_is_history_of_a_guest(client: httpx.Client) -> None:
    (nothing,) = page(client)
    (lamps,) = page(client, cart=[70, 71, 72])
    assert sum(product in LAMPS for product in ids(lamps)) > sum(product in LAMPS for product in ids(nothing))
    assert lamps["provenance"]["source"] == "live"
    (narrowed,) = page(client, cart=[70], page={"category_id": 5})
    assert set(ids(narrowed)) <= set(CHAIRS)


def test_an_explanation_adds_up_and_names_the_history(client: httpx.Client, scored_shop: Shop) -> None:
    answer = ask(client, 1, explain=True, limit=5)
    past = touched(scored_shop, 1)
    for item in answer["items"]:
        explanation = item["explanation"]
        parts = sum(part["adds"] for part in explanation["parts"])
        assert explanation["raw_score"] == pytest.approx(
            explanation["baseline"] + parts + explanation["others"], rel=1e-5
        )
        assert {part["product_id"] for part in explanation["parts"]} <= past
        reported = item["reason"]["product_ids"]
        if item["reason"]["code"].startswith("because"):
            assert explanation["parts"][0]["product_id"] == reported[0], "the reason is the largest part"


def test_a_dismissal_applies_to_the_next_request(client: httpx.Client, scored_shop: Shop) -> None:
    first = ids(ask(client, 1))[0]
    answer = client.post(
        "/api/v1/recommendations/feedback",
        json={"user_id": 1, "product_id": first, "feedback_type": "dismissed"},
    )
    assert answer.json()["stored"] == 1
    for query in ({}, {"novelty": "new"}, {"category": 1}, {"shelf": "buy_again"}, {"shelf": "popular"}):
        assert first not in ids(ask(client, 1, limit=100, **query)), query
    from serving.batch import scoring

    scoring.score()
    until(lambda: ask(client, 1)["provenance"]["generation"] in (2, None))
    assert first not in ids(ask(client, 1, limit=100))
    assert first in ids(ask(client, 2, limit=100, category=1)), "lists of other users do not change"

    # restoring applies at once, too, though the stored list does not hold the product
    answer = client.post(
        "/api/v1/recommendations/feedback",
        json={"user_id": 1, "product_id": first, "feedback_type": "restored"},
    )
    assert answer.json()["stored"] == 1
    for query in ({}, {"category": 1}):
        assert first in ids(ask(client, 1, limit=100, **query)), query
    scoring.score()
    until(lambda: ask(client, 1)["provenance"]["generation"] == 3)
    assert first in ids(ask(client, 1, limit=100))


def test_a_preferred_category_is_a_reason(client: httpx.Client, scored_shop: Shop) -> None:
    execute(
        scored_shop,
        "INSERT INTO recommendations_db.user_preferences (user_id, category_preferences) "
        "VALUES (1, '{\"Lamps\": 1}')",
    )
    answer = ask(client, 1, category=4, limit=30)
    codes = {item["reason"]["code"] for item in answer["items"]}
    assert codes <= {"because_bought", "because_viewed", "chosen_category", "popular", "viewed_before",
                     "bought_before"}  # fmt: skip
    for item in answer["items"]:
        if item["reason"]["code"] == "chosen_category":
            assert item["reason"]["text"] == "In a category you chose"


def test_a_new_product_is_listed_by_similarity(client: httpx.Client, scored_shop: Shop) -> None:
    best = ids(ask(client, 1))[0]
    name = execute(scored_shop, "SELECT name FROM products_db.products WHERE id = %s", best)[0][0]
    execute(
        scored_shop,
        "INSERT INTO products_db.products (id, name, slug, sku, price, category_id) "
        "VALUES (500, %s, 'p500', 'sku500', 2, 2)", name,
    )  # fmt: skip
    until(lambda: 500 in ids(ask(client, 1, limit=30, category=2)))
    explanation = next(
        product for product in ask(client, 1, limit=30, category=2)["items"] if product["product_id"] == 500
    )
    assert explanation["type"] == "content_based"
    assert explanation["reason"]["product_ids"]
    similar = get(client, "products/500/similar", limit=5)
    assert similar["provenance"]["source"] == "stored", "made by this request, for the next ones"
    assert similar["items"][0]["reason"]["product_ids"] == [500]
