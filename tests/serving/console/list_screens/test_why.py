"""The screen "why, and why not": the answer of the trace, in words, for what people type."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from tests.serving.api.answers import ask, ids
from tests.serving.console.conftest import content
from tests.support.shop import Shop


@pytest.mark.parametrize("user", ["5", "u5", "username:u5", "u5@example.org", "User 5"])
@pytest.mark.parametrize("position", [1, 15, 40])
def test_a_listed_product_is_where_the_list_has_it(client: httpx.Client, user: str, position: int) -> None:
    product = ids(ask(client, 5, limit=50))[position - 1]
    page = content(client, "/console/why", user=user, product=f"sku{product}")
    assert page["trace"]["user_id"] == 5
    assert page["trace"]["position"] == position
    assert page["trace"]["lost_at"] == (None if position <= 20 else "page")
    assert (page["problem"], page["past"]) == (None, None)


def test_a_missing_product_names_the_step_that_lost_it(client: httpx.Client) -> None:
    product = ids(ask(client, 5))[0]
    event = {"user_id": 5, "product_id": product, "interaction_type": "dismissed"}
    assert client.post("/api/v1/interactions", json=event).json()["stored"] == 1
    page = content(client, "/console/why", user="u5", product=str(product))
    assert page["trace"]["lost_at"] == "history"
    text = client.get("/console/why", params={"user": "u5", "product": str(product)}).text
    assert "The user dismissed it" in text
    assert ": lost here." in text


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"user": "no-such-person", "product": "5"}, "No person has"),
        ({"user": "5", "product": "no such product"}, "No product has"),
        ({"product": "5", "placement": "similar"}, "starts from a product"),
        ({"user": "5", "product": "5", "at": "2020-01-01T00:00"}, "No list"),
        ({"user": "5", "product": "5", "at": "yesterday"}, "cannot be read"),
        ({"product": "5", "at": "2020-01-01T00:00"}, "whose list is meant"),
    ],
)
def test_what_cannot_be_answered_says_why(client: httpx.Client, query: dict[str, str], problem: str) -> None:
    page = content(client, "/console/why", **query)
    assert problem in page["problem"]
    assert (page["trace"], page["past"]) == (None, None)


def test_every_placement_and_a_guest_are_answered(client: httpx.Client) -> None:
    placements = [name for name, _ in content(client, "/console/why")["placements"]]
    assert len(placements) == 8
    for placement in placements:
        page = content(client, "/console/why", product="Coffee 7", placement=placement, start="5", user="3")
        assert page["trace"]["placement"] == placement
        assert page["trace"]["summary"]
    guest = content(client, "/console/why", product="7", session="a-guest")
    assert (guest["trace"]["session_id"], guest["trace"]["source"]) == ("a-guest", "popular")


def test_a_past_page_is_displayed_with_the_product_marked(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered("r1", "for_you", "stored", [50, 51], [0.5, 0.4], clock.now(), 5, None, "knn-v1", "1", 1)
    with unit_of_work() as session:
        impressions.store(session, [page])
    at = f"{clock.now() + timedelta(minutes=2):%Y-%m-%dT%H:%M}"
    shown = content(client, "/console/why", user="5", product="51", at=at)
    assert (shown["past"]["position"], shown["trace"]) == (2, None)
    assert [each["product_id"] for each in shown["page_products"]] == [50, 51]
    assert "this one" in client.get("/console/why", params={"user": 5, "product": 51, "at": at}).text


def test_a_later_page_has_the_ranks_that_were_shown(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered(
        "r1", "for_you", "stored", [50, 51], [0.5, 0.4], clock.now(), 5, None, "knn-v1", "1", 1, None, 20
    )
    with unit_of_work() as session:
        impressions.store(session, [page])
    at = f"{clock.now() + timedelta(minutes=2):%Y-%m-%dT%H:%M}"
    shown = content(client, "/console/why", user="5", product="51", at=at)
    assert shown["past"]["position"] == 22
    assert [(each["position"], each["product_id"]) for each in shown["page_products"]] == [(21, 50), (22, 51)]
    assert [each["score"] for each in shown["page_products"]] == pytest.approx([0.5, 0.4])
