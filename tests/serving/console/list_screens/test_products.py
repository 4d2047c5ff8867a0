"""The screen of a product: search, lists beside it, funnel, who saw it, rules about it."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.interactions.history import product_weeks
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from tests.serving.api.answers import execute, ids
from tests.serving.console.conftest import content
from tests.support.shop import Shop
from tests.support.waiting import until


@pytest.mark.parametrize(
    ("words", "first"),
    [("7", 7), ("sku12", 12), ("sku:sku12", 12), ("lamp “70”", 70), ("COFFEE 9", 9), ("", 1)],
)
def test_a_product_is_found_by_number_sku_and_name(client: httpx.Client, words: str, first: int) -> None:
    assert content(client, "/console/products", q=words)["matches"][0]["product_id"] == first


def test_a_product_shows_what_is_served_beside_it_and_what_people_did(
    client: httpx.Client, scored_shop: Shop
) -> None:
    page = content(client, "/console/products/sku:sku5")
    assert (page["product_id"], page["category"], page["is_sold"]) == (5, "Coffee", True)
    for shown, path in zip(page["lists"], ("similar", "bought-together"), strict=True):
        served = client.get(f"/api/v1/products/5/{path}", params={"limit": 6}).json()
        assert [item["product_id"] for item in shown["products"]] == ids(served)
    assert [each["model"] for each in page["models"]] == ["knn-v1"]
    assert [variant["quantity"] for variant in page["variants"]] == [5]
    counted = {step["name"]: step["people"] for step in page["funnel"]}
    rows = execute(
        scored_shop,
        "SELECT interaction_type, count(DISTINCT user_id) FROM recommendations_db.user_interactions "
        "WHERE product_id = 5 GROUP BY 1",
    )
    assert counted == dict(rows)
    total = execute(
        scored_shop, "SELECT count(*) FROM recommendations_db.user_interactions WHERE product_id = 5"
    )[0][0]
    assert sum(page["weeks"]) == total


def test_who_saw_it_and_the_rules_about_it(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered("r1", "for_you", "stored", [50, 5], [0.5, 0.4], clock.now(), 9, None, "knn-v1", "1", 1)
    old = page._replace(request_id="r0", shown_at=clock.now() - timedelta(days=20))
    with unit_of_work() as session:
        impressions.store(session, [page, old])
        boost = {"name": "coffee up", "kind": "boost", "target": {"category_id": 2}, "factor": 2}
        rules.create(session, RuleIn.model_validate(boost), actor="test")
    until(lambda: content(client, "/console/products/5")["rules"] != [])
    shown = content(client, "/console/products/5")
    assert [(each["user_id"], each["position"]) for each in shown["viewers"]] == [(9, 2)]
    assert [each["name"] for each in shown["rules"]] == ["coffee up"]
    assert content(client, "/console/products/70")["rules"] == []


def test_a_product_that_is_not_sold_or_unknown_is_a_page_too(client: httpx.Client, scored_shop: Shop) -> None:
    execute(scored_shop, "UPDATE products_db.products SET status = 'draft' WHERE id = 7")
    until(lambda: not content(client, "/console/products/7")["is_sold"])
    assert "not on sale: draft" in client.get("/console/products/7").text
    assert client.get("/console/products/999999").status_code == 404


def test_the_weeks_of_a_product_without_events_are_empty(open_shop: Shop) -> None:
    with unit_of_work() as session:
        assert product_weeks(session, 999_999, 4) == [0, 0, 0, 0]
