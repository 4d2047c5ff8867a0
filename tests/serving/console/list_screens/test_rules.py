"""The screen of rules: made by a form, edited, disabled, deleted; calendar, conflicts and changes."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from tests.serving.console.conftest import content
from tests.support.shop import Shop
from tests.support.waiting import until
from tests.support.web.pages import send_form

ALWAYS = {"enabled": "yes", "priority": "0"}
NEW = "/console/rules/new"


def make(**rule: Any) -> int:
    with unit_of_work() as session:
        return rules.create(session, RuleIn.model_validate(rule), actor="test").id


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"kind": "pin", "products": "sku:sku7, Coffee “8”", "position": "2", "shelves": "for_you"},
            {"target": "Coffee “7”, Coffee “8”", "effect": "at position 2", "where": "for you"},
        ),
        (
            {"kind": "boost", "category": "Coffee", "factor": "1.5"},
            {"target": "category Coffee", "effect": "score × 1.5", "where": "everywhere"},
        ),
        (
            {"kind": "bury", "category": "lamps", "factor": "0", "starts": "2999-01-01T00:00"},
            {"target": "category Lamps", "state": "planned", "period": "from 1 Jan 2999, 00:00 UTC"},
        ),
        ({"kind": "hide", "products": "12"}, {"effect": "never listed", "state": "in force"}),
        (
            {"kind": "cap", "most": "2", "cap_by": "brand", "strict": "no"},
            {
                "effect": "at most 2 of each brand on a page, while other products are available",
                "target": "every product",
            },
        ),
        (
            {"kind": "minimum_new", "share": "20", "new_to": "user"},
            {"effect": "at least 20% new to the user"},
        ),
    ],
)
def test_each_kind_is_made_by_the_form_and_comes_back_into_it(
    client: httpx.Client, fields: dict[str, str], expected: dict[str, str]
) -> None:
    answer = send_form(client, "/console/rules", {"name": "mine", **ALWAYS, **fields}, page=NEW)
    assert answer.status_code == 303, answer.text
    (row,) = content(client, "/console/rules")["rows"]
    assert {name: row[name] for name in expected} == expected
    page = content(client, f"/console/rules/{row['id']}")
    again = {**page["fields"], "enabled": "yes", "version": row["version"]}
    if "shelves" in fields:
        again["shelves"] = fields["shelves"]
    saved = send_form(client, f"/console/rules/{row['id']}", again, page=f"/console/rules/{row['id']}")
    assert saved.status_code == 303, saved.text
    same = content(client, f"/console/rules/{row['id']}")
    assert same["fields"] == page["fields"]
    assert same["row"]["version"] == row["version"] + 1
    assert [change["action"] for change in same["changes"]] == ["replaced", "created"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "pin", "products": "7"}, "position"),
        ({"kind": "boost", "factor": "much"}, "a number is expected"),
        ({"kind": "pin", "products": "nothing like this", "position": "1"}, "No product has"),
        ({"kind": "hide"}, "would empty every list"),
        ({"kind": "boost", "category": "none", "factor": "2"}, "No category has"),
        (
            {"kind": "hide", "products": "7", "starts": "2026-02-01T00:00", "ends": "2026-01-01T00:00"},
            "ends_at",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_a_reason(
    client: httpx.Client, fields: dict[str, str], message: str
) -> None:
    answer = send_form(client, "/console/rules", {"name": "wrong", **ALWAYS, **fields}, page=NEW)
    assert answer.status_code in (404, 422)
    assert message in answer.text
    assert content(client, "/console/rules")["rows"] == []


def test_a_rule_is_disabled_enabled_deleted_and_its_changes_stay(client: httpx.Client) -> None:
    number = make(name="recall", kind="hide", target={"product_ids": [5]})
    address = f"/console/rules/{number}"
    assert send_form(client, f"{address}/enabled", {"version": 1}, page=address).status_code == 303
    assert content(client, address)["row"]["state"] == "disabled"
    # somebody else changed it meanwhile
    assert send_form(client, f"{address}/enabled", {"version": 1}, page=address).status_code == 409
    assert send_form(client, f"{address}/enabled", {"version": 2}, page=address).status_code == 303
    assert send_form(client, f"{address}/delete", {"version": 3}, page=address).status_code == 303
    gone = client.get(address, follow_redirects=False)
    assert (gone.status_code, gone.headers["location"]) == (303, "/console/rules?view=changes")
    page = client.get(address, follow_redirects=True)
    assert re.search(r"“recall” was deleted on \d+ \w+ \d{4} by ", page.text)
    assert client.get("/console/rules/999999").status_code == 404
    changes = content(client, "/console/rules", view="changes")["changes"]
    assert [change["action"] for change in changes] == ["deleted", "replaced", "replaced", "created"]
    assert changes[2]["fields"] == ["state: enabled → disabled"]


def test_a_change_is_described_in_words(client: httpx.Client) -> None:
    number = make(name="up", kind="boost", target={"category_id": 2}, factor=1.5)
    address = f"/console/rules/{number}"
    fields = content(client, address)["fields"]
    assert (fields["category"], fields["products"]) == ("coffee", "")
    other = fields | {
        "name": "lamps up", "category": "", "products": "sku95, 96", "min_price": "5", "factor": "2",
        "ends": "2999-01-01T00:00", "segment": "guests", "shelves": "for_you", "version": "1",
        "enabled": "yes",
    }  # fmt: skip
    assert send_form(client, address, other, page=address).status_code == 303
    shown = content(client, address)
    assert shown["fields"]["products"] == "sku95, sku96"
    assert shown["changes"][0]["fields"] == [
        "name: “up” → “lamps up”",
        "what it does: boost, score × 1.5 → boost, score × 2",
        "products: category Coffee → Chair “95”, Chair “96”; from $5.00",
        "where: everywhere → for you",
        "when: always → until 1 Jan 2999, 00:00 UTC",
        "for: everybody → guests",
    ]
    changes = client.get("/console/rules", params={"view": "changes"}).text
    assert "where: everywhere → for you" in changes


def test_the_calendar_has_what_is_in_force_or_planned(client: httpx.Client) -> None:
    now = clock.now()
    hide = {"kind": "hide", "target": {"product_ids": [5]}}
    make(name="always", **hide)
    make(name="soon", **hide, starts_at=now + timedelta(days=14), ends_at=now + timedelta(days=28))
    make(name="past", **hide, starts_at=now - timedelta(days=9), ends_at=now - timedelta(days=2))
    make(name="far", **hide, starts_at=now + timedelta(days=99))
    make(name="off", **hide, enabled=False)
    rows = {
        row["name"]: row["span"] for row in content(client, "/console/rules", view="calendar")["calendar"]
    }
    assert rows.keys() == {"always", "soon"}
    assert rows["always"] == {"start": 0.0, "end": 1.0, "open_end": True}
    assert rows["soon"]["start"] == pytest.approx(0.25, abs=0.01)
    assert rows["soon"]["end"] == pytest.approx(0.5, abs=0.01)


def test_conflicts_name_both_rules_and_who_wins(client: httpx.Client) -> None:
    make(name="hide five", kind="hide", target={"product_ids": [5]})
    make(name="pin five", kind="pin", target={"product_ids": [5, 6]}, position=1)
    make(name="pin lamp", kind="pin", target={"product_ids": [70]}, position=2, shelves=["for_you"])
    make(name="coffee up", kind="boost", target={"category_id": 2}, factor=2)
    make(name="cheap down", kind="bury", target={"max_price": 10}, factor=0.5)
    make(name="popular only", kind="hide", target={"product_ids": [70]}, shelves=["popular"])
    later = {"starts_at": clock.now() + timedelta(days=1)}
    make(name="ends today", kind="pin", target={"product_ids": [80]}, position=9, ends_at=later["starts_at"])
    make(name="begins later", kind="pin", target={"product_ids": [81]}, position=9, **later)
    conflicts = content(client, "/console/rules", view="conflicts")["conflicts"]
    pairs = {frozenset((each["first_name"], each["second_name"])): each for each in conflicts}
    assert pairs.keys() == {
        frozenset(pair)
        for pair in (
            ("hide five", "pin five"),
            ("pin five", "pin lamp"),
            ("hide five", "coffee up"),
            ("hide five", "cheap down"),
            ("coffee up", "cheap down"),
        )
    }
    assert pairs[frozenset(("coffee up", "cheap down"))]["products"] == 9
    assert "multiplied by 1" in pairs[frozenset(("coffee up", "cheap down"))]["text"]
    assert "“pin five” has it" in pairs[frozenset(("pin five", "pin lamp"))]["text"]


def test_a_factor_of_zero_is_multiplied_like_any_other(client: httpx.Client) -> None:
    make(name="up", kind="boost", target={"category_id": 2}, factor=2)
    make(name="out", kind="bury", target={"product_ids": [5]}, factor=0)
    (conflict,) = content(client, "/console/rules", view="conflicts")["conflicts"]
    assert "multiplied by 0." in conflict["text"]
    assert content(client, "/console/rules")["conflicts"] == []


def test_a_rule_keeps_the_number_of_a_product_that_was_deleted(
    client: httpx.Client, scored_shop: Shop
) -> None:
    number = make(name="recall", kind="hide", target={"product_ids": [12, 5]})
    with scored_shop.connect() as connection:
        connection.execute("DELETE FROM products_db.products WHERE id = 12")
    until(lambda: client.get("/console/products/12").status_code == 404)
    address = f"/console/rules/{number}"
    fields = {"name": "renamed", "kind": "hide", "products": "12, 5", "version": "1", **ALWAYS}
    assert send_form(client, address, fields, page=address).status_code == 303
    with unit_of_work() as session:
        rule = rules.shown(rules.get(session, number))
        assert (rule.name, rule.target.product_ids) == ("renamed", [12, 5])


@pytest.mark.parametrize("made", ["", "1,", "x", "9" * 5000, "-1", "1;2"])
def test_an_undo_of_nothing_is_refused(client: httpx.Client, made: str) -> None:
    assert send_form(client, "/console/rules/undo", {"made": made}, page="/console/rules").status_code == 422
