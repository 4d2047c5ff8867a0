"""Sets of rules as arms: their visitors' lists follow the set, stored and live, and nobody else's do."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    Variant,
    arms_of,
    interleaved_arms,
)
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from recsys.domains.users.api_keys import service as api_keys
from serving.server.app import create_app
from tests.serving.api.answers import ask, ids
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

USERS = range(1, 29)


def create_rule(**given: Any) -> int:
    with unit_of_work() as session:
        return rules.create(session, RuleIn.model_validate(given), actor="ann").id


def start(design: ExperimentDesign, name: str = "trial") -> None:
    with unit_of_work() as session:
        ab_tests.start(session, name, design, salt="salt", actor="ann", reason="try")


def users_of(design: ExperimentDesign) -> dict[str, list[int]]:
    test, users = Running(0, "trial", "knn-v1", "salt", design), {arm.name: [] for arm in design.arms}
    for user in USERS:
        users[arm_of(test, f"user:{user}").name].append(user)
    return users


def admin_key() -> str:
    with unit_of_work() as session:
        return api_keys.create(session, "tests", ["admin", "recommend"], by="test").key


def popular(client: httpx.Client, user: int) -> list[int]:
    body = {"user_id": user, "shelves": [{"shelf": "popular", "limit": 50}]}
    (shelf,) = client.post("/api/v1/recommendations", json=body).json()["shelves"]
    return [item["product_id"] for item in shelf["items"]]


def test_rules_of_a_set_hold_in_the_arms_that_name_it_and_nowhere_else(scored_shop: Shop) -> None:
    design = ExperimentDesign.of(arms=arms_of(["winter:0.3:rule_set=winter", "spring:0.3:rule_set=spring"]))
    users = users_of(design)
    assert all(users.values())
    with running(create_app()) as client:
        plain = {user: ids(ask(client, user)) for user in USERS}
        live = {user: ids(ask(client, user, category=1)) for user in USERS}
        # of every user's lists, stored and live
        cold = sorted({products[0] for products in plain.values()})
        warm = sorted({products[1] for products in plain.values()} - set(cold))
        create_rule(name="no cold", kind="hide", target={"product_ids": cold}, rule_set="winter")
        create_rule(name="no warm", kind="hide", target={"product_ids": warm}, rule_set="spring")
        everybody = create_rule(
            name="none of this", kind="hide", target={"product_ids": [popular(client, 1)[0]]}
        )
        hidden = set(rules_target(everybody))
        until(lambda: not hidden & set(popular(client, 1)))
        for user in USERS:
            assert set(plain[user]) - hidden <= set(ids(ask(client, user))), "no experiment, no set"
        start(design)
        until(lambda: ask(client, 1)["provenance"]["arm"] is not None)
        for arm, banned in (("control", set()), ("winter", set(cold)), ("spring", set(warm))):
            for user in users[arm]:
                for listed in (
                    ask(client, user),
                    ask(client, user, category=1),
                    ask(client, user, diversity=0.5),
                ):
                    assert listed["provenance"]["arm"] == f"trial:{arm}"
                    assert not set(ids(listed)) & (banned | hidden)
                assert not set(popular(client, user)) & (banned | hidden)
                if arm == "control":
                    assert set(plain[user]) - hidden <= set(ids(ask(client, user)))
                    assert set(live[user]) - hidden <= set(ids(ask(client, user, category=1)))
        with unit_of_work() as session:
            ab_tests.stop(session, "trial", actor="ann", conclusion="seen")
        until(lambda: ask(client, 1)["provenance"]["arm"] is None)
        assert set(plain[users["winter"][0]]) - hidden <= set(ids(ask(client, users["winter"][0])))
        # the set becomes everybody's
        released = scored_shop.run("serve", "rules", "release", "winter", "--json")
        assert released.returncode == 0, released.stderr
        for user in USERS:
            until(lambda user=user: not set(ids(ask(client, user))) & set(cold))  # type: ignore[misc]


def rules_target(number: int) -> list[int]:
    with unit_of_work() as session:
        return list(rules.get(session, number).product_ids or ())


def test_the_trace_of_a_visitor_names_the_rule_of_the_arm_s_set(scored_shop: Shop) -> None:
    design = ExperimentDesign.of(arms=arms_of(["winter:0.5:rule_set=winter"]))
    users = users_of(design)
    with running(create_app()) as client:
        user, other = users["winter"][0], users["control"][0]
        product = ids(ask(client, user))[0]
        create_rule(name="no cold", kind="hide", target={"product_ids": [product]}, rule_set="winter")
        start(design)
        until(lambda: product not in ids(ask(client, user)))
        client.headers["X-API-Key"] = admin_key()

        def traced(visitor: int) -> str:
            asked = {"user": visitor, "product": product}
            answer = client.get("/api/v1/recommendations/why", params=asked)
            assert answer.status_code == 200, answer.text
            return answer.text

        assert "no cold" in traced(user)
        assert "no cold" not in traced(other)


def test_interleaved_lists_of_a_set_and_under_its_cap(scored_shop: Shop) -> None:
    arms = interleaved_arms(Variant(rule_set="winter"))
    design = ExperimentDesign.of(kind="interleaved", arms=arms, metric="clicked", placements=["for_you"])
    with running(create_app()) as client:
        plain = ids(ask(client, 1))
        last = plain[-1]
        up = create_rule(name="up", kind="pin", position=1, target={"product_ids": [last]}, rule_set="winter")
        start(design)
        until(lambda: ask(client, 1)["provenance"]["arm"] == "trial:interleaved")
        ranks = [ids(ask(client, user)).index(last) for user in USERS if last in ids(ask(client, user))]
        assert min(ranks) == 0, "the challenger's first product is first in about half of the lists"
        with unit_of_work() as session:
            ab_tests.stop(session, "trial", actor="ann", conclusion="seen")
            rules.delete(session, up, version=None, actor="ann")
        create_rule(name="two", kind="cap", cap_by="brand", most=2, rule_set="winter")
        started = scored_shop.run(
            "serve", "ab-test", "start", "capped", "--arm", "winter:0.5:rule_set=winter", "--interleave",
            "--metric", "clicked", "--reason", "try",
        )  # fmt: skip
        assert started.returncode == 0, started.stderr
        assert "Lists under caps" in started.stderr
        until(lambda: "capped" in client.get("/health/ready").text)
        assert {ask(client, user)["provenance"]["arm"] for user in USERS} == {None}


def test_rules_are_put_into_sets_and_listed_by_command(scored_shop: Shop) -> None:
    number = create_rule(name="no cold", kind="hide", target={"product_ids": [1]})

    def run(*words: str, code: int = 0) -> str:
        answer = scored_shop.run("serve", "rules", *words)
        assert answer.returncode == code, answer.stderr
        return answer.stdout if code == 0 else answer.stderr

    assert "No rule is of a set" in run("sets")
    assert "only in arms with the set winter" in run("move", str(number), "--set", "winter")
    assert "winter: 1 rules, 1 enabled" in run("sets")
    assert json.loads(run("list", "--set", "winter", "--json"))[0]["rule_set"] == "winter"
    assert "No business rule is of the set spring." in run("list", "--set", "spring")
    for words in (("move", str(number)), ("move", str(number), "--set", "x", "--everybody"),
                  ("move", str(number), "--set", "No Good"), ("release", "spring"),
                  ("move", "999999", "--set", "winter")):  # fmt: skip
        assert len(run(*words, code=2).strip().splitlines()) == 1
    started = scored_shop.run("serve", "ab-test", "start", "trial", "--arm", "cold:0.5:rule_set=winter",
                              "--reason", "try")  # fmt: skip
    assert started.returncode == 0, started.stderr
    assert "cold 50% (rules of winter)" in started.stdout
    assert "compared by trial" in run("sets")
    assert "stop it first" in run("release", "winter", code=2)
    kept = scored_shop.run("serve", "ab-test", "keep", "trial", "cold", "--reason", "it sold more")
    assert "recsys serve rules release winter" in kept.stdout
    assert "“no cold” holds for everybody." in run("release", "winter")
    assert "everywhere, everybody" in run("list")


@pytest.mark.parametrize("rule_set", [None, "winter"])
def test_a_preview_shows_a_draft_beside_the_rules_of_its_set(scored_shop: Shop, rule_set: str | None) -> None:
    with running(create_app()) as client:
        client.headers["X-API-Key"] = admin_key()
        first, second, *_ = popular(client, 1)
        create_rule(name="of the set", kind="hide", target={"product_ids": [first]}, rule_set="winter")
        draft = {"name": "draft", "kind": "hide", "target": {"product_ids": [second]}, "rule_set": rule_set}
        body = {"rule": draft, "shelf": "popular"}
        shown = client.post("/api/v1/recommendations/rules/preview", json=body).json()
        before = [each["product_id"] for each in shown["before"]]
        assert (first in before, second in before) == (rule_set is None, True)
        assert second not in [each["product_id"] for each in shown["after"]]
