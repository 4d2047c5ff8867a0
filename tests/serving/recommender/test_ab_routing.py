"""A/B tests on live answers: whose model answered, told truthfully, whatever becomes of the challenger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from models.algorithms.popularity.popularity import Popularity
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.service import Arm, Running, arm_of
from recsys.errors import Conflict
from serving.server.app import create_app
from serving.state.ab_assignment import MAX_FAILURES
from tests.serving import shopping
from tests.serving.api.test_answers import ask, execute, ids, until
from tests.serving.running import running
from tests.serving.state.test_impression_log import bring_in
from tests.support.shop import Shop

TEST = Running(0, "duel", "knn-v1", "popularity-v1", 0.5, "salt", False)
THEIRS = [user for user in range(1, 29) if arm_of(TEST, f"user:{user}") is Arm.CHALLENGER]
OURS = [user for user in range(1, 29) if arm_of(TEST, f"user:{user}") is Arm.CONTROL]


def begin(name: str = "duel", **terms: Any) -> None:
    given: dict[str, Any] = {"share": 0.5, "days": 7, "metric": "bought", "salt": "salt"}
    with unit_of_work() as session:
        ab_tests.start(session, name, "popularity-v1", actor="ann", reason="try", **(given | terms))


def told(client: httpx.Client, user: int, **parameters: Any) -> tuple[str | None, str | None, str]:
    found = ask(client, user, **parameters)["provenance"]
    return found["arm"], found["model"], found["source"]


@pytest.fixture
def rivals(scored_shop: Shop) -> Shop:
    """knn-v1 serves and has stored lists; popularity-v1 is registered."""
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    return scored_shop


@pytest.fixture
def duel(rivals: Shop) -> Iterator[httpx.Client]:
    """The application, with the test running and its challenger loaded."""
    begin()
    with running(create_app()) as client:
        yield client


def test_each_arm_is_answered_by_its_own_model_and_the_log_says_so(rivals: Shop, duel: httpx.Client) -> None:
    assert len(THEIRS) > 8
    assert len(OURS) > 8
    for user in OURS:
        assert told(duel, user) == ("duel:control", "knn-v1", "stored")
    for user in THEIRS:
        assert told(duel, user) == ("duel:challenger", "popularity-v1", "live")
        # whatever is asked for and however often
        assert told(duel, user, category=1)[:2] == ("duel:challenger", "popularity-v1")
    bring_in_all(rivals)
    logged = execute(
        rivals, "SELECT DISTINCT user_id, arm, model FROM recommendations_db.exposures ORDER BY 1"
    )
    assert logged == sorted(
        [(user, "duel:control", "knn-v1") for user in OURS]
        + [(user, "duel:challenger", "popularity-v1") for user in THEIRS]
    )


def bring_in_all(shop: Shop) -> None:
    def all_in() -> bool:
        bring_in()
        (count,) = execute(shop, "SELECT count(*) FROM recommendations_db.exposures")[0]
        return bool(count >= len(OURS) + 2 * len(THEIRS))

    until(all_in)


def test_pages_guests_and_shelves(duel: httpx.Client) -> None:
    first = ask(duel, THEIRS[0], limit=5)
    second = ask(duel, THEIRS[0], limit=5, cursor=first["next_cursor"])
    assert second["provenance"]["arm"] == "duel:challenger"
    assert not set(ids(first)) & set(ids(second))
    assert (
        told(duel, OURS[0], limit=5, cursor=ask(duel, OURS[0], limit=5)["next_cursor"])[0] == "duel:control"
    )

    for visit in ("a", "b", "c", "d"):
        answer = duel.get("/api/v1/recommendations", headers={"X-Session-Id": visit}).json()
        assert answer["provenance"]["arm"] == f"duel:{arm_of(TEST, f'session:{visit}')}"
        # who logs in is the user from then on, with the user's arm
        body = {"user_id": THEIRS[0], "session_id": visit, "shelves": [{"shelf": "for_you"}]}
        (shelf,) = duel.post("/api/v1/recommendations", json=body).json()["shelves"]
        assert shelf["provenance"]["arm"] == "duel:challenger"
    # nobody in particular, and what no model ranks
    assert duel.get("/api/v1/recommendations").json()["provenance"]["arm"] is None
    assert duel.get("/api/v1/products/5/similar").json()["provenance"]["arm"] is None
    body = {"user_id": THEIRS[0], "shelves": [{"shelf": "popular"}, {"shelf": "for_you"}]}
    popular, mine = duel.post("/api/v1/recommendations", json=body).json()["shelves"]
    assert popular["provenance"]["arm"] is None
    assert (mine["provenance"]["arm"], mine["provenance"]["model"]) == ("duel:challenger", "popularity-v1")
    assert not {one["product_id"] for one in popular["items"]} & {one["product_id"] for one in mine["items"]}


def test_a_start_and_an_end_are_noticed_without_a_restart(rivals: Shop, client: httpx.Client) -> None:
    user = THEIRS[0]
    before = ask(client, user)
    assert before["provenance"]["arm"] is None
    started = rivals.run(
        "serve", "ab-test", "start", "duel", "--challenger", "popularity-v1", "--reason", "try", "--json"
    )
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["control"] == "knn-v1"
    with unit_of_work() as session:
        test = ab_tests.running(session)
    assert test is not None
    theirs = next(one for one in range(1, 29) if arm_of(test, f"user:{one}") is Arm.CHALLENGER)
    until(lambda: told(client, theirs)[0] == "duel:challenger")
    stopped = rivals.run("serve", "ab-test", "stop", "duel", "--reason", "a tie", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["conclusion"] == "a tie"
    until(lambda: told(client, theirs) == (None, "knn-v1", "stored"))
    assert ids(ask(client, user)) == ids(before)


def test_a_damaged_challenger_is_stood_in_for(rivals: Shop) -> None:
    begin()
    for file in registry.artifact_folder("popularity-v1").glob("*.npy"):
        file.write_bytes(b"damaged")
    with running(create_app()) as client:
        for user in THEIRS[:3]:
            assert told(client, user) == ("duel:fallback", "knn-v1", "stored")
        assert told(client, OURS[0])[0] == "duel:control"
        health = client.get("/health/ready").json()
        assert health["status"] == "degraded"
        assert "popularity-v1" in health["parts"]["ab_test"]["detail"]


def test_a_failing_challenger_is_stood_in_for_and_then_left_alone(
    duel: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fails(self: Popularity, *_: object, **__: object) -> None:
        asked.append(1)
        raise FloatingPointError("a model on trial")

    monkeypatch.setattr(Popularity, "recommend_from", fails)
    for _ in range(MAX_FAILURES + 3):
        assert told(duel, THEIRS[0]) == ("duel:fallback", "knn-v1", "stored")
    assert len(asked) == MAX_FAILURES
    assert "too slow or failed" in duel.get("/health/ready").json()["parts"]["ab_test"]["detail"]
    assert told(duel, OURS[0]) == ("duel:control", "knn-v1", "stored")


def test_a_slow_challenger_costs_one_deadline(
    rivals: Shop, hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin()
    recommend = Popularity.recommend_from

    def slowly(self: Popularity, *given: Any, **named: Any) -> Any:
        time.sleep(1.0)
        return recommend(self, *given, **named)

    monkeypatch.setattr(Popularity, "recommend_from", slowly)
    with running(create_app()) as client:
        answer = ask(client, THEIRS[0])
        provenance = answer["provenance"]
        assert (provenance["arm"], provenance["source"]) == ("duel:fallback", "stored")
        assert provenance["complete"] is False
        assert len(ids(answer)) == 20


def test_arms_are_told_of_the_two_models_only(rivals: Shop, duel: httpx.Client) -> None:
    # another program makes a third model active, past every check
    shopping_model = shopping.fit("content")
    checksum = shopping_model.save(registry.artifact_folder("content-v1"))
    with unit_of_work() as session:
        row = registry.Registration(
            "content-v1", 1, "content_based", "content", checksum, "", {}, 0.1, 0.1, 0.1, 1
        )
        registry.register(session, row)
    execute(
        rivals,
        "UPDATE recommendations_db.recommendation_models SET is_active = (name = 'content-v1')",
    )
    until(lambda: duel.get("/health/ready").json()["parts"]["model"]["detail"] == "content-v1")
    assert told(duel, OURS[0], category=1)[:2] == ("duel:fallback", "content-v1")
    assert told(duel, THEIRS[0], category=1)[:2] == ("duel:challenger", "popularity-v1")


def test_both_arms_live_under_the_same_conditions(rivals: Shop) -> None:
    begin(live_control=True)
    with running(create_app()) as client:
        assert told(client, OURS[0]) == ("duel:control", "knn-v1", "live")
        assert told(client, THEIRS[0]) == ("duel:challenger", "popularity-v1", "live")


def test_a_promotion_is_refused_while_a_test_runs_or_ends_it(rivals: Shop) -> None:
    begin()
    refused = rivals.run("train", "promote", "popularity-v1", "--reason", "now")
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()
    assert "ab-test stop duel" in line
    with pytest.raises(Conflict, match="A/B test duel runs"), unit_of_work() as session:
        registry.activate(session, "popularity-v1", action="refresh")
    forced = rivals.run("train", "promote", "popularity-v1", "--force", "--reason", "now")
    assert forced.returncode == 0, forced.stderr
    with unit_of_work() as session:
        assert ab_tests.running(session) is None
        assert ab_tests.get(session, "duel").conclusion == "ended because popularity-v1 began to serve"
        assert [one.action for one in registry.history(session)[:3]] == ["promote", "ab_stop", "ab_start"]


def test_commands_refuse_in_one_line_and_show_what_there_is(rivals: Shop) -> None:
    def start(challenger: str) -> Any:
        return rivals.run(
            "serve", "ab-test", "start", "second", "--challenger", challenger, "--reason", "try"
        )

    for file in registry.artifact_folder("popularity-v1").glob("*.npy"):
        file.write_bytes(b"damaged")
    for challenger, code, said in (
        ("als-v9", 2, "no model is named"),
        ("popularity-v1", 1, "cannot be used"),
    ):
        refused = start(challenger)
        assert refused.returncode == code
        (line,) = refused.stderr.strip().splitlines()
        assert said in line
    assert execute(rivals, "SELECT name FROM recommendations_db.ab_tests") == []
    begin()
    shown = json.loads(rivals.run("serve", "ab-test", "show", "duel", "--json").stdout)
    assert (shown["challenger"], shown["answered"]["control"]["lists"]) == ("popularity-v1", 0)
    assert "salt" not in shown
    assert "popularity-v1" in rivals.run("serve", "ab-test", "list").stdout
