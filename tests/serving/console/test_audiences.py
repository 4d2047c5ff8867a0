"""Rules for a segment in the console: stored, previewed as a member, saved, named and undone."""

from __future__ import annotations

from typing import Any

import httpx

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.segments import service as segments
from serving.segments.stored import store_given
from tests.serving.api.answers import ask, ids
from tests.serving.console.conftest import LogIn, content
from tests.support.waiting import until
from tests.support.web.pages import send_form


def products(page: dict[str, Any]) -> list[int]:
    return [card["product"]["product_id"] for card in page["cards"]]


def give(name: str, *users: int) -> None:
    with unit_of_work() as session:
        store_given(session, name, users, actor="test")


def rule_segments() -> list[str | None]:
    with unit_of_work() as session:
        return [row.segment for row in rules.listed(session, limit=10)]


def test_a_segment_is_stored_refreshed_and_deleted(client: httpx.Client) -> None:
    query = content(client, "/console/segments", kind="buyers", category="4")["query"]
    answer = send_form(client, "/console/segments/stored", {"name": "lamps", "query": query})
    assert answer.status_code == 303, answer.text
    (row,) = content(client, "/console/segments")["stored"]
    assert row["name"] == "lamps"
    assert row["members"] > 0
    assert "the category Lamps" in row["what"]
    for wrong in (
        {"name": "Lamps", "query": query},
        {"name": "x", "query": ""},
        {"name": "guests", "query": query},
    ):
        refused = send_form(client, "/console/segments/stored", wrong)
        assert refused.status_code == 422, wrong
        assert "pattern" not in refused.text
    assert send_form(client, "/console/segments/stored/lamps/refresh", {}).status_code == 303
    assert send_form(client, "/console/segments/stored/none/refresh", {}).status_code == 404
    rule = {"name": "r", "kind": "boost", "factor": "2", "segment": "lamps", "enabled": "yes"}
    assert send_form(client, "/console/rules", rule).status_code == 303
    assert rule_segments() == ["lamps"]
    page = content(client, "/console/rules")
    assert page["rows"][0]["segment"] == "lamps"
    assert "for lamps only" in client.get("/console/rules").text
    number = page["rows"][0]["id"]
    assert content(client, f"/console/rules/{number}")["fields"]["segment"] == "lamps"
    assert send_form(client, "/console/segments/stored/lamps/delete", {}).status_code == 409
    changed = {**rule, "segment": "", "version": "1"}
    assert send_form(client, f"/console/rules/{number}", changed).status_code == 303
    fields = content(client, f"/console/rules/{number}")["changes"][0]["fields"]
    assert any(
        line.startswith("for: ") and line.endswith("→ everybody") and "lamps" in line for line in fields
    )
    assert send_form(client, "/console/segments/stored/lamps/delete", {}).status_code == 303
    with unit_of_work() as session:
        assert segments.listed(session) == []


def test_the_studio_previews_for_members_and_saves_rules_for_them(client: httpx.Client) -> None:
    give("few", 5, 6)
    first = products(content(client, "/console/studio", user="5"))[0]
    query = {"audience": "few", "change": [f"hide:{first}"]}
    member = content(client, "/console/studio", **query)
    assert member["members"] == ["u5", "u6"]
    assert member["concerned"]
    assert first not in products(member)
    other = content(client, "/console/studio", user="7", **query)
    assert not other["concerned"]
    assert products(other) == products(content(client, "/console/studio", user="7"))
    people = content(client, "/console/studio", people=True, **query)["people"]
    assert [each["user_id"] for each in people] == [5, 6]
    saved = send_form(client, f"{member['address']}".replace("/studio", "/studio/save", 1), {"name": "Few"})
    assert saved.status_code == 303
    assert rule_segments() == ["few"]
    before = ids(ask(client, 7))
    until(lambda: first not in ids(ask(client, 5)))
    assert ids(ask(client, 7)) == before
    made = saved.headers["location"].partition("made=")[2]
    assert send_form(client, "/console/rules/undo", {"made": made}).status_code == 303
    until(lambda: first in ids(ask(client, 5)))


def test_drafts_for_guests_leave_people_alone(client: httpx.Client) -> None:
    query = {"audience": "guests", "change": ["pin:100:1"], "placement": "popular"}
    assert products(content(client, "/console/studio", **query))[0] == 100
    assert products(content(client, "/console/studio", user="5", **query))[0] != 100
    assert "no stored segment" in content(client, "/console/studio", audience="none")["problem"]


def test_members_are_for_merchandisers(log_in: LogIn) -> None:
    give("few", 5)
    page = content(log_in("viewer"), "/console/studio", audience="few")
    assert page["members"] == []
    assert "merchandiser" in page["problem"]
    assert content(log_in("merchandiser"), "/console/studio", audience="few")["members"]
