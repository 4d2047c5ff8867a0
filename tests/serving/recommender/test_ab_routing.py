"""A/B tests on live answers: each answer names the model that made it, also after the challenger failed."""

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
from recsys.domains.recommendations.ab_tests.assignment import arm_of
from recsys.domains.recommendations.ab_tests.design import (
    ExperimentDesign,
    arms_of,
    model_against_control,
)
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from serving.batch import scoring
from serving.batch.refresh import refresh_lists
from serving.server.app import create_app
from serving.state.ab_assignment import MAX_FAILURES
from tests.serving import shopping
from tests.serving.api.answers import ask, execute, ids
from tests.serving.recommender.ab_arms import (
    CHALLENGER_USERS,
    CONTROL_USERS,
    TEST,
    arm_model_source,
    start_test,
    users_of,
)
from tests.serving.running import running
from tests.serving.state.impressions import bring_in
from tests.support.guests import guest
from tests.support.shop import Shop
from tests.support.waiting import until


@pytest.fixture
def tested_client(two_models: Shop) -> Iterator[httpx.Client]:
    """The application, with the test running and its challenger loaded."""
    start_test()
    with running(create_app()) as client:
        yield client


def test_each_arm_is_answered_by_its_own_model_and_the_log_says_so(
    two_models: Shop, tested_client: httpx.Client
) -> None:
    assert len(CHALLENGER_USERS) > 8
    assert len(CONTROL_USERS) > 8
    for user in CONTROL_USERS:
        assert arm_model_source(tested_client, user) == ("duel:control", "knn-v1", "stored")
    for user in CHALLENGER_USERS:
        assert arm_model_source(tested_client, user) == ("duel:challenger", "popularity-v1", "live")
        # whatever is asked for and however often
        assert arm_model_source(tested_client, user, category=1)[:2] == ("duel:challenger", "popularity-v1")
    bring_in_all(two_models)
    times = execute(two_models, "SELECT milliseconds > 0, late FROM recommendations_db.exposures")
    assert set(times) == {(True, False)}
    logged = execute(
        two_models,
        "SELECT DISTINCT user_id, arm, model, arm_propensity FROM recommendations_db.exposures ORDER BY 1",
    )
    assert logged == sorted(
        [(user, "duel:control", "knn-v1", 0.5) for user in CONTROL_USERS]
        + [(user, "duel:challenger", "popularity-v1", 0.5) for user in CHALLENGER_USERS]
    )


def bring_in_all(shop: Shop) -> None:
    def all_in() -> bool:
        bring_in()
        (count,) = execute(shop, "SELECT count(*) FROM recommendations_db.exposures")[0]
        return bool(count >= len(CONTROL_USERS) + 2 * len(CHALLENGER_USERS))

    until(all_in)


def test_pages_guests_and_shelves(tested_client: httpx.Client) -> None:
    first = ask(tested_client, CHALLENGER_USERS[0], limit=5)
    second = ask(tested_client, CHALLENGER_USERS[0], limit=5, cursor=first["next_cursor"])
    assert second["provenance"]["arm"] == "duel:challenger"
    assert not set(ids(first)) & set(ids(second))
    assert (
        arm_model_source(
            tested_client,
            CONTROL_USERS[0],
            limit=5,
            cursor=ask(tested_client, CONTROL_USERS[0], limit=5)["next_cursor"],
        )[0]
        == "duel:control"
    )

    for visit in ("a", "b", "c", "d"):
        answer = tested_client.get("/api/v1/recommendations", headers=guest(visit)).json()
        assert answer["provenance"]["arm"] == f"duel:{arm_of(TEST, f'session:{visit}').name}"
        # who logs in is the user from then on, with the user's arm
        body = {
            "user_id": CHALLENGER_USERS[0],
            "session_id": guest(visit)["X-Session-Id"],
            "shelves": [{"shelf": "for_you"}],
        }
        (shelf,) = tested_client.post("/api/v1/recommendations", json=body).json()["shelves"]
        assert shelf["provenance"]["arm"] == "duel:challenger"
    # nobody in particular, and what no model ranks
    assert tested_client.get("/api/v1/recommendations").json()["provenance"]["arm"] is None
    assert tested_client.get("/api/v1/products/5/similar").json()["provenance"]["arm"] is None
    body = {"user_id": CHALLENGER_USERS[0], "shelves": [{"shelf": "popular"}, {"shelf": "for_you"}]}
    popular, mine = tested_client.post("/api/v1/recommendations", json=body).json()["shelves"]
    assert popular["provenance"]["arm"] is None
    assert (mine["provenance"]["arm"], mine["provenance"]["model"]) == ("duel:challenger", "popularity-v1")
    assert not {each["product_id"] for each in popular["items"]} & {
        each["product_id"] for each in mine["items"]
    }


def test_a_start_and_an_end_are_noticed_without_a_restart(two_models: Shop, client: httpx.Client) -> None:
    user = CHALLENGER_USERS[0]
    before = ask(client, user)
    assert before["provenance"]["arm"] is None
    started = two_models.run(
        "serve", "ab-test", "start", "duel", "--challenger", "popularity-v1", "--reason", "try", "--json"
    )
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["control"] == "knn-v1"
    with unit_of_work() as session:
        (test,) = ab_tests.running(session)
    challenger_user = next(each for each in range(1, 29) if arm_of(test, f"user:{each}").name == "challenger")
    until(lambda: arm_model_source(client, challenger_user)[0] == "duel:challenger")
    stopped = two_models.run("serve", "ab-test", "stop", "duel", "--reason", "a tie", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["conclusion"] == "a tie"
    until(lambda: arm_model_source(client, challenger_user) == (None, "knn-v1", "stored"))
    assert ids(ask(client, user)) == ids(before)


def test_the_serving_model_replaces_a_damaged_challenger(two_models: Shop) -> None:
    start_test()
    for file in registry.artifact_folder("popularity-v1").glob("*.npy"):
        file.write_bytes(b"damaged")
    with running(create_app()) as client:
        for user in CHALLENGER_USERS[:3]:
            assert arm_model_source(client, user) == ("duel:challenger:fallback", "knn-v1", "stored")
        assert arm_model_source(client, CONTROL_USERS[0])[0] == "duel:control"
        health = client.get("/health/ready").json()
        assert health["status"] == "degraded"
        assert "popularity-v1" in health["parts"]["ab_test"]["detail"]


def test_the_serving_model_replaces_a_failing_challenger_which_is_then_paused(
    tested_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fails(self: Popularity, *_: object, **__: object) -> None:
        calls.append(1)
        raise FloatingPointError("a model on trial")

    monkeypatch.setattr(Popularity, "recommend_from", fails)
    for _ in range(MAX_FAILURES + 3):
        assert arm_model_source(tested_client, CHALLENGER_USERS[0]) == (
            "duel:challenger:fallback",
            "knn-v1",
            "stored",
        )
    assert len(calls) == MAX_FAILURES
    assert "too slow or failed" in tested_client.get("/health/ready").json()["parts"]["ab_test"]["detail"]
    assert arm_model_source(tested_client, CONTROL_USERS[0]) == ("duel:control", "knn-v1", "stored")


def test_a_slow_challenger_costs_one_deadline(
    two_models: Shop, short_deadline: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_test()
    recommend = Popularity.recommend_from

    def slowly(self: Popularity, *given: Any, **named: Any) -> Any:
        time.sleep(1.0)
        return recommend(self, *given, **named)

    monkeypatch.setattr(Popularity, "recommend_from", slowly)
    with running(create_app()) as client:
        answer = ask(client, CHALLENGER_USERS[0])
        provenance = answer["provenance"]
        assert (provenance["arm"], provenance["source"]) == ("duel:challenger:fallback", "stored")
        assert provenance["complete"] is False
        assert len(ids(answer)) == 20


def test_only_lists_of_the_two_models_are_labelled_with_arms(
    two_models: Shop, tested_client: httpx.Client
) -> None:
    # another program makes a third model active, past every check
    shopping_model = shopping.fit("content")
    checksum = shopping_model.save(registry.artifact_folder("content-v1"))
    with unit_of_work() as session:
        row = registry.Registration(
            "content-v1", 1, "content_based", "content", checksum, "", {}, 0.1, 0.1, 0.1, 1
        )
        registry.register(session, row)
    execute(
        two_models,
        "UPDATE recommendations_db.recommendation_models SET is_active = (name = 'content-v1')",
    )
    until(lambda: tested_client.get("/health/ready").json()["parts"]["model"]["detail"] == "content-v1")
    assert arm_model_source(tested_client, CONTROL_USERS[0], category=1)[:2] == (
        "duel:control:fallback",
        "content-v1",
    )
    assert arm_model_source(tested_client, CHALLENGER_USERS[0], category=1)[:2] == (
        "duel:challenger",
        "popularity-v1",
    )


def test_both_arms_live_under_the_same_conditions(two_models: Shop) -> None:
    start_test(ExperimentDesign.of(arms=model_against_control("popularity-v1", 0.5, live_control=True)))
    with running(create_app()) as client:
        assert arm_model_source(client, CONTROL_USERS[0]) == ("duel:control", "knn-v1", "live")
        assert arm_model_source(client, CHALLENGER_USERS[0]) == ("duel:challenger", "popularity-v1", "live")


def test_arms_with_other_rules_and_settings_differ_in_these_alone(two_models: Shop) -> None:
    design = ExperimentDesign.of(
        arms=arms_of(
            [
                "bare:0.2:rules=off",
                "varied:0.2:diversity=0.9",
                "fresh:0.2:novelty=new",
                "pop:0.2:model=popularity-v1",
            ]
        )
    )
    users = users_of(design)
    assert all(users.values()), "each arm has a user"
    with running(create_app()) as client:
        plain = {user: ids(ask(client, user)) for user in range(1, 29)}
        wanted_new = {user: ids(ask(client, user, novelty="new")) for user in users["fresh"]}
        wanted_varied = {user: ids(ask(client, user, diversity=0.9)) for user in users["varied"]}
    hidden = plain[users["bare"][0]][0]
    rule = RuleIn.model_validate({"name": "recall", "kind": "hide", "target": {"product_ids": [hidden]}})
    start_test(design)
    with running(create_app()) as client:
        for arm, model in (("control", "knn-v1"), ("bare", "knn-v1"), ("pop", "popularity-v1")):
            for user in users[arm]:
                assert arm_model_source(client, user)[:2] == (f"duel:{arm}", model)
        for user in users["control"] + users["bare"]:
            assert ids(ask(client, user)) == plain[user]
        for user in users["fresh"]:
            assert ids(ask(client, user)) == wanted_new[user]
        for user in users["varied"]:
            assert ids(ask(client, user)) == wanted_varied[user]
            # pages go on, though the request asked for no diversity
            first = ask(client, user, limit=5)
            second = ask(client, user, limit=5, cursor=first["next_cursor"])
            assert second["provenance"]["arm"] == "duel:varied"
            assert ids(first) + ids(second) == wanted_varied[user][:10]
        with unit_of_work() as session:
            rules.create(session, rule, actor="user 1")
        until(lambda: hidden not in ids(ask(client, users["control"][0])))
        for user in users["bare"]:
            assert ids(ask(client, user)) == plain[user]
            # what the other arms request at the same time is not what this one gets
            assert ids(ask(client, user, category=1)) == ids(ask(client, user, category=1))
        # a placement that no model ranks is in the experiment when rules are
        assert ask_popular(client, users["bare"][0]) == "duel:bare"


def ask_popular(client: httpx.Client, user: int) -> str | None:
    body = {"user_id": user, "shelves": [{"shelf": "popular"}]}
    (shelf,) = client.post("/api/v1/recommendations", json=body).json()["shelves"]
    arm: str | None = shelf["provenance"]["arm"]
    return arm


def test_a_session_keeps_its_arm_when_it_logs_in(two_models: Shop) -> None:
    design = ExperimentDesign.of(arms=model_against_control("popularity-v1", 0.5), unit="session")
    start_test(design)
    arms = set()
    with running(create_app()) as client:
        for visit in ("a", "b", "c", "d", "e", "f"):
            before = client.get("/api/v1/recommendations", headers=guest(visit)).json()["provenance"]["arm"]
            session_id = guest(visit)["X-Session-Id"]
            for user in (CONTROL_USERS[0], CHALLENGER_USERS[0]):
                body = {"user_id": user, "session_id": session_id, "shelves": [{"shelf": "for_you"}]}
                (shelf,) = client.post("/api/v1/recommendations", json=body).json()["shelves"]
                assert shelf["provenance"]["arm"] == before
            arms.add(before)
    assert arms == {"duel:control", "duel:challenger"}


def arm_rows(shop: Shop) -> list[tuple[Any, ...]]:
    return execute(
        shop,
        "SELECT g.id, s.user_id FROM recommendations_db.recommendation_generations g "
        "JOIN recommendations_db.stored_lists s ON s.generation_id = g.id "
        "WHERE g.model_name = 'popularity-v1' "
        "AND g.status NOT IN ('live', 'former') ORDER BY 1, 2",
    )


def test_lists_of_an_arm_s_model_are_stored_for_its_users_and_removed_at_the_end(two_models: Shop) -> None:
    start_test()
    with running(create_app()) as client:
        user = CHALLENGER_USERS[0]
        live = {each: ids(ask(client, each)) for each in CHALLENGER_USERS}
        assert arm_model_source(client, user) == ("duel:challenger", "popularity-v1", "live")
        assert scoring.score_if_needed() is None
        stored_users = [each for _, each in arm_rows(two_models)]
        assert stored_users == [each for each in CHALLENGER_USERS if each in stored_users]
        assert user in stored_users
        until(lambda: arm_model_source(client, user)[2] == "stored")
        for each in stored_users:
            response = ask(client, each)
            assert (response["provenance"]["arm"], response["provenance"]["model"]) == (
                "duel:challenger", "popularity-v1",
            )  # fmt: skip
            assert response["provenance"]["source"] == "stored"
            # as far as they are ranked: the popularity model completes nothing
            assert ids(response)[:5] == live[each][:5]
        assert arm_model_source(client, CONTROL_USERS[0]) == ("duel:control", "knn-v1", "stored")
        # another scoring replaces them, and leaves none of the former
        report = scoring.score()
        assert report.arms == {"popularity-v1": len(stored_users)}
        rows = arm_rows(two_models)
        assert ([each for _, each in rows], len({number for number, _ in rows})) == (stored_users, 1)
        # for a moment the API still serves the former lists, which no event changes any more
        until(lambda: ask(client, user)["provenance"]["generation"] == rows[0][0])
        # the arm's list is made again as the control's is, and considers what is newer
        product = ids(ask(client, user))[0]
        body = {"user_id": user, "product_id": product, "interaction_type": "dismissed"}
        assert client.post("/api/v1/interactions", json=body).status_code == 200
        assert arm_model_source(client, user)[2] == "live"
        with unit_of_work() as session:
            assert refresh_lists(session, [user, CONTROL_USERS[0]]) >= {user}
        assert arm_rows(two_models) == rows, "no list of another arm"
        until(lambda: arm_model_source(client, user)[2] == "stored")
        assert product not in ids(ask(client, user, limit=100))
        # who has no list gets one with the next scoring of changed users, and a new customer of the arm, too
        execute(two_models, "DELETE FROM recommendations_db.stored_lists WHERE user_id = %s", user)
        report = scoring.score_changed()
        assert (report.whole, report.arms) == ("", {"popularity-v1": 1})
        assert arm_rows(two_models) == rows
        assert scoring.score_changed().arms == {"popularity-v1": 0}
        with unit_of_work() as session:
            ab_tests.stop(session, "duel", actor="ann", conclusion="enough")
        assert arm_rows(two_models) == []
        until(lambda: arm_model_source(client, user)[:2] == (None, "knn-v1"))
