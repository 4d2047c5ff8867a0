"""Business rules over HTTP: what is refused and why, editors who meet, the trace, and what is in force."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recsys import clock
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.recommendations.rules.tables import BusinessRule, BusinessRuleChange
from recsys.errors import Conflict, Invalid, NotFound
from tests.journeys.conftest import Counter

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HIDE: dict[str, Any] = {"name": "No socks", "kind": "hide", "target": {"tag": "socks"}}


@pytest.fixture
def noon() -> Iterator[None]:
    with clock.frozen_at(NOW):
        yield


def rule(**given: object) -> RuleIn:
    return RuleIn.model_validate(HIDE | given)


def history(session: Session) -> list[tuple[Any, ...]]:
    rows = session.scalars(select(BusinessRuleChange).order_by(BusinessRuleChange.id))
    return [
        (row.action, row.before and row.before["name"], row.after and row.after["name"], row.actor)
        for row in rows
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "shout"}, "'pin', 'boost'"),
    ({"kind": "pin", "position": 1}, "target of product_ids"),
    ({"kind": "pin", "position": 1, "target": {"product_ids": [1], "brand_id": 2}}, "of nothing else"),
    ({"kind": "pin", "target": {"product_ids": [1]}}, "position with `pin`"),
    ({"kind": "pin", "position": 0, "target": {"product_ids": [1]}}, "greater than or equal to 1"),
    ({"kind": "pin", "position": 1, "target": {"product_ids": [1, 1]}}, "each one once"),
    ({"kind": "boost", "factor": 0.5}, "above 1"),
    ({"kind": "boost", "factor": "2"}, "valid number"),
    ({"kind": "bury", "factor": 1.5}, "below 1"),
    ({"kind": "boost", "factor": 2, "most": 1}, "no most with `boost`, which takes factor"),
    ({"kind": "hide", "target": {}}, "would empty every list"),
    ({"kind": "hide", "factor": 2}, "takes no parameters"),
    ({"kind": "cap", "most": 2}, "cap_by with `cap`"),
    ({"kind": "cap", "most": 0, "cap_by": "brand"}, "greater than or equal to 1"),
    ({"kind": "cap", "most": 2, "cap_by": "together", "target": {}}, "cap every list as a whole"),
    ({"kind": "minimum_new", "share": 0, "new_to": "user"}, "greater than 0"),
    ({"kind": "minimum_new", "share": 0.5, "new_to": "shop"}, "created_within_days"),
    ({"target": {"min_price": "5", "max_price": "4"}}, "not above max_price"),
    ({"target": {"colour": "red"}}, "Extra inputs"),
    ({"shelves": []}, "at least 1"),
    ({"shelves": ["for_me"]}, "shelves among for_you"),
    ({"placements": ["Front Page"]}, "pattern"),
    ({"starts_at": "2026-12-01T00:00:00"}, "timezone"),
    ({"starts_at": "2026-12-02T00:00:00Z", "ends_at": "2026-12-02T01:00:00+01:00"}, "after starts_at"),
    ({"priority": 5000}, "less than or equal to 1000"),
    ({"name": "  "}, "at least 1"),
    ({"name": "a\x00"}, "NUL"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=str)
def test_what_makes_no_sense_is_refused_with_the_reason(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule(**given)


def test_a_cap_is_strict_by_default() -> None:
    cap = {"kind": "cap", "target": {}, "most": 2, "cap_by": "brand"}
    assert rule(**cap).strict is True
    assert rule(**cap, strict=False).strict is False


@pytest.mark.usefixtures("noon")
def test_every_change_leaves_a_trace_in_the_same_transaction(session: Session) -> None:
    made = rules.create(session, rule(), actor="user 1")
    rules.replace(session, made.id, rule(name="No shoes"), version=1, actor="user 2")
    with pytest.raises(Conflict, match="has version 2 now, not 1"):
        rules.replace(session, made.id, rule(name="Lost"), version=1, actor="user 1")
    with pytest.raises(Conflict, match="version 2"):
        rules.delete(session, made.id, version=1, actor="user 1")
    rules.delete(session, made.id, version=2, actor="key abc")
    assert history(session) == [
        ("created", None, "No socks", "user 1"),
        ("replaced", "No socks", "No shoes", "user 2"),
        ("deleted", "No shoes", None, "key abc"),
    ]
    with pytest.raises(NotFound):
        rules.get(session, made.id)
    newest, *_ = rules.changes_of(session, made.id, limit=10)
    assert (newest.action, newest.changed_at) == ("deleted", NOW)
    with pytest.raises(NotFound):
        rules.changes_of(session, made.id + 1000, limit=10)
    with pytest.raises(NotFound):
        rules.delete(session, made.id, version=None, actor="user 1")


@pytest.mark.usefixtures("noon")
def test_targets_must_exist_but_may_go_later(session: Session) -> None:
    for target, message in (
        ({"category_id": 999}, "no category 999"),
        ({"brand_id": 999}, "no brand 999"),
        ({"product_ids": [5, 999]}, "Unknown products in the target: 5, 999"),
    ):
        with pytest.raises(Invalid, match=message):
            rules.create(session, rule(target=target), actor="user 1")
    made = rules.create(session, rule(), actor="user 1")
    made.tag, made.category_id = None, 999
    session.flush()
    off = rule(target={"category_id": 999}, enabled=False)
    assert not rules.replace(session, made.id, off, version=None, actor="user 1").enabled


@pytest.mark.usefixtures("noon")
def test_names_are_taken_once_and_enabled_rules_are_limited(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_ENABLED", 2)
    for number in range(2):
        rules.create(session, rule(name=f"r{number}"), actor="user 1")
    with pytest.raises(Conflict, match="this name"):
        rules.create(session, rule(name="r0", enabled=False), actor="user 1")
    with pytest.raises(Conflict, match="2 enabled rules already"):
        rules.create(session, rule(), actor="user 1")
    off = rules.create(session, rule(enabled=False), actor="user 1")
    with pytest.raises(Conflict, match="enabled rules"):
        rules.replace(session, off.id, rule(), version=1, actor="user 1")


@pytest.mark.usefixtures("noon")
def test_a_period_begins_at_its_start_and_is_over_at_its_end(session: Session) -> None:
    hour = timedelta(hours=1)
    for name, starts, ends in (
        ("always", None, None),
        ("begins", NOW, None),
        ("ends", None, NOW),
        ("later", NOW + hour, None),
        ("within", NOW - hour, NOW + hour),
    ):
        rules.create(session, rule(name=name, starts_at=starts, ends_at=ends), actor="user 1")
    rules.create(session, rule(name="off", enabled=False), actor="user 1")
    rules.create(session, rule(name="first", priority=5), actor="user 1")
    force = [one.name for one in rules.in_force(session, NOW)]
    assert force == ["first", "always", "begins", "within"]
    listed = rules.listed(session, limit=10, at=NOW)
    assert [one.name for one in listed] == ["first", "within", "begins", "always"]
    ahead = [one.name for one in rules.not_over(session, NOW)]
    assert ahead == ["first", "always", "begins", "later", "within"]


@pytest.mark.usefixtures("noon")
def test_any_change_by_any_program_changes_the_fingerprint(session: Session) -> None:
    seen = [rules.fingerprint(session)]
    made = rules.create(session, rule(), actor="user 1")
    seen.append(rules.fingerprint(session))
    assert rules.fingerprint(session) == seen[-1]
    session.connection().exec_driver_sql("UPDATE recommendations_db.business_rules SET priority = 1")
    seen.append(rules.fingerprint(session))
    session.delete(made)
    session.flush()
    assert rules.fingerprint(session) == seen[0]
    assert len(set(seen)) == 3


@pytest.mark.usefixtures("noon")
@pytest.mark.parametrize(
    "change",
    [
        {"kind": "shout"},
        {"kind": "boost", "factor": 1.0},
        {"kind": "cap", "most": 1, "cap_by": "colour", "strict": True},
        {"kind": "pin", "position": 1},
        {"kind": "minimum_new", "share": 0.5, "new_to": "shop"},
        {"starts_at": NOW, "ends_at": NOW},
    ],
    ids=str,
)
def test_the_table_refuses_it_too(session: Session, change: dict[str, Any]) -> None:
    row = {"name": "x", "kind": "hide", "created_by": "x", "created_at": NOW, "updated_at": NOW} | change
    session.add(BusinessRule(**row))
    with pytest.raises(IntegrityError, match="business_rules_"):
        session.flush()


@pytest.mark.usefixtures("noon")
def test_a_stored_rule_means_what_the_draft_meant(session: Session) -> None:
    drafts = [
        rule(name="a", target={"tag": "x", "min_price": "1.50", "max_price": 2}, shelves=["popular"]),
        rule(name="b", kind="boost", factor=1.5, placements=["front"], ends_at=NOW + timedelta(days=1)),
        rule(name="c", kind="cap", target={}, most=2, cap_by="brand"),
        rule(
            name="d", kind="minimum_new", share=0.2, new_to="shop", target={"created_within_days": 7}
        ),
    ]  # fmt: skip
    for draft in drafts:
        row = rules.create(session, draft, actor="user 1")
        session.flush()
        session.refresh(row)
        assert rules.rule_of(row) == draft.as_rule(row.id, 1)
        out = rules.shown(row)
        assert RuleIn.model_validate(out.model_dump(include=set(RuleIn.model_fields))) == draft


def test_the_whole_life_of_a_rule_over_http(counter: Counter) -> None:
    ada = counter.desk.person("ada")
    path = "/recommendations/rules"
    counter.send("GET", path, status=401)
    counter.send("POST", path, who=ada, json=HIDE, status=403)
    answer = counter.send(
        "POST", path, who=counter.admin, json=HIDE | {"kind": "boost", "factor": 0.5}, status=422
    )
    assert "factor above 1" in answer["errors"][0]["expected"]
    made = counter.send("POST", path, who=counter.admin, json=HIDE, status=201)
    one = f"{path}/{made['id']}"
    assert made["created_by"] == f"user {counter.admin.id}"
    answer = counter.desk.client.get(f"/api/v1{one}", headers=counter.admin.headers)
    assert (answer.headers["etag"], answer.json()) == ('"1"', made)
    body = HIDE | {"priority": 7}
    counter.send("PUT", one, who=counter.admin, json=body, status=422)  # whose change would it undo?
    counter.send("PUT", one, who=counter.admin, json=body, If_Match="first", status=422)
    changed = counter.send("PUT", one, who=counter.admin, json=body, If_Match='"1"')
    assert (changed["version"], changed["priority"]) == (2, 7)
    answer = counter.send("PUT", one, who=counter.admin, json=HIDE, If_Match='"1"', status=409)
    assert answer["version"] == 2
    counter.send("DELETE", one, who=counter.admin, If_Match='"1"', status=409)
    second = counter.send("POST", path, who=counter.admin, json=HIDE | {"name": "Two"}, status=201)
    page = counter.send("GET", f"{path}?limit=1", who=counter.admin)
    assert [each["id"] for each in page["items"]] == [second["id"]]
    rest = counter.send("GET", f"{path}?limit=1&cursor={page['next_cursor']}", who=counter.admin)
    assert (rest["items"], rest["next_cursor"]) == ([changed], None)
    assert counter.send("GET", f"{path}?kind=pin", who=counter.admin)["items"] == []
    assert len(counter.send("GET", f"{path}?in_force=true", who=counter.admin)["items"]) == 2
    counter.send("DELETE", one, who=counter.admin, status=204)
    counter.send("GET", one, who=counter.admin, status=404)
    changes = counter.send("GET", f"{one}/changes?limit=2", who=counter.admin)
    assert [each["action"] for each in changes["items"]] == ["deleted", "replaced"]
    assert changes["items"][1]["before"]["priority"] == 0
    assert changes["items"][1]["after"]["priority"] == 7
    older = counter.send("GET", f"{one}/changes?cursor={changes['next_cursor']}", who=counter.admin)
    assert [each["action"] for each in older["items"]] == ["created"]


def test_of_two_editors_at_once_one_hears_of_the_other(counter: Counter) -> None:
    path = "/recommendations/rules"
    made = counter.send("POST", path, who=counter.admin, json=HIDE, status=201)
    # another editor's transaction is open while ours arrives
    with counter.shop.connect() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [rules._WRITE_LOCK])
        other.execute("UPDATE recommendations_db.business_rules SET version = 2, priority = 9")
        answers: list[Any] = []
        ours = threading.Thread(
            target=lambda: answers.append(
                counter.send(
                    "PUT", f"{path}/{made['id']}", who=counter.admin, json=HIDE, If_Match='"1"', status=409
                )
            )
        )
        ours.start()
        other.commit()
        ours.join()
    assert answers[0]["version"] == 2
    assert counter.one("SELECT priority FROM recommendations_db.business_rules") == 9
