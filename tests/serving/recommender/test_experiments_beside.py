"""Two experiments on two placements: each list has the arm of its own one, and each its own verdict."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx

from models.registry import registry
from recsys import clock
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, arms_of
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.api.answers import execute
from tests.serving.running import running
from tests.serving.state.impressions import bring_in
from tests.support.shop import Shop
from tests.support.waiting import until
from training.online.ab_results import read_results

USERS = range(1, 29)
BY_MODEL = ExperimentDesign.of(arms=arms_of(["b:0.5:model=popularity-v1"]), placements=["for_you"])
BY_RULES = ExperimentDesign.of(arms=arms_of(["b:0.5:rules=off"]), placements=["popular"])


def page(client: httpx.Client, user: int) -> list[dict[str, Any]]:
    body = {"user_id": user, "shelves": [{"shelf": "for_you"}, {"shelf": "popular"}, {"shelf": "trending"}]}
    shelves = client.post("/api/v1/recommendations", json=body).json()["shelves"]
    return [shelf["provenance"] for shelf in shelves]


def start(name: str, design: ExperimentDesign) -> Running:
    with unit_of_work() as session:
        row = ab_tests.start(session, name, design, salt=f"salt of {name}", actor="ann", reason="try")
        return Running(row.id, name, row.control, row.salt, design)


def test_each_list_has_the_arm_of_its_placement_and_each_experiment_its_end(scored_shop: Shop) -> None:
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    one, other = start("models", BY_MODEL), start("rules", BY_RULES)
    scoring.score_if_needed()
    with running(create_app()) as client:
        met = set()
        for user in USERS:
            unit = f"user:{user}"
            expected = (f"models:{arm_of(one, unit).name}", f"rules:{arm_of(other, unit).name}")
            first, second, third = page(client, user)
            assert (first["arm"], second["arm"], third["arm"]) == (*expected, None)
            assert first["model"] == ("popularity-v1" if expected[0].endswith(":b") else "knn-v1")
            met.add(expected)
        assert len(met) == 4, "an arm of one says nothing about the arm of the other"
        health = client.get("/health/ready").json()["parts"]["ab_test"]
        assert health["well"]
        assert "models: control 50%, b 50%" in health["detail"]
        assert "; rules: " in health["detail"]

        def all_in() -> bool:
            bring_in()
            (count,) = execute(scored_shop, "SELECT count(*) FROM recommendations_db.exposures")[0]
            return bool(count >= 3 * len(USERS))

        until(all_in)
        now = clock.now() + timedelta(seconds=1)
        with unit_of_work() as session:
            results = {
                each.name: each for each in read_results(session, since=now - timedelta(days=1), until=now)
            }
            counts = {name: ab_tests.answered(session, ab_tests.get(session, name)) for name in results}
        assert set(results) == {"models", "rules"}
        for name, test in (("models", one), ("rules", other)):
            in_b = sum(arm_of(test, f"user:{user}").name == "b" for user in USERS)
            assert counts[name]["b"].users == in_b
            assert counts[name]["control"].users == len(USERS) - in_b
        # a winner's model would take the control from the other experiment
        kept = scored_shop.run("serve", "ab-test", "keep", "models", "b", "--reason", "it sold more")
        assert (kept.returncode, "rules would lose the control" in kept.stderr) == (2, True)
        shown = scored_shop.run("serve", "ab-test", "list").stdout
        assert shown.count("running") == 2
        with unit_of_work() as session:
            ab_tests.stop(session, "rules", actor="ann", conclusion="seen")
        until(lambda: page(client, 1)[1]["arm"] is None)
        assert page(client, 1)[0]["arm"] == f"models:{arm_of(one, 'user:1').name}"
        arms = "SELECT count(*) FROM recommendations_db.recommendation_generations WHERE status = 'arm'"
        assert execute(scored_shop, arms) == [(1,)], "the lists of the other experiment's model stay"
        kept = scored_shop.run("serve", "ab-test", "keep", "models", "b", "--reason", "it sold more")
        assert kept.returncode == 0, kept.stderr
        until(lambda: page(client, 1)[0]["arm"] is None)
        with unit_of_work() as session:
            active = registry.active(session)
        assert active is not None
        assert active.name == "popularity-v1"
