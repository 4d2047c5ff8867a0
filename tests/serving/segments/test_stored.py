"""Stored segments: made, refreshed, deleted, by HTTP and by the command; and rules that are for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.base import Recommender
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.segments import service as segments
from recsys.errors import Conflict, Invalid, NotFound
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from serving.segments import stored
from serving.segments.members import SegmentKind
from serving.segments.service import SegmentRequest, make
from tests.serving.api.answers import ask, ids
from tests.serving.segments.people import INACTIVE, REFUSING
from tests.support.shop import Shop
from tests.support.waiting import until

PATH = "/api/v1/admin/stored-segments"


def members(name: str) -> list[int]:
    with unit_of_work() as session:
        found: list[int] = segments.members(session, name).tolist()
        return found


def give(name: str, *users: int) -> None:
    with unit_of_work() as session:
        stored.store_given(session, name, users, actor="test")


def write(**rule: Any) -> int:
    with unit_of_work() as session:
        return rules.create(session, RuleIn.model_validate(rule), actor="test").id


def test_a_segment_is_made_and_made_again(model: Recommender) -> None:
    request = SegmentRequest(SegmentKind.BUYERS, category_id=4, limit=7)
    with unit_of_work() as session:
        expected = sorted(member.user_id for member in make(session, request).members)
        assert stored.store_request(session, "lamps", request, actor="test") == 7
    assert members("lamps") == expected
    with unit_of_work() as session:
        segments.set_members(session, "lamps", [1])
    give("few", 3, REFUSING, INACTIVE, 4)
    assert members("few") == [3, 4]
    with unit_of_work() as session:
        consent.change(session, 3, None, Consent(False, True))
    assert members("few") == [4], "who refuses leaves at once"
    assert stored.refresh_all() == {"few": 1, "lamps": 7}
    assert members("lamps") == expected


def test_a_refresh_that_fails_is_noted_and_keeps_the_members(shop: Shop) -> None:
    with unit_of_work() as session:
        segments.write(session, "lamps", {"kind": "buyers"}, actor="test")
        segments.set_members(session, "lamps", [1, 2])
    found = stored.refresh_all()
    assert "cannot be read" in str(found["lamps"])
    with unit_of_work() as session:
        (row,) = segments.listed(session)
    assert row.problem == found["lamps"]
    assert row.members == 2


def test_wrong_requests_are_refused(shop: Shop) -> None:
    with unit_of_work() as session:
        with pytest.raises(Invalid, match="reserved"):
            segments.write(session, "guests", {}, actor="test")
        with pytest.raises(NotFound):
            segments.delete(session, "none")
        with pytest.raises(NotFound):
            segments.set_members(session, "none", [1])
    with pytest.raises(Invalid, match="no stored segment 'none'"):
        write(name="r", kind="boost", factor=2, segment="none")
    give("few", 1)
    write(name="r", kind="boost", factor=2, segment="few")
    with pytest.raises(Conflict, match="rule 'r' is for this segment"), unit_of_work() as session:
        segments.delete(session, "few")


def as_admin(client: httpx.Client, shop: Shop) -> None:
    client.headers["X-Api-Key"] = shop.run("keys", "create", "admin", "--scope", "admin").stdout.strip()


def test_over_http(client: httpx.Client, scored_shop: Shop) -> None:
    assert client.get(PATH).status_code == 401
    as_admin(client, scored_shop)
    body = {"kind": "buyers", "category_id": 4, "limit": 5}
    made = client.put(f"{PATH}/lamps", json=body).json()
    assert (made["name"], made["members"], made["problem"]) == ("lamps", 5, None)
    assert made["definition"]["category_id"] == 4
    given = client.put(f"{PATH}/few", json={"user_ids": ["username:u3", 4]}).json()
    assert given["members"] == 2
    rule = {"name": "r", "kind": "boost", "factor": 2, "segment": "few"}
    made_rule = client.post("/api/v1/recommendations/rules", json=rule).json()
    assert made_rule["segment"] == "few"
    assert [(each["name"], each["rules"]) for each in client.get(PATH).json()] == [
        ("few", ["r"]),
        ("lamps", []),
    ]
    assert client.post(f"{PATH}/lamps/refresh").json()["members"] == 5
    assert client.delete(f"{PATH}/few").status_code == 409
    assert client.delete(f"{PATH}/lamps").status_code == 204
    for method, path, wrong, status in (
        ("PUT", "lamps", {}, 422),
        ("PUT", "lamps", {"kind": "buyers"}, 422),
        ("PUT", "Lamps", body, 422),
        ("PUT", "guests", {"user_ids": [1]}, 422),
        ("PUT", "few", {"user_ids": ["username:nobody"]}, 404),
        ("POST", "none/refresh", None, 404),
        ("DELETE", "none", None, 404),
    ):
        answer = client.request(method, f"{PATH}/{path}", json=wrong)
        assert answer.status_code == status, (method, path, wrong, answer.text)
    changes = client.get(f"/api/v1/recommendations/rules/{made_rule['id']}/changes").json()["items"]
    assert changes[0]["after"]["segment"] == "few"


def test_the_command(shop: Shop, trained_shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "users.txt"
    file.write_text("username:u3\n\n4\n")
    for arguments, expected in (
        (("put", "lamps", "buyers", "--category", "4", "--limit", "6"), "lamps: 6 members"),
        (("put", "few", "given", "--users-file", str(file), "--user", "username:u7"), "few: 3 members"),
        (("list",), "few: given users; 3 members of 20"),
        (("list",), "lamps: Likely buyers of the category Lamps, at most 6; 6 members of 20"),
        (("refresh",), "lamps: 6 members"),
        (("delete", "lamps"), "Deleted the segment lamps"),
    ):
        done = shop.run("segments", "stored", *arguments)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    plain = json.loads(shop.run("segments", "stored", "list", "--json").stdout)
    assert [each["name"] for each in plain] == ["few"]
    for wrong in (
        ("put", "Few", "given", "--user", "1"),
        ("put", "few", "nonsense"),
        ("put", "few", "given"),
        ("put", "few", "buyers", "--users-file", str(file)),
        ("put", "few", "given", "--users-file", "/no/such/file"),
        ("put", "guests", "given", "--user", "1"),
    ):
        done = shop.run("segments", "stored", *wrong)
        assert done.returncode == 2, (wrong, done.stdout)
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("live", [False, True], ids=["stored", "live"])
def test_each_kind_of_rule_holds_for_members_only(client: httpx.Client, live: bool) -> None:
    member, other = 1, 2
    if live:
        for user in (member, other):
            event = {"user_id": user, "product_id": 5, "interaction_type": "view"}
            assert client.post("/api/v1/interactions", json=event).status_code < 300
    until(lambda: ask(client, member)["provenance"]["source"] == ("live" if live else "stored"))
    before = {user: ids(ask(client, user, limit=12)) for user in (member, other)}
    give("few", member)
    kinds: tuple[tuple[dict[str, Any], Callable[[list[int]], bool]], ...] = (
        ({"kind": "hide", "target": {"product_ids": before[member][:1]}},
         lambda now: before[member][0] not in now),
        ({"kind": "pin", "target": {"product_ids": [88]}, "position": 2}, lambda now: now[1] == 88),
        ({"kind": "boost", "target": {"category_id": 4}, "factor": 50}, lambda now: now[0] in range(61, 91)),
        ({"kind": "bury", "target": {"product_ids": before[member][:1]}, "factor": 0.0},
         lambda now: now[0] != before[member][0]),
        ({"kind": "cap", "cap_by": "category", "most": 4, "strict": False},
         lambda now: all(sum(each in kind for each in now) <= 4
                         for kind in (range(1, 61), range(61, 91), range(91, 121)))),
    )  # fmt: skip
    for rule, holds in kinds:
        number = write(name="for few", segment="few", **rule)
        until(lambda holds=holds: holds(ids(ask(client, member, limit=12))))
        assert ids(ask(client, other, limit=12)) == before[other], rule
        guest = ids(client.get("/api/v1/products/popular").json())
        with unit_of_work() as session:
            rules.delete(session, number, version=None, actor="test")
        until(lambda: ids(ask(client, member, limit=12)) == before[member])
        assert ids(client.get("/api/v1/products/popular").json()) == guest


def test_guests_and_known_users_are_segments(client: httpx.Client) -> None:
    popular = "/api/v1/products/popular"
    first = ids(client.get(popular).json())[0]
    mine = ids(ask(client, 1))[0]
    write(name="not for guests", kind="hide", target={"product_ids": [first]}, segment="guests")
    write(name="not for users", kind="hide", target={"product_ids": [mine]}, segment="known-users")
    until(lambda: first not in ids(client.get(popular).json()))
    until(lambda: mine not in ids(ask(client, 1)))
    assert mine in ids(client.get(popular, params={"limit": 100}).json()) or mine != first


def test_a_member_who_joins_and_leaves_is_noticed(client: httpx.Client) -> None:
    before = ids(ask(client, 1))
    give("few", 2)
    write(name="r", kind="hide", target={"product_ids": before[:1]}, segment="few")
    until(lambda: before[0] not in ids(ask(client, 2)))
    assert ids(ask(client, 1)) == before
    give("few", 1, 2)
    until(lambda: before[0] not in ids(ask(client, 1)))
    give("few", 2)
    until(lambda: ids(ask(client, 1)) == before)


def test_why_not_names_the_segment_and_its_age(client: httpx.Client, scored_shop: Shop) -> None:
    first = ids(ask(client, 1))[0]
    give("few", 1)
    write(name="Recall", kind="hide", target={"product_ids": [first]}, segment="few")
    until(lambda: first not in ids(ask(client, 1)))
    as_admin(client, scored_shop)
    path = "/api/v1/recommendations/why"
    trace = client.get(path, params={"user": 1, "product": first}).json()
    assert "The rule “Recall” hides it from few." in trace["summary"]
    (rule,) = trace["rules"]
    assert (rule["segment"], rule["decides"]) == ("few", True)
    assert rule["segment_refreshed_at"] is not None
    other = client.get(path, params={"user": 2, "product": first}).json()
    assert other["rules"] == []


def test_a_preview_is_of_members_alone(client: httpx.Client, scored_shop: Shop) -> None:
    give("few", 1)
    first = {user: ids(ask(client, user))[0] for user in (1, 2)}
    as_admin(client, scored_shop)
    for user, changes in ((1, True), (2, False)):
        draft = {"name": "d", "kind": "hide", "target": {"product_ids": [first[user]]}, "segment": "few"}
        answer = client.post("/api/v1/recommendations/rules/preview", json={"rule": draft, "user_id": user})
        assert bool(answer.json()["changes"]) == changes, answer.text
