"""Experiments over HTTP: planned, started, followed, stopped and kept by administrators alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests.sample_size import users_needed, visitors_needed
from recsys.domains.users.api_keys import service as api_keys
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import ask
from tests.serving.running import running
from tests.support.shop import Shop
from tests.support.waiting import until

PATH = "/api/v1/admin/experiments"
DESIGN: dict[str, Any] = {
    "arms": [
        {"name": "control", "share": 0.4},
        {"name": "popular", "share": 0.3, "variant": {"model": "popularity-v1"}},
        {"name": "bare", "share": 0.3, "variant": {"rules": False}},
    ],
    "guardrails": [{"metric": "bought", "largest_drop": 0.1}],
}
NEW = {"name": "spring", "reason": "try", "design": DESIGN}


@pytest.fixture
def admin(scored_shop: Shop) -> Iterator[httpx.Client]:
    """A client with a key for administration, of a shop with two models."""
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
        key = api_keys.create(session, "tests", ["admin", "recommend"], by="test").key
    with running(create_app()) as client:
        client.headers["X-API-Key"] = key
        yield client


def test_an_experiment_is_started_followed_and_its_winner_kept(admin: httpx.Client) -> None:
    started = admin.post(PATH, json=NEW)
    assert started.status_code == 201, started.text
    assert started.json()["design"]["arms"][1] == {
        "name": "popular",
        "share": 0.3,
        "variant": {
            "model": "popularity-v1",
            "rules": True,
            "rule_set": None,
            "diversity": None,
            "novelty": None,
            "live": False,
        },
    }
    assert admin.post(PATH, json={**NEW, "name": "another"}).status_code == 409
    until(lambda: ask(admin, 1)["provenance"]["arm"] is not None)
    detail = admin.get(f"{PATH}/spring").json()
    assert [each["arm"]["name"] for each in detail["answered"]] == ["control", "popular", "bare"]
    assert detail["measured"] is None
    assert [each["name"] for each in admin.get(PATH).json()] == ["spring"]
    assert admin.post(f"{PATH}/spring/keep", json={"arm": "none", "reason": "try"}).status_code == 404
    kept = admin.post(f"{PATH}/spring/keep", json={"arm": "popular", "reason": "it sold more"}).json()
    assert (kept["state"], kept["winner"], kept["serving"]) == ("stopped", "popular", "popularity-v1")
    assert admin.post(f"{PATH}/spring/stop", json={"reason": "again"}).status_code == 409


def test_an_arm_without_a_model_is_recorded_and_the_model_goes_on(admin: httpx.Client) -> None:
    assert admin.post(PATH, json=NEW).status_code == 201
    kept = admin.post(f"{PATH}/spring/keep", json={"arm": "bare", "reason": "same sales"}).json()
    assert (kept["state"], kept["winner"], kept["serving"]) == ("stopped", "bare", "knn-v1")
    again = admin.post(PATH, json={**NEW, "name": "summer"})
    assert again.status_code == 201
    stopped = admin.post(f"{PATH}/summer/stop", json={"reason": "seen enough"}).json()
    assert (stopped["state"], stopped["conclusion"], stopped["winner"]) == ("stopped", "seen enough", None)


def test_the_plan_is_that_of_the_formula(admin: httpx.Client) -> None:
    asked = {"share": [0.3, 0.2], "baseline": 0.1, "effect_percent": 20}
    plan = admin.get(f"{PATH}/plan", params=asked).json()
    assert plan["needed"] == users_needed(0.1, 0.2, (0.5, 0.3, 0.2))
    money = admin.get(f"{PATH}/plan", params={"metric": "spent", "baseline": 5.0, "deviation": 20.0}).json()
    assert money["needed"] == users_needed(5.0, 0.1, (0.5, 0.5), deviation=20.0)
    assert admin.get(f"{PATH}/plan", params={"metric": "spent"}).json()["needed"] is None
    assert admin.get(f"{PATH}/plan", params={"share": [0.6, 0.4]}).status_code == 422


INTERLEAVED: dict[str, Any] = {
    "kind": "interleaved",
    "arms": [
        {"name": "control", "share": 0.5},
        {"name": "challenger", "share": 0.5, "variant": {"model": "popularity-v1"}},
    ],
    "metric": "clicked",
    # of 20 users some are in and some are not, whatever the salt: all on one side once in 500,000 times
    "traffic": 0.5,
}


def test_an_interleaved_experiment_is_started_followed_and_kept(admin: httpx.Client) -> None:
    cap = {"name": "Two of a brand", "kind": "cap", "cap_by": "brand", "most": 2, "shelves": ["similar"]}
    assert admin.post("/api/v1/recommendations/rules", json=cap).status_code == 201
    started = admin.post(PATH, json={**NEW, "design": INTERLEAVED})
    assert started.status_code == 201, started.text
    assert ["Two of a brand" in each["reason"] for each in started.json()["outside"]] == [True]
    design = started.json()["design"]
    assert (design["kind"], design["credit"], design["traffic"]) == ("interleaved", "optimised", 0.5)
    arms = lambda: {ask(admin, user)["provenance"]["arm"] for user in range(1, 21)}  # noqa: E731
    until(lambda: "spring:interleaved" in arms())
    assert arms() == {"spring:interleaved", None}
    detail = admin.get(f"{PATH}/spring").json()
    assert [each["arm"]["name"] for each in detail["answered"]] == ["control", "challenger"]
    assert "caps" in detail["outside"][0]["reason"]
    kept = admin.post(f"{PATH}/spring/keep", json={"arm": "challenger", "reason": "preferred"}).json()
    assert admin.get(f"{PATH}/spring").json()["outside"] == []
    assert (kept["winner"], kept["serving"]) == ("challenger", "popularity-v1")
    asked = {"kind": "interleaved", "metric": "clicked", "baseline": 0.1, "effect_percent": 20}
    plan = admin.get(f"{PATH}/plan", params=asked).json()
    assert plan["needed"] == visitors_needed(0.1, 0.2)
    money = admin.get(f"{PATH}/plan", params={**asked, "metric": "spent"}).json()
    assert money["needed"] is None


@pytest.mark.parametrize(
    "changed",
    [
        {"metric": "revenue"},
        {"guardrails": [{"metric": "bought", "largest_drop": 0.1}]},
        {"arms": DESIGN["arms"]},
        {"arms": [{"name": "control", "share": 0.7}, {**INTERLEAVED["arms"][1], "share": 0.3}]},
        {"arms": [{"name": "control", "share": 0.5}, {"name": "same", "share": 0.5}]},
        {"traffic": 0},
        {"credit": "none"},
        {"kind": "arms"},
    ],
)
def test_wrong_interleaved_designs_start_nothing(admin: httpx.Client, changed: dict[str, Any]) -> None:
    answer = admin.post(PATH, json={**NEW, "design": {**INTERLEAVED, **changed}})
    assert answer.status_code == 422, answer.text
    assert admin.get(PATH).json() == []


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"arms": DESIGN["arms"][:1]}, 422),
        ({"arms": DESIGN["arms"][:2]}, 422),
        ({"metric": "joy"}, 422),
        ({"unit": "session", "metric": "spent"}, 422),
        ({"colour": "red"}, 422),
        (
            {"arms": [{"name": "a", "share": 0.5}, {"name": "b", "share": 0.5, "variant": {"model": "x"}}]},
            404,
        ),
    ],
)
def test_wrong_designs_start_nothing(admin: httpx.Client, changed: dict[str, Any], status: int) -> None:
    answer = admin.post(PATH, json={**NEW, "design": {**DESIGN, **changed}})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert admin.get(PATH).json() == []


def test_nobody_else_gets_in(admin: httpx.Client) -> None:
    del admin.headers["X-API-Key"]
    calls = [
        admin.get(PATH), admin.post(PATH, json=NEW), admin.get(f"{PATH}/plan"), admin.get(f"{PATH}/spring"),
        admin.post(f"{PATH}/spring/stop", json={"reason": "try"}),
        admin.post(f"{PATH}/spring/keep", json={"arm": "bare", "reason": "try"}),
    ]  # fmt: skip
    assert [call.status_code for call in calls] == [401] * len(calls)
