"""The screen of a person: search, lists with reasons, comparison of models, events posted for the person."""

from __future__ import annotations

import httpx
import pytest

from models.registry import registry
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.domains.recommendations.interactions.history import interactions_of
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids
from tests.serving.console.conftest import LogIn, content
from tests.support.shop import Shop
from tests.support.web.pages import send_form


@pytest.mark.parametrize(
    ("words", "first"), [("7", 7), ("U12", 12), ("u9@exam", 9), ("user 23", 23), ("", 1)]
)
def test_a_person_is_found_by_number_own_id_mail_and_name(
    client: httpx.Client, words: str, first: int
) -> None:
    assert content(client, "/console/people", q=words)["matches"][0]["id"] == first


def test_a_search_without_matches_says_what_to_do(client: httpx.Client) -> None:
    answer = client.get("/console/people", params={"q": "%zzz_"})
    assert "Nobody matches" in answer.text
    assert client.get("/console/people/999999").status_code == 404
    assert client.get("/console/people/username:none").status_code in (404, 422)


def test_the_lists_are_those_that_are_served(client: httpx.Client) -> None:
    page = content(client, "/console/people/username:u5")
    assert page["person"]["id"] == 5
    for shown, novelty in zip(page["lists"], ("any", "new"), strict=True):
        served = ask(client, 5, limit=10, novelty=novelty)
        assert [item["product_id"] for item in shown["products"]] == ids(served)
        assert [item["score"] for item in shown["products"]] == [item["score"] for item in served["items"]]
        assert shown["source"] == "stored"
        explained = [item for item in shown["products"] if item["parts"]]
        assert len(explained) > 5
        for item in explained:
            filled = sum(max(0.0, part["value"]) for part in item["parts"]) / item["parts_scale"]
            assert filled == pytest.approx(item["score"])
    assert sum(page["counts"].values()) == 15
    days = [day["day"] for day in page["history"]]
    assert days == sorted(days, reverse=True)


def test_a_purchase_posted_for_a_person_changes_the_list_and_marks_it(
    client: httpx.Client, scored_shop: Shop
) -> None:
    before = ids(ask(client, 5, limit=10))
    fields = {"product": "sku:sku100", "interaction_type": "purchase"}
    answer = send_form(client, "/console/people/5/events", fields)
    assert answer.status_code == 303, answer.text
    page = content(client, answer.headers["location"])
    shown = [item["product_id"] for item in page["lists"][0]["products"]]
    assert shown == ids(ask(client, 5, limit=10))
    for item in page["lists"][0]["products"]:
        if item["product_id"] not in before:
            assert item["change"] == "new"
        else:
            moved = before.index(item["product_id"]) + 1 - item["position"]
            expected = None if moved == 0 else f"up {moved}" if moved > 0 else f"down {-moved}"
            assert item["change"] == expected
    left = dict(page["lists"][0]["left"])
    assert left.keys() == set(before) - set(shown)
    assert all(str(product) in name for product, name in left.items())
    with unit_of_work() as session:
        newest = interactions_of(session, user_id=5, limit=1)[0]
        assert (newest.product_id, newest.interaction_type) == (100, "purchase")
    dismissed = send_form(
        client, "/console/people/5/events", {"product": shown[0], "interaction_type": "dismissed"}
    )
    gone = content(client, dismissed.headers["location"])["lists"][0]["left"]
    assert shown[0] in [product for product, _ in gone]


def test_what_was_shown_names_what_followed(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered("r1", "for_you", "stored", [50, 51], [0.5, 0.4], clock.now(), 5, None, "knn-v1", "1", 1)
    with unit_of_work() as session:
        impressions.store(session, [page])
    send_form(client, "/console/people/5/events", {"product": 51, "interaction_type": "add_to_cart"})
    (shown,) = content(client, "/console/people/5")["shown"]
    assert (shown["request_id"], shown["products"]) == ("r1", [[50, "Coffee “50”"], [51, "Coffee “51”"]])
    address = f"/console/why?user=5&product=51&placement=for_you&at={shown['asked_at']}"
    assert address.replace("&", "&amp;") in client.get("/console/people/5").text
    assert content(client, address)["past"]["request_id"] == "r1"
    assert shown["followed"] == ["add to cart Coffee “51”"]


def test_what_was_displayed_is_not_what_followed(client: httpx.Client, scored_shop: Shop) -> None:
    page = Answered("r1", "for_you", "stored", [50, 51], [0.5, 0.4], clock.now(), 5, None, "knn-v1", "1", 1)
    with unit_of_work() as session:
        impressions.store(session, [page])
    execute(
        scored_shop,
        "INSERT INTO recommendations_db.recommendation_feedback "
        "(user_id, product_id, feedback_type, created_at) VALUES "
        " (5, 50, 'shown', now()), (5, 51, 'shown', now()), (5, 51, 'clicked', now())",
    )
    (shown,) = content(client, "/console/people/5")["shown"]
    assert shown["followed"] == ["clicked Coffee “51”"]
    trace = content(client, "/console/why", user="5", product="51")["trace"]
    assert [each["name"] for each in trace["feedback"]] == ["clicked"]


def test_two_models_side_by_side_count_their_overlap(client: httpx.Client, scored_shop: Shop) -> None:
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    page = content(client, "/console/people/5", model="popularity-v1")
    mine, other = ([item["product_id"] for item in each["products"]] for each in page["compared"])
    assert page["overlap"] == len(set(mine) & set(other))
    assert mine == ids(ask(client, 5, limit=10, min_price=0))
    assert [each["model"] for each in page["compared"]] == ["knn-v1", "popularity-v1"]
    for each, beside in zip(page["compared"], (other, mine), strict=True):
        assert [item["is_shared"] for item in each["products"]] == [
            item["product_id"] in beside for item in each["products"]
        ]
    assert (
        "no-such-model" in content(client, "/console/people/5", model="no-such-model")["comparison_problem"]
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"product": "", "interaction_type": "view"},
        {"product": "sku:none", "interaction_type": "view"},
        {"product": "5", "interaction_type": "review"},
        {"product": "-1", "interaction_type": "view"},
        {"product": "999999", "interaction_type": "view"},
    ],
)
def test_a_wrong_event_changes_nothing(client: httpx.Client, fields: dict[str, str]) -> None:
    answer = send_form(client, "/console/people/5/events", fields)
    assert answer.status_code in (404, 422), answer.text
    with unit_of_work() as session:
        assert len(interactions_of(session, user_id=5, limit=100)) == 15


def test_a_viewer_sees_a_person_and_posts_nothing(staff: Shop, log_in: LogIn) -> None:
    viewer = log_in("viewer")
    text = viewer.get("/console/people/5").text
    assert "Posting events needs the role operator" in text
    assert "/console/people/5/events" not in text
