"""The placement studio: drafts in the address, before and after, saved as rules, undone."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from tests.serving.api.answers import ask, ids
from tests.serving.console.conftest import LogIn, content
from tests.support.shop import Shop
from tests.support.waiting import until
from tests.support.web.pages import send_form


def names_of_rules() -> list[str]:
    with unit_of_work() as session:
        return [row.name for row in rules.listed(session, limit=100)]


def products(page: dict[str, Any]) -> list[int]:
    return [card["product"]["product_id"] for card in page["cards"]]


def test_without_changes_the_cards_are_the_list(client: httpx.Client) -> None:
    page = content(client, "/console/studio", user="u5")
    assert products(page) == ids(ask(client, 5, limit=12, min_price=0))
    assert [card["before"] for card in page["cards"]] == list(range(1, 13))
    assert page["changes"] == []
    guest = content(client, "/console/studio", placement="popular", limit=5)
    assert products(guest) == ids(client.get("/api/v1/products/popular", params={"limit": 5}).json())


def test_the_changes_of_the_address_change_the_cards_and_nothing_else(client: httpx.Client) -> None:
    before = products(content(client, "/console/studio", user="5"))
    query = {"user": "5", "change": [f"hide:{before[0]}", "pin:100:2", f"factor:{before[1]}:0"]}
    page = content(client, "/console/studio", **query)
    after = products(page)
    assert before[0] not in after
    assert after[1] == 100
    assert before[1] not in after
    assert {item["product_id"] for item in page["gone"]} == set(before) - set(after)
    assert [change["text"] for change in page["changes"]] == [
        f"Hide Coffee “{before[0]}”",
        "Pin Chair “100” to position 2",
        f"Bury Coffee “{before[1]}”: score × 0",
    ]
    assert page["expected_after"] < page["expected_before"]
    without_hide = content(client, page["changes"][0]["without"])
    assert products(without_hide)[0] == before[0]
    assert names_of_rules() == []
    assert ids(ask(client, 5, limit=12)) == before


def test_a_form_of_a_card_leads_to_the_address_with_its_change(client: httpx.Client) -> None:
    first = products(content(client, "/console/studio", user="5"))[0]
    answer = client.get(
        "/console/studio",
        params={"user": "5", "change": f"pin:{first}:4", "pin_product": first, "pin_place": 7},
    )
    assert answer.status_code == 303
    page = content(client, answer.headers["location"])
    assert page["request"]["change"] == [f"pin:{first}:7"]
    assert products(page)[6] == first
    capped = client.get("/console/studio", params={"user": "5", "cap_by": "category", "cap_most": 4})
    page = content(client, capped.headers["location"])
    assert page["changes"][0]["text"] == "At most 4 of each category on a page"
    assert sum(product <= 60 for product in products(page)) == 4


def test_a_slider_at_one_takes_its_change_away(client: httpx.Client) -> None:
    first = products(content(client, "/console/studio", user="5"))[0]
    moved = {"user": "5", "change": [f"factor:{first}:2", "hide:5"], "factor_product": first, "factor": 1}
    answer = client.get("/console/studio", params=moved)
    assert content(client, answer.headers["location"])["request"]["change"] == ["hide:5"]


def test_a_change_that_fails_can_be_taken_back(client: httpx.Client) -> None:
    page = content(client, "/console/studio", user="nobody-at-all", change=["hide:5"])
    assert page["problem"]
    assert [change["text"] for change in page["changes"]] == ["Hide Coffee “5”"]


def test_ten_persons_before_and_after(client: httpx.Client) -> None:
    page = content(client, "/console/studio", user="5", change=["pin:100:1"], people=True)
    assert len(page["people"]) == 10
    for each in page["people"]:
        served = ids(ask(client, each["user_id"], limit=12, min_price=0))
        assert ("Chair “100”" in each["added"]) == (100 not in served)
        assert len(each["added"]) == len(each["removed"])


def test_saved_changes_are_rules_and_one_button_undoes_them(client: httpx.Client) -> None:
    before = ids(ask(client, 5, limit=12))
    address = f"/console/studio/save?user=5&change=hide:{before[0]}&change=pin:100:1"
    answer = send_form(client, address, {"name": "Summer"}, page="/console/studio?change=pin:100:1")
    assert answer.status_code == 303, answer.text
    assert sorted(names_of_rules()) == [
        f"Summer: Hide Coffee “{before[0]}”",
        "Summer: Pin Chair “100” to position 1",
    ]
    until(lambda: ids(ask(client, 5, limit=12))[0] == 100)
    assert before[0] not in ids(ask(client, 5, limit=12))
    page = content(client, answer.headers["location"])
    assert len(page["made"]) == 2
    with unit_of_work() as session:
        assert {row.created_by for row in rules.listed(session, limit=9)} == {"console in development"}
    undone = send_form(
        client,
        "/console/rules/undo",
        {"made": ",".join(map(str, page["made"]))},
        page=answer.headers["location"],
    )
    assert undone.status_code == 303
    assert names_of_rules() == []
    until(lambda: ids(ask(client, 5, limit=12)) == before)


@pytest.mark.parametrize(
    "query",
    [
        {"change": ["hide:999999999"]},
        {"change": ["drop tables"]},
        {"change": ["factor:5:1"]},
        {"user": "no-such-person"},
        {"placement": "similar"},
        {"category": "no such category"},
    ],
)
def test_what_cannot_be_displayed_says_why(client: httpx.Client, query: dict[str, Any]) -> None:
    page = content(client, "/console/studio", **query)
    assert page["problem"] or query == {"change": ["hide:999999999"]}
    saved = send_form(
        client, f"/console/studio/save?{httpx.QueryParams(query)}", {"name": "x"}, page="/console/rules/new"
    )
    if "change" in query:
        assert saved.status_code == 422
    assert names_of_rules() == []


def test_all_changes_are_saved_or_none(client: httpx.Client) -> None:
    address = "/console/studio/save?change=hide:5&change=hide:999999999"
    answer = send_form(client, address, {"name": "Half"}, page="/console/rules/new")
    assert answer.status_code == 422
    assert "Unknown products" in answer.text
    assert names_of_rules() == []


def test_a_viewer_shares_a_draft_and_a_merchandiser_saves_it(staff: Shop, log_in: LogIn) -> None:
    address = "/console/studio?change=pin:100:1"
    assert "Saving needs the role merchandiser" in log_in("viewer").get(address).text
    merchandiser = log_in("merchandiser")
    answer = send_form(
        merchandiser, address.replace("studio?", "studio/save?"), {"name": "Mine"}, page=address
    )
    assert answer.status_code == 303
    with unit_of_work() as session:
        assert rules.listed(session, limit=1)[0].created_by.startswith("user ")


def test_the_people_of_a_segment_are_previewed(client: httpx.Client) -> None:
    segment = content(client, "/console/segments", kind="buyers", category="lamps")
    page = content(client, segment["studio"])
    people = [row["user_id"] for row in segment["rows"][:10]]
    assert [each["user_id"] for each in page["segment"]["people"]] == people
    assert products(page) == products(content(client, "/console/studio", user=str(people[0])))
    served = [products(content(client, "/console/studio", user=str(person))) for person in people]
    counted = {each["product_id"]: each["before"] for each in page["segment"]["products"]}
    assert counted == {number: sum(number in page for page in served) for number in counted}
    # another member, with a change: both stay in the address
    changed = content(client, segment["studio"], user=f"u{people[1]}", change=["pin:100:1"], people=True)
    assert products(changed)[0] == 100
    assert {each["user_id"] for each in changed["people"]} == set(people)
    pinned = next(each for each in changed["segment"]["products"] if each["product_id"] == 100)
    assert pinned["after"] == 10
    assert changed["request"]["segment"] == "kind=buyers&category=lamps"
    assert content(client, changed["without_segment"])["segment"] is None


def test_a_segment_that_cannot_be_made_is_a_problem(log_in: LogIn) -> None:
    client = log_in("merchandiser")
    for query, problem in (
        ("kind=buyers&category=toys", "“toys”"),
        ("kind=buyers&days=-1&category=lamps", "cannot be read"),
        ("category=lamps", "no kind"),
        ("kind=price-drop", "Nobody is in this segment"),
    ):
        assert problem in content(client, "/console/studio", segment=query)["problem"]
    viewer = content(log_in("viewer"), "/console/studio", segment="kind=buyers&category=lamps")
    assert viewer["problem"] == "Segments need the role merchandiser."
    assert viewer["segment"] is None
