"""The screen of segments: what it displays, exports and refuses."""

from __future__ import annotations

import csv

import httpx

from recsys.database.session import unit_of_work
from serving.segments.members import SegmentKind, as_csv, named
from serving.segments.service import SegmentRequest, make
from tests.serving.console.conftest import LogIn, content
from tests.support.web.pages import send_form

ADDRESS = "/console/segments"


def test_the_screen_displays_the_segment_and_exports_it(client: httpx.Client) -> None:
    assert content(client, ADDRESS)["form"]["kind"] is None
    shown = content(client, ADDRESS, kind="buyers", category="4", products="95 96")
    with unit_of_work() as session:
        wanted = SegmentRequest(SegmentKind.BUYERS, product_ids=(95, 96), category_id=4, limit=50)
        expected = make(session, wanted)
        members = named(session, expected.members)
    assert shown["model"] == expected.model == "knn-v1"
    assert [(row["user_id"], row["product_id"], row["chance"]) for row in shown["rows"]] == [
        (member.user_id, member.product_id, member.chance) for member in expected.members
    ]
    assert shown["rows"][0]["username"] == f"u{shown['rows'][0]['user_id']}"
    export = client.get(f"{ADDRESS}/export", params={"kind": "buyers", "category": "4", "products": "95,96"})
    assert export.headers["content-disposition"] == 'attachment; filename="buyers.csv"'
    assert export.content.decode() == as_csv(members)
    assert len(list(csv.DictReader(export.text.splitlines()))) == len(expected.members)
    for kind in SegmentKind:
        assert (
            content(client, ADDRESS, kind=kind.value, category="2", users="1", days="366")["problem"] is None
        )


def test_fields_take_numbers_own_ids_and_names(client: httpx.Client) -> None:
    by_number = content(client, ADDRESS, kind="buyers", category="4", products="95, 96")
    for category, products in (
        ("lamps", "sku95, sku96"),
        ("Lamps", "sku:sku95,sku:sku96,sku95"),
        ("4", "chair “95”, Chair “96”"),
        ("4", "95 96"),
    ):
        found = content(client, ADDRESS, kind="buyers", category=category, products=products)
        assert (found["rows"], found["understood"]) == (by_number["rows"], by_number["understood"])
    assert by_number["understood"] == [
        ["product", "Chair “95”"],
        ["product", "Chair “96”"],
        ["category", "Lamps"],
    ]
    row = by_number["rows"][0]
    assert row["product"] == f"{'Lamp' if row['product_id'] <= 90 else 'Chair'} “{row['product_id']}”"
    people = [
        content(client, ADDRESS, kind="look-alikes", users=words)["rows"]
        for words in ("1, 2", "u1, u2", "u1@example.org, username:u2", "User 1, 2")
    ]
    assert people[0]
    assert all(each == people[0] for each in people)


def test_what_is_missing_or_wrong_is_named_beside_its_field(client: httpx.Client) -> None:
    for query, field, problem in (
        ({"kind": "buyers"}, "products", "name a product"),
        ({"kind": "buyers", "products": "95, a table"}, "products", "name “a table”"),
        ({"kind": "buyers", "products": ",".join(["95"] * 201)}, "products", "200 at most"),
        ({"kind": "buyers", "category": "toys"}, "category", "“toys”"),
        ({"kind": "buyers", "brand": "nobody"}, "brand", "“nobody”"),
        ({"kind": "look-alikes"}, "users", "name one user"),
        ({"kind": "look-alikes", "users": "u1, stranger"}, "users", "“stranger”"),
        ({"kind": "replenishment", "as_of": "soon"}, "as_of", "cannot be read"),
        ({"kind": "replenishment", "as_of": "2999-01-01"}, "as_of", "future"),
    ):
        found = content(client, ADDRESS, **query)
        assert problem in found["problems"][field], query
        assert not found["rows"]
        page = client.get(ADDRESS, params=query).text
        assert f'id="field-{field}-error"' in page
        assert client.get(f"{ADDRESS}/export", params=query).status_code in (404, 422)
    assert "no category 77" in content(client, ADDRESS, kind="buyers", category="77")["problem"]
    assert client.get(ADDRESS, params={"kind": "everybody"}).status_code == 422


def test_a_stored_segment_is_described_by_names(client: httpx.Client) -> None:
    for name, query in (
        ("buyers", "kind=buyers&products=95,96&category=4&new=true"),
        ("alike", "kind=look-alikes&users=1,2"),
        ("many", f"kind=buyers&products={','.join(map(str, range(90, 97)))}"),
        ("due", "kind=replenishment&days=3"),
    ):
        answer = send_form(client, f"{ADDRESS}/stored", {"name": name, "query": query}, page=ADDRESS)
        assert answer.status_code == 303, answer.text
    assert {each["name"]: each["what"] for each in content(client, ADDRESS)["stored"]} == {
        "buyers": "Likely buyers of Chair “95”, Chair “96”, the category Lamps, who never looked at it, "
        "at most 10,000",
        "alike": "Look-alikes of u1, u2, at most 10,000",
        "many": "Likely buyers of Lamp “90”, Chair “91”, Chair “92”, Chair “93”, Chair “94”, "
        "2 more products, at most 10,000",
        "due": "Replenishment due, within 3 days, at most 10,000",
    }


def test_the_page_says_from_when_days_are_counted(client: httpx.Client) -> None:
    found = content(client, ADDRESS, kind="replenishment")
    assert found["from_old_data"]
    assert "Days are counted from there" in client.get(ADDRESS, params={"kind": "replenishment"}).text
    given = content(client, ADDRESS, kind="replenishment", as_of="2024-02-01T00:00")
    assert (given["as_of"], given["from_old_data"]) == ("2024-02-01T00:00:00Z", False)


def test_suggestions_are_own_ids_with_names(client: httpx.Client) -> None:
    def suggested(kind: str, words: str) -> list[tuple[str, str]]:
        answer = client.get("/console/suggestions", params={"kind": kind, "q": words})
        assert answer.status_code == 200, answer.text
        return [(each["value"], each["label"]) for each in answer.json()["suggestions"]]

    assert suggested("product", "chair 95") == [("sku95", "Chair “95”")]
    assert suggested("product", "sku7")[0] == ("sku7", "Coffee “7”")
    assert len(suggested("product", "lamp")) == 8
    assert suggested("person", "User 12") == [("u12", "User 12")]
    assert suggested("category", "o") == [
        ("coffee", "Coffee"), ("food", "Food"), ("home", "Home"),
    ]  # fmt: skip
    assert suggested("brand", "no such") == []
    for kind in ("product", "person", "category", "brand"):
        assert suggested(kind, " ") == []
        assert suggested(kind, "100%_\\") == []
    assert client.get("/console/suggestions", params={"kind": "order", "q": "1"}).status_code == 422


def test_viewers_do_not_see_it(log_in: LogIn) -> None:
    viewer = log_in("viewer")
    assert viewer.get(ADDRESS).status_code == 403
    assert viewer.get(f"{ADDRESS}/export", params={"kind": "next-category"}).status_code == 403
    assert log_in("merchandiser").get(ADDRESS).status_code == 200
