"""`recsys train promote|hold|rollback|history`: against the rule only by force, and every step on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.ab_tests import service as ab_tests
from recsys.domains.recommendations.ab_tests.design import ExperimentDesign, model_against_control
from recsys.errors import Conflict
from tests.support.shop import Shop
from tests.training.shops import add_purchases, fill_shop
from training.experiment import load_all
from training.pipeline import train
from training.progress import Steps

PLAN = (
    "\n[split]\ntest_days = 12\n[evaluation]\nks = [5, 10]\nprimary_k = 10\ndraws = 100\n"
    "[promotion]\nmin_users = 30\n"
)


@pytest.fixture
def trained(shop: Shop, tmp_path: Path) -> Shop:
    """item_knn-v1 serves; popularity-v1 was worse and was held."""
    fill_shop(name="Product 3")
    sources = []
    for name in ("popularity", "item_knn"):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\nalgorithm = "{name}"\n{PLAN}')
        sources.append(str(tmp_path / f"{name}.toml"))
    train(load_all(sources), command="recsys train run", actor="tester", steps=Steps())
    return shop


def ask(shop: Shop, *words: str, code: int = 0) -> Any:
    answer = shop.run("train", *words)
    assert answer.returncode == code, answer.stdout + answer.stderr
    if code:
        (line,) = answer.stderr.strip().splitlines()
        return line
    return json.loads(answer.stdout)


def test_against_the_rule_only_by_force_and_back_again(trained: Shop) -> None:
    refused = ask(trained, "promote", "popularity-v1", "--reason", "try", code=2)
    assert "popularity-v1 was held back" in refused
    assert "item_knn-v1 has the highest NDCG@10" in refused
    done = ask(trained, "promote", "popularity-v1", "--force", "--reason", "an experiment", "--json")
    assert done == {"active": "popularity-v1", "before": "item_knn-v1", "lists_of": None}
    back = ask(trained, "rollback", "--reason", "it sells less", "--json")
    assert (back["active"], back["before"]) == ("item_knn-v1", "popularity-v1")
    assert (back["lists"], back["generation"], back["redis"]) == ("withdrawn", None, True), "none was scored"
    # the one before the present one is popularity-v1 now: a rollback of a rollback goes forward again
    assert ask(trained, "rollback", "--reason", "a mistake", "--json")["active"] == "popularity-v1"
    assert (
        ask(trained, "rollback", "--to", "item_knn-v1", "--reason", "x", "--json")["active"] == "item_knn-v1"
    )
    output = ask(trained, "history", "--json")
    assert [(row["action"], row["from"], row["to"]) for row in output] == [
        ("rollback", "popularity-v1", "item_knn-v1"),
        ("rollback", "item_knn-v1", "popularity-v1"),
        ("rollback", "popularity-v1", "item_knn-v1"),
        ("promote", "item_knn-v1", "popularity-v1"),
        ("promote", None, "item_knn-v1"),
    ]
    assert output[3]["figures"]["forced"] is True
    assert output[3]["why"] == "an experiment"
    assert all(row["who"] for row in output)
    assert len(ask(trained, "history", "--limit", "2", "--json")) == 2


def test_a_held_model_stays_held_and_what_can_not_be_rolled_back_says_so(trained: Shop) -> None:
    held = ask(trained, "hold", "item_knn-v1", "--reason", "trained on a broken import", "--json")
    assert held == {"held": "item_knn-v1", "active": "item_knn-v1"}
    output = ask(trained, "promote", "item_knn-v1", "--reason", "again", code=2)
    assert "trained on a broken import" in output
    assert "nothing served before item_knn-v1" in ask(trained, "rollback", "--reason", "x", code=2)
    same = ask(trained, "rollback", "--to", "item_knn-v1", "--reason", "x", code=2)
    assert "serves already" in same
    assert "--reason is empty" in ask(trained, "hold", "item_knn-v1", "--reason", " ", code=2)
    assert "no model is named" in ask(trained, "rollback", "--to", "als-v9", "--reason", "x", code=2)


def test_lists_of_another_model_are_named(trained: Shop) -> None:
    with trained.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.recommendation_generations "
            "(model_name, model_version, status, started_at, live_at) "
            "VALUES ('item_knn-v1', '1', 'live', now(), now())"
        )
    shown = trained.run("train", "promote", "popularity-v1", "--force", "--reason", "try")
    assert "Stored lists are still those of item_knn-v1" in shown.stdout
    back = trained.run("train", "rollback", "--reason", "back")
    assert "Stored lists" not in back.stdout


def test_a_switch_that_somebody_else_made_meanwhile_is_not_undone(trained: Shop) -> None:
    with pytest.raises(Conflict, match="item_knn-v1 serves by now, not als-v1"), unit_of_work() as session:
        registry.activate(session, "popularity-v1", action="rollback", expected="als-v1")
    with unit_of_work() as session:
        serving = registry.active(session)
    assert serving is not None
    assert serving.name == "item_knn-v1"


def test_a_model_is_exported_for_batch_use(trained: Shop, tmp_path: Path) -> None:
    target = tmp_path / "flavor"
    assert ask(trained, "export", "item_knn-v1", str(target), "--json") == {
        "model": "item_knn-v1",
        "folder": str(target),
    }
    assert "loader_module: models.registry.mlflow_flavor" in (target / "MLmodel").read_text()
    assert "is there already" in ask(trained, "export", "item_knn-v1", str(target), code=2)


def test_the_nightly_job_promotes_nothing_while_an_ab_test_runs(trained: Shop, tmp_path: Path) -> None:
    design = ExperimentDesign.of(arms=model_against_control("popularity-v1", 0.5))
    with unit_of_work() as session:
        ab_tests.start(session, "duel", design, salt="s", actor="ann", reason="try")
    add_purchases([(user, 1 + user % 2, 60.5) for user in range(1, 30)])
    again = load_all([str(tmp_path / "item_knn.toml")])
    outcome = train(again, command="recsys train run", actor="tester", steps=Steps(), rebuild=True)
    assert outcome.active == "item_knn-v1"
    assert outcome.report is not None
    assert outcome.report.verdict.action == "hold"
    last = ask(trained, "history", "--limit", "1", "--json")[0]
    assert (last["action"], last["to"]) == ("hold", "item_knn-v2")
    assert "held all the same while the A/B test duel runs" in last["why"]
    # the emergency way out is open, and says what it ends
    with unit_of_work() as session:
        registry.activate(session, "popularity-v1", action="rollback", ends_test=True)
        assert ab_tests.get(session, "duel").conclusion == "ended because popularity-v1 began to serve"
