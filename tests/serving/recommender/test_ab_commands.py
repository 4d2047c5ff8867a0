"""A/B tests by command: refusals in one line, several arms, promotions meanwhile, the winner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.errors import Conflict
from tests.serving.api.answers import execute
from tests.serving.recommender.ab_arms import start_test
from tests.support.shop import Shop


def test_a_promotion_is_refused_while_a_test_runs_or_ends_it(two_models: Shop) -> None:
    start_test()
    refused = two_models.run("train", "promote", "popularity-v1", "--reason", "now")
    assert refused.returncode == 2
    (line,) = refused.stderr.strip().splitlines()
    assert "ab-test stop duel" in line
    with pytest.raises(Conflict, match="A/B test duel runs"), unit_of_work() as session:
        registry.activate(session, "popularity-v1", action="refresh")
    forced = two_models.run("train", "promote", "popularity-v1", "--force", "--reason", "now")
    assert forced.returncode == 0, forced.stderr
    with unit_of_work() as session:
        assert ab_tests.running(session) == ()
        assert ab_tests.get(session, "duel").conclusion == "ended because popularity-v1 began to serve"
        assert [each.action for each in registry.history(session)[:3]] == ["promote", "ab_stop", "ab_start"]


def test_commands_refuse_in_one_line_and_show_what_there_is(two_models: Shop) -> None:
    def start(challenger: str) -> Any:
        return two_models.run(
            "serve", "ab-test", "start", "second", "--challenger", challenger, "--reason", "try"
        )

    for file in registry.artifact_folder("popularity-v1").glob("*.npy"):
        file.write_bytes(b"damaged")
    for challenger, code, message in (
        ("als-v9", 2, "no model is named"),
        ("popularity-v1", 1, "cannot be used"),
    ):
        refused = start(challenger)
        assert refused.returncode == code
        (line,) = refused.stderr.strip().splitlines()
        assert message in line
    assert execute(two_models, "SELECT name FROM recommendations_db.ab_tests") == []
    # with or without a measurement
    for arguments in (("--effect", "0"), ("--effect", "nan"), ("--baseline", "2"), ("--deviation", "-1")):
        refused = two_models.run("serve", "ab-test", "plan", *arguments)
        assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1), arguments
    start_test()
    shown_test = json.loads(two_models.run("serve", "ab-test", "show", "duel", "--json").stdout)
    assert shown_test["design"]["arms"][1]["variant"]["model"] == "popularity-v1"
    none = {"lists": 0, "users": 0, "guests": 0, "fallbacks": 0, "late": 0, "p99_ms": None}
    assert shown_test["answered"]["control"] == none
    assert "salt" not in shown_test
    assert "popularity-v1" in two_models.run("serve", "ab-test", "list").stdout


def test_several_arms_start_and_the_winner_is_kept_by_command(two_models: Shop) -> None:
    refused = two_models.run("serve", "ab-test", "start", "duel", "--reason", "try")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    started = two_models.run(
        "serve", "ab-test", "start", "duel", "--arm", "pop:0.3:model=popularity-v1", "--arm",
        "bare:0.2:rules=off", "--guardrail", "bought=0.2", "--placement", "for_you", "--reason", "try",
        "--json",
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    design = json.loads(started.stdout)["design"]
    assert [(arm["name"], arm["share"]) for arm in design["arms"]] == [
        ("control", 0.5), ("pop", 0.3), ("bare", 0.2),
    ]  # fmt: skip
    assert design["guardrails"] == [{"metric": "bought", "largest_drop": 0.2}]
    refused = two_models.run("serve", "ab-test", "keep", "duel", "pop", "--reason", " ")
    assert (refused.returncode, "--reason is empty" in refused.stderr) == (2, True)
    kept = two_models.run("serve", "ab-test", "keep", "duel", "pop", "--reason", "it sold more", "--json")
    assert kept.returncode == 0, kept.stderr
    answer = json.loads(kept.stdout)
    assert (answer["state"], answer["winner"], answer["serving"]) == ("stopped", "pop", "popularity-v1")
    with unit_of_work() as session:
        active = registry.active(session)
    assert active is not None
    assert active.name == "popularity-v1"
    shares = ("--share", "0.3", "--share", "0.2")
    planned = two_models.run(
        *("serve", "ab-test", "plan", "--baseline", "0.1", "--effect", "20"), *shares, "--json"
    )
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["needed"] > 10_000
