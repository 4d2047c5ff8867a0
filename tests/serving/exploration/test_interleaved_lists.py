"""Interleaved lists of live answers: products of both arms, logged with teams, chances and credits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.assignment import Running, interleaves
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, Variant, interleaved_arms
from recsys.domains.recommendations.rules import service as rules
from recsys.domains.recommendations.rules.schemas import RuleIn
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving.api.answers import ask, execute, ids
from tests.serving.running import running
from tests.serving.state.impressions import bring_in
from tests.support.guests import guest
from tests.support.shop import Shop
from tests.support.waiting import until

MIXED = "mix:interleaved"
USERS = range(1, 21)
PIN = {"name": "first", "kind": "pin", "target": {"product_ids": [100]}, "position": 2}
CAP = {"name": "two", "kind": "cap", "most": 2, "cap_by": "category"}


def design(**terms: Any) -> ExperimentDesign:
    given: dict[str, Any] = {"arms": interleaved_arms(Variant(model="popularity-v1")), "metric": "clicked"}
    return ExperimentDesign.of(kind="interleaved", **(given | terms))


def start(terms: ExperimentDesign) -> None:
    with unit_of_work() as session:
        ab_tests.start(session, "mix", terms, salt="salt", actor="ann", reason="try")


@pytest.fixture
def mixed_client(two_models: Shop) -> Iterator[httpx.Client]:
    """The application with the experiment running."""
    start(design())
    with running(create_app()) as client:
        until(lambda: ask(client, 1)["provenance"]["arm"] == MIXED)
        yield client


def logged(shop: Shop, user: int) -> list[Any]:
    columns = "arm, product_ids, teams, propensities, credits, candidates, arm_propensity, model"
    query = (
        f"SELECT {columns} FROM recommendations_db.exposures WHERE user_id = %s "  # noqa: S608
        "ORDER BY shown_at DESC LIMIT 1"
    )

    def found() -> bool:
        bring_in()
        return bool(execute(shop, query, user))

    until(found)
    return list(execute(shop, query, user)[0])


def test_a_list_has_products_of_both_and_the_log_says_whose(
    two_models: Shop, mixed_client: httpx.Client
) -> None:
    for user in USERS:
        body = ask(mixed_client, user, limit=10)
        assert body["provenance"]["arm"] == MIXED
        assert body["provenance"]["model"] == "knn-v1+popularity-v1"
        assert not body["provenance"]["explored"]
        products = ids(body)
        assert len(set(products)) == 10
    arm, shown, teams, chances, credit, candidates, share, model = logged(two_models, USERS[-1])
    assert (arm, shown, candidates, share, model) == (MIXED, products, None, 1.0, "knn-v1+popularity-v1")
    assert set(teams) == {0, 1}
    assert set(chances) <= {0.5, 1.0}
    assert len(credit) == 10
    assert any(each > 0 for each in credit)
    assert any(each < 0 for each in credit)


def test_a_retry_has_the_same_list_and_another_request_another(mixed_client: httpx.Client) -> None:
    def lists(request_id: str) -> list[int]:
        headers = {"X-Request-ID": request_id}
        response = mixed_client.get("/api/v1/users/3/recommendations", params={"limit": 10}, headers=headers)
        return ids(response.json())

    assert lists("request-a") == lists("request-a")
    assert len({tuple(lists(f"request-{number}")) for number in range(20)}) > 3


def test_later_pages_go_on_without_repeats_and_are_of_no_team(mixed_client: httpx.Client) -> None:
    first = ask(mixed_client, 4, limit=5)
    second = ask(mixed_client, 4, limit=5, cursor=first["next_cursor"])
    assert second["provenance"]["arm"] is None
    assert not set(ids(first)) & set(ids(second))
    assert len(ids(second)) == 5


def test_a_list_with_parts_of_scores_or_of_nobody_is_the_servings(mixed_client: httpx.Client) -> None:
    assert ask(mixed_client, 4, explain=True)["provenance"]["arm"] is None
    assert mixed_client.get("/api/v1/recommendations").json()["provenance"]["arm"] is None
    answer = mixed_client.get("/api/v1/recommendations", headers=guest("visit")).json()
    assert answer["provenance"]["arm"] == MIXED


def test_only_the_share_of_the_visitors_has_them(two_models: Shop) -> None:
    terms = design(traffic=0.4)
    start(terms)
    test = Running(0, "mix", "knn-v1", "salt", terms)
    mixed = {user for user in USERS if interleaves(test, f"user:{user}")}
    assert 3 < len(mixed) < 15
    with running(create_app()) as client:
        until(lambda: ask(client, min(mixed))["provenance"]["arm"] == MIXED)
        for user in USERS:
            arm = ask(client, user)["provenance"]["arm"]
            assert arm == (MIXED if user in mixed else None)


def test_pins_keep_their_places_and_caps_their_lists(two_models: Shop) -> None:
    with unit_of_work() as session:
        rules.create(
            session,
            RuleIn.model_validate(PIN),
            actor="ann",
        )
    start(design())
    with running(create_app()) as client:
        until(lambda: ask(client, 1)["provenance"]["arm"] == MIXED)
        for user in USERS:
            body = ask(client, user, limit=6)
            assert body["provenance"]["arm"] == MIXED
            assert ids(body)[1] == 100
        _, shown, teams, _, credit, *_ = logged(two_models, USERS[-1])
        assert (shown[1], teams[1], credit[1]) == (100, None, 0.0)
        with unit_of_work() as session:
            cap = RuleIn.model_validate(CAP)
            rules.create(session, cap, actor="ann")
        until(lambda: ask(client, 1)["provenance"]["arm"] is None)


def test_a_model_that_fails_leaves_the_servings_list(
    two_models: Shop, mixed_client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.algorithms.popularity.popularity import Popularity

    def fails(self: Popularity, *_: object, **__: object) -> None:
        raise FloatingPointError("a model on trial")

    monkeypatch.setattr(Popularity, "recommend_from", fails)
    expected = ids(ask(mixed_client, 7, explain=True, limit=8))
    body = ask(mixed_client, 7, limit=8)
    assert body["provenance"]["arm"] == "mix:interleaved:fallback"
    assert body["provenance"]["model"] == "knn-v1"
    assert ids(body) == expected
    assert logged(two_models, 7)[2] is None


def test_each_model_is_first_in_half_of_the_lists(mixed_client: httpx.Client, two_models: Shop) -> None:
    for number in range(60):
        mixed_client.get("/api/v1/users/5/recommendations", headers={"X-Request-ID": f"request-{number}"})

    first: list[int] = []

    def all_in() -> bool:
        """Whether the log has the 60 lists; those that the fixture asked for are not counted."""
        bring_in()
        query = "SELECT teams[1] FROM recommendations_db.exposures WHERE request_id LIKE 'request-%%'"
        first[:] = [row[0] for row in execute(two_models, query)]
        return len(first) >= 60

    until(all_in)
    assert len(first) == 60
    # five standard errors
    assert abs(np.mean(first) - 0.5) < 5 * 0.5 / np.sqrt(60)


def test_the_challengers_lists_are_stored_for_the_visitors_who_get_them(two_models: Shop) -> None:
    start(design())
    scoring.score()
    with running(create_app()) as client:
        until(lambda: ask(client, 1)["provenance"]["arm"] == MIXED)
        assert ask(client, 2)["provenance"]["source"] == "stored"


def test_the_command_starts_plans_and_shows_one(two_models: Shop) -> None:
    command = ("serve", "ab-test", "start", "mix", "--challenger", "popularity-v1", "--reason", "try")
    refused = two_models.run(*command, "--interleave", "--metric", "spent")
    assert (refused.returncode, "money per user is not compared" in refused.stderr) == (2, True)
    refused = two_models.run(*command, "--interleave", "--guardrail", "bought=0.1", "--metric", "bought")
    assert (refused.returncode, "guardrails compare the visitors" in refused.stderr) == (2, True)
    refused = two_models.run(*command, "--traffic", "0.5")
    assert (refused.returncode, "give the control a larger share" in refused.stderr) == (2, True)
    with unit_of_work() as session:
        cap = RuleIn.model_validate({"name": "Two", "kind": "cap", "cap_by": "brand", "most": 2})
        rules.create(session, cap, actor="ann")
    started = two_models.run(*command, "--interleave", "--metric", "clicked", "--traffic", "0.5")
    assert started.returncode == 0, started.stderr
    assert "warning: Lists under caps" in started.stderr
    assert "lists of both knn-v1 and popularity-v1 for 50% of the visitors" in started.stdout
    shown = two_models.run("serve", "ab-test", "show", "mix", "--json")
    assert '"kind": "interleaved"' in shown.stdout
    planned = two_models.run("serve", "ab-test", "plan", "--interleave", "--metric", "clicked",
                             "--baseline", "0.1", "--effect", "20")  # fmt: skip
    assert "visitors are needed" in planned.stdout
