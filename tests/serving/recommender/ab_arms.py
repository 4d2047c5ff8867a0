"""The A/B test of the tests here: knn-v1 against popularity-v1, who is in which arm, and what answers say."""

from __future__ import annotations

from typing import Any

import httpx

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, arm_of
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, model_against_control
from tests.serving.api.answers import ask

DUEL = ExperimentDesign.of(arms=model_against_control("popularity-v1", 0.5))
TEST = Running(0, "duel", "knn-v1", "salt", DUEL)
CHALLENGER_USERS = [user for user in range(1, 29) if arm_of(TEST, f"user:{user}").name == "challenger"]
CONTROL_USERS = [user for user in range(1, 29) if arm_of(TEST, f"user:{user}").name == "control"]


def start_test(design: ExperimentDesign = DUEL, name: str = "duel") -> None:
    with unit_of_work() as session:
        ab_tests.start(session, name, design, salt="salt", actor="ann", reason="try")


def users_of(design: ExperimentDesign) -> dict[str, list[int]]:
    test = Running(0, "duel", "knn-v1", "salt", design)
    found: dict[str, list[int]] = {arm.name: [] for arm in design.arms}
    for user in range(1, 29):
        found[arm_of(test, f"user:{user}").name].append(user)
    return found


def arm_model_source(
    client: httpx.Client, user: int, **parameters: Any
) -> tuple[str | None, str | None, str]:
    provenance = ask(client, user, **parameters)["provenance"]
    return provenance["arm"], provenance["model"], provenance["source"]
