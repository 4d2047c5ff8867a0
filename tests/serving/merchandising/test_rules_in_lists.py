"""Business rules and diversity in HTTP responses."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from serving.ranking.strategies import rank
from serving.recommender import sources
from serving.server.app import create_app
from tests.serving.api.answers import ask, ids
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

COFFEE, LAMPS, CHAIRS = range(1, 61), range(61, 91), range(91, 121)


def write(**rule: Any) -> int:
    with unit_of_work() as session:
        return rules.create(session, RuleIn.model_validate(rule), actor="test").id


def test_a_hidden_product_is_in_no_list(client: httpx.Client) -> None:
    first = ids(ask(client, 1))[:3]
    cursor = ask(client, 1, limit=1)["next_cursor"]
    write(name="recall", kind="hide", target={"product_ids": first})
    until(lambda: not set(first) & set(ids(ask(client, 1, limit=100))))
    stored = ask(client, 1, limit=30)
    assert stored["provenance"]["source"] == "stored"
    assert len(ids(stored)) == 30
    narrow = ask(client, 1, category=2, limit=57)
    assert len(ids(narrow)) == 57
    assert narrow["provenance"]["filters"]["removed"]["rules"] == 3
    assert not set(first) & set(ids(ask(client, 1, limit=50, cursor=cursor))), (
        "nor on a later page of an older list"
    )


def test_a_pin_has_its_position_and_names_its_rule(client: httpx.Client) -> None:
    write(name="Lamp of the week", kind="pin", target={"product_ids": [88]}, position=2)
    until(lambda: ids(ask(client, 1))[1] == 88)
    answer = ask(client, 1, limit=10)
    assert answer["items"][1]["reason"]["code"] in ("picked", "popular", "because_bought", "chosen")
    explained = ask(client, 1, limit=5, explain=True)
    assert explained["items"][1]["product_id"] == 88
    assert explained["items"][1]["explanation"]["rules"] == ["Lamp of the week"]
    event = {"user_id": 1, "product_id": 88, "feedback_type": "dismissed"}
    assert client.post("/api/v1/recommendations/feedback", json=event).json()["stored"] == 1
    assert 88 not in ids(ask(client, 1)), "a dismissed product is not pinned"


def test_boosts_and_caps(client: httpx.Client) -> None:
    before = ids(ask(client, 1))
    write(name="lamps up", kind="boost", target={"category_id": 4}, factor=50)
    until(lambda: ids(ask(client, 1))[0] in LAMPS)
    assert before[0] not in LAMPS
    write(name="three of a kind", kind="cap", cap_by="category", most=3, strict=False)
    until(lambda: sum(one in LAMPS for one in ids(ask(client, 1, limit=9))) <= 3)
    page = ids(ask(client, 1, limit=9))
    assert [sum(one in kind for one in page) for kind in (COFFEE, LAMPS, CHAIRS)] == [3, 3, 3]
    assert len(ids(ask(client, 1, limit=20, category=4))) == 20, "a request for one category ignores the cap"


def test_rules_apply_to_their_placements_in_their_period(client: httpx.Client) -> None:
    first = ids(ask(client, 1))[0]
    tomorrow = (clock.now() + timedelta(days=1)).isoformat()
    write(name="later", kind="hide", target={"product_ids": [first]}, starts_at=tomorrow)
    write(name="popular only", kind="hide", target={"category_id": 2}, shelves=["popular"])
    until(lambda: not set(COFFEE) & set(ids(client.get("/api/v1/products/popular").json())))
    assert first in ids(ask(client, 1))


def test_a_cap_applies_to_each_page(client: httpx.Client) -> None:
    write(name="two", kind="cap", cap_by="category", most=4, strict=False)
    until(lambda: sum(one in COFFEE for one in ids(ask(client, 1, limit=12))) == 4)
    first = ask(client, 1, limit=12)
    second = ask(client, 1, limit=12, cursor=first["next_cursor"])
    assert not set(ids(first)) & set(ids(second))
    assert sum(one in COFFEE for one in ids(second)) == 4, "the cap applies to the second page, too"


def test_a_strict_cap_holds_on_every_page_of_every_list(client: httpx.Client) -> None:
    with unit_of_work() as session:
        rows = session.execute(text("SELECT id, category_id FROM products_db.products")).all()
    category_of = {row.id: row.category_id for row in rows}
    write(name="two of a kind", kind="cap", cap_by="category", most=2)
    until(lambda: len(ids(ask(client, 1, limit=50))) <= 2 * len(set(category_of.values())))
    for user in range(1, 41, 4):
        for query in ({}, {"novelty": "new"}, {"in_stock": True}, {"max_price": 60}, {"diversity": 0.5}):
            for limit in (5, 12, 50):
                page, cursors = ask(client, user, limit=limit, **query), 0
                while True:
                    listed = [category_of[product] for product in ids(page)]
                    assert max(map(listed.count, listed), default=0) <= 2, (user, query, limit, page)
                    cursors += 1
                    if page["next_cursor"] is None or cursors == 3:
                        break
                    page = ask(client, user, limit=limit, cursor=page["next_cursor"], **query)


def test_a_minimum_share_counts_the_products_that_complete_a_short_list(scored_shop: Shop) -> None:
    with running(create_app()) as client:
        stored = ids(ask(client, 1, limit=100))
    others = [product for product in range(1, 121) if product not in stored]
    assert len(others) == 20
    # without the model nothing but popular products can complete the list
    shutil.rmtree(scored_shop.var / "models")
    with running(create_app()) as client:
        write(name="recall", kind="hide", target={"product_ids": stored[6:]})
        until(lambda: ids(ask(client, 1, limit=12))[:6] == stored[:6])
        plain = ask(client, 1, limit=12)
        assert plain["provenance"]["source"] == "stored"
        more = ids(plain)[6:]
        assert len(more) == 6
        late = [product for product in others if product not in more]
        write(
            name="new ones",
            kind="minimum_new",
            share=0.5,
            new_to="shop",
            target={"product_ids": late, "created_within_days": 3650},
        )
        until(lambda: len(set(ids(ask(client, 1, limit=12))) & set(late)) == 6)
        listed = ids(ask(client, 1, limit=12))
        for place in range(1, 13):
            assert len(set(listed[:place]) & set(late)) >= place // 2, listed
        assert [product for product in listed if product not in late] == stored[:6]


def test_popular_products_that_answer_for_a_late_list_follow_the_rules(
    scored_shop: Shop, short_deadline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(name="Lamp of the week", kind="pin", target={"product_ids": [88]}, position=2)
    write(name="two of a kind", kind="cap", cap_by="category", most=2)

    def slowly(*given: Any, **named: Any) -> Any:
        time.sleep(1.0)
        return rank(*given, **named)

    monkeypatch.setattr(sources, "rank", slowly)
    with running(create_app()) as client:
        answer = ask(client, 1, diversity=0.5, limit=6)
    assert answer["provenance"]["complete"] is False
    assert answer["provenance"]["source"] == "popular"
    listed = ids(answer)
    assert listed[1] == 88
    with unit_of_work() as session:
        rows = session.execute(text("SELECT id, category_id FROM products_db.products")).all()
    category_of = {row.id: row.category_id for row in rows}
    categories = [category_of[product] for product in listed]
    assert max(map(categories.count, categories)) <= 2


def test_diversity_mixes_categories(client: httpx.Client) -> None:
    plain = ask(client, 1, limit=12, category=[1, 3])
    mixed = ask(client, 1, limit=12, category=[1, 3], diversity=0.9)
    assert ids(plain)[0] == ids(mixed)[0]

    def categories_listed(answer: dict[str, Any]) -> int:
        return sum(any(one in kind for one in ids(answer)) for kind in (COFFEE, LAMPS, CHAIRS))

    assert categories_listed(mixed) == 3
    assert categories_listed(mixed) > categories_listed(plain) or ids(mixed) != ids(plain)
    assert len(set(ids(mixed))) == 12


def test_a_preview_changes_no_list(client: httpx.Client, scored_shop: Shop) -> None:
    path = "/api/v1/recommendations/rules/preview"
    first, second = ids(ask(client, 1, limit=2, category=1))
    body = {
        "rule": {"name": "try", "kind": "hide", "target": {"product_ids": [first]}},
        "user_id": 1,
        "limit": 5,
    }
    assert client.post(path, json=body).status_code == 401
    assert client.post(path, json=body, headers={"X-Api-Key": "rk_no_key"}).status_code == 401
    key = scored_shop.run("keys", "create", "desk", "--scope", "admin").stdout.strip()
    headers = {"X-Api-Key": key}
    previewed = client.post(path, json=body, headers=headers)
    assert previewed.status_code == 200, previewed.text
    listed = previewed.json()
    assert listed["before"][0]["product_id"] == first
    assert listed["after"][0]["product_id"] == second
    assert first not in [one["product_id"] for one in listed["after"]]
    assert {"product_id": first, "before": 1, "after": None} in [
        {name: one[name] for name in ("product_id", "before", "after")} for one in listed["changes"]
    ]
    assert first in ids(ask(client, 1)), "nothing was stored"
    wrong = client.post(path, json=body | {"rule": {"name": "x", "kind": "pin"}}, headers=headers)
    assert wrong.status_code == 422
    unknown_product = client.post(path, json=body | {"product_ids": [5000]}, headers=headers)
    assert unknown_product.status_code == 404


def test_a_rule_for_the_name_of_a_list_applies_to_that_list_only(client: httpx.Client) -> None:
    write(name="not on top", kind="hide", target={"category_id": 4}, placements=["home-top"])

    def sizes() -> list[int]:
        narrow = {"placement": "popular", "filters": {"category": [4]}, "limit": 5}
        body = {"shelves": [narrow | {"name": name} for name in ("home-top", "below")]}
        lists = client.post("/api/v1/recommendations", json=body).json()["shelves"]
        return [len(listed["items"]) for listed in lists]

    until(lambda: sizes() == [0, 5])
    popular = client.get("/api/v1/products/popular", params={"category": 4}).json()
    assert set(ids(popular)) <= set(LAMPS)
    assert ids(popular)
