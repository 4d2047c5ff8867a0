"""`recsys train evaluate|compare|curves` on registered models: real database, artifacts and processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.products.tables import Product
from recsys.errors import Invalid, NotFound
from recsys.settings import get_settings
from tests.support.shop import Shop
from tests.training.shops import ITEMS, add_purchases, fill_shop, purchases
from training.evaluation.split_plan import SplitPlan
from training.evaluation.splits import KINDS
from training.experiment import load_all
from training.fit.evaluate_registered import Examination, examine, experiment_of, open_dataset
from training.pipeline import train
from training.progress import Steps

PLAN = """
[split]
test_days = 12
[evaluation]
ks = [5, 10]
primary_k = 10
draws = 100
[promotion]
min_users = 30
"""
FILES = {
    "popularity": 'name = "popularity"\nalgorithm = "popularity"\n' + PLAN,
    "item_knn": 'name = "item_knn"\nalgorithm = "item_knn"\n[parameters]\nneighbours = 20\n' + PLAN,
}


@pytest.fixture
def trained(shop: Shop, tmp_path: Path) -> Shop:
    """A shop with costs for half its products and two registered models, which know all of its events."""
    for name, text in FILES.items():
        (tmp_path / f"{name}.toml").write_text(text)
    fill_shop(name="Product 3")
    with unit_of_work() as session:
        for product in range(1, ITEMS // 2):
            session.get_one(Product, product).cost_price = product / 2  # type: ignore[assignment]
    sources = [str(tmp_path / f"{name}.toml") for name in FILES]
    train(load_all(sources), command="recsys train run", actor="tester", steps=Steps())
    return shop


def _examined(kind: str, names: list[str] | None = None, **plan: float) -> Examination:
    return examine(
        names or ["popularity-v1", "item_knn-v1"],
        open_dataset(),
        kind=kind,  # type: ignore[arg-type]
        plan=SplitPlan(**({"test_days": 12} | plan)),  # type: ignore[arg-type]
        ks=(5, 10),
        k=10,
        draws=100,
        seed=0,
        steps=Steps(),
    )


def test_a_model_that_has_seen_the_test_is_refitted_and_the_output_says_so(trained: Shop) -> None:
    for kind in KINDS:
        found = _examined(kind, folds=2)
        assert len(found.splits) == (2 if kind == "rolling" else 1)
        for trial in found.trials:
            assert trial.how == ["refitted"] * len(found.splits)
            assert "it has seen the answers" in trial.reason
            assert trial.evaluation.views["all"].users.size
            assert trial.segments["all"]
            users = sum(one.users for one in trial.segments["all"] if one.kind == "users")
            assert users >= trial.evaluation.views["all"].users.size, "those of all periods"
    assert "margin" in _examined("time").trials[0].evaluation.views["all"].quality


def test_a_model_is_tested_as_registered_on_what_came_after_it(trained: Shop) -> None:
    from features.build.builder import build

    later = [(user, product, 60 + day / 6) for user, product, day in purchases(1)]
    add_purchases(later)
    build(get_settings())
    (trial,) = _examined("time", ["item_knn-v1"], test_days=9.5).trials
    assert trial.how == ["as registered"]
    assert trial.reason == ""
    # hiding users needs another fit even so: the registered one knows them
    (cold,) = _examined("cold-users", ["item_knn-v1"], test_days=9.5).trials
    assert cold.how == ["refitted"]
    assert "meant to be cold" in cold.reason


def test_a_damaged_artifact_is_refitted_by_its_row(trained: Shop) -> None:
    with unit_of_work() as session:
        folder = registry.get(session, "popularity-v1").folder
    (folder / "model.json").unlink()
    (trial,) = _examined("time", ["popularity-v1"]).trials
    assert trial.how == ["refitted"]
    assert "cannot be used" in trial.reason
    with unit_of_work() as session:
        registry.get(session, "popularity-v1")
        row = registry.get(session, "item_knn-v1")
        registry.annotate(session, "item_knn-v1", {"experiment": {"name": 3}})
        assert experiment_of(row).name == "item_knn"
        with pytest.raises(Invalid, match="does not hold the experiment"):
            experiment_of(registry.get(session, "item_knn-v1"))


def test_wrong_names_and_lengths_are_refused(trained: Shop) -> None:
    with pytest.raises(NotFound, match="no model is named 'als-v9'"):
        _examined("time", ["als-v9"])
    with pytest.raises(Invalid, match="named twice"):
        _examined("time", ["item_knn-v1", "item_knn-v1"])


def test_the_commands(trained: Shop) -> None:
    completed = trained.run(
        "train", "evaluate", "item_knn-v1", "--split", "last-n", "--last", "3", "--test-days", "12"
    )
    assert completed.returncode == 0, completed.stderr
    assert "refitted on the past, because" in completed.stdout
    assert "too small" in completed.stdout
    found = trained.run(
        "train", "compare", "item_knn-v1", "popularity-v1", "--k", "10", "--test-days", "12", "--json"
    )
    assert found.returncode == 0, found.stderr
    duel = json.loads(found.stdout)
    assert duel["verdict"] in ("a", "b", "tie")
    assert duel["models"]["item_knn-v1"]["how"] == ["refitted"]
    assert {row["view"] for row in duel["rows"]} == {"all", "new"}
    assert duel["splits"][0]["events"]["kept"] > 0
    curves = trained.run(
        "train", "curves", "item_knn-v1", "--share", "0.5", "--share", "1", "--age", "0", "--json"
    )
    assert curves.returncode == 0, curves.stderr
    data, stale = json.loads(curves.stdout)["curves"]
    assert [point["x"] for point in data["points"]] == [0.5, 1.0]
    assert data["points"][1]["views"] == stale["points"][0]["views"]
    wrong = trained.run("train", "curves", "nothing-v1")
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
