"""The cut at week 44, what counts as cold, and the command's JSON, on a small shop in the same files."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from models.factory import create
from recsys.errors import NotFound
from training.paper_benchmarks import complete_journey, complete_journey_data
from training.paper_benchmarks.chosen_settings import BenchmarkSettings, ModelSettings
from training.paper_benchmarks.cli import app

HOUSEHOLDS, PRODUCTS, LATE = 30, 25, 24
"""Product 24 is first sold in week 43; household 29 buys three times before the cut."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every household has three staples, bought about every other week, and tries one thing a week."""
    rng = np.random.default_rng(0)
    rows = []
    start = datetime(2017, 1, 1)  # noqa: DTZ001 - the files hold times without a zone
    for household in range(HOUSEHOLDS):
        staples = [(3 * household + i) % 12 for i in range(3)]
        for week in range(1, 51):
            bought = [p for p in staples if rng.random() < 0.5] + [int(rng.integers(PRODUCTS - 1))]
            if week >= 43:
                bought.append(LATE)
            if household == HOUSEHOLDS - 1 and week <= 44:
                bought = [staples[0]] if week > 41 else []
            when = start + timedelta(weeks=week - 1, hours=household)
            rows += [(household, 100 * household + week, 10 + p, 1, 2.0, week, when) for p in bought]
    rows.append((0, 1, 10, 0, 0.0, 3, start + timedelta(weeks=2)))
    names = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "week"]
    into = tmp_path_factory.mktemp("journey")
    pl.DataFrame(rows, schema=[*names, "transaction_timestamp"], orient="row").write_parquet(
        into / "transactions.parquet"
    )
    pl.DataFrame(
        {
            "product_id": [10 + i for i in range(PRODUCTS)],
            "manufacturer_id": [i % 4 for i in range(PRODUCTS)],
            "department": ["GROCERY" if i % 2 else "DAIRY" for i in range(PRODUCTS)],
            "brand": ["National"] * PRODUCTS,
            "product_category": [f"C{i % 5}" for i in range(PRODUCTS)],
            "product_type": [f"TYPE {i}" for i in range(PRODUCTS)],
            "package_size": [None if i % 3 else "22 LB" for i in range(PRODUCTS)],
        }
    ).write_parquet(into / "products.parquet")
    return into


def test_the_cut_is_at_the_end_of_week_44_and_week_49_is_not_seen(folder: Path) -> None:
    found = complete_journey_data.read(folder)
    lines = pl.read_parquet(folder / "transactions.parquet").filter(pl.col("quantity") > 0)
    weeks = lines["week"].to_numpy()
    assert len(found.split.train.events) == int((weeks <= 44).sum())
    assert found.split.events["total"] == int(((weeks > 44) & (weeks <= 48)).sum())
    assert found.refused == 1
    features = found.split.train.item_features
    assert features.category_paths[features.category[0]] == "DAIRY > C0 > TYPE 0"
    assert features.names[0] == "TYPE 0 22 LB"
    assert features.price[0] == pytest.approx(2.0)


def test_who_and_what_is_cold(folder: Path) -> None:
    split = complete_journey_data.read(folder).split
    cold = complete_journey.slices(split)
    assert split.folds["all"].users[cold.users].tolist() == [HOUSEHOLDS - 1]
    assert split.train.items.ids[cold.items].tolist() == [10 + LATE]


def test_figures_are_those_of_the_evaluation(folder: Path) -> None:
    from training.evaluation.evaluator import evaluate

    found = complete_journey_data.read(folder)
    models = {name: ModelSettings(name, name, {}) for name in ("tifu_knn", "popularity")}
    settings = BenchmarkSettings(models, {}, {}, [], {})
    results = complete_journey.run(found, settings, list(models), progress=lambda _: None)
    model = create("tifu_knn").fit(found.split.train)
    other = evaluate(model, found.split, [20])
    assert results[0].figures["ndcg@20"] == pytest.approx(other.views["all"].values["ndcg"].mean())
    assert results[0].figures["new_recall@20"] == pytest.approx(other.views["new"].values["recall"].mean())
    assert results[0].figures["ndcg@20"] > results[1].figures["ndcg@20"]
    test = complete_journey.compared(results, "tifu_knn", "ndcg@20", draws=500)
    assert test is not None
    assert test.best == "popularity"
    assert test.ratio > 1
    comparison, adjusted = test.against["popularity"]
    assert comparison.low > 0
    assert adjusted == comparison.p_value < 0.05
    assert complete_journey.compared(results, "hybrid", "ndcg@20") is None


def test_what_knows_content_is_compared_with_popularity_on_cold_products(folder: Path) -> None:
    models = {name: ModelSettings(name, name, {}) for name in ("popularity", "cold_items", "content")}
    settings = BenchmarkSettings(models, {}, {}, [], {})
    results = complete_journey.run(
        complete_journey_data.read(folder),
        settings,
        ["popularity", "content", "cold_items"],
        progress=lambda _: None,
    )
    found = complete_journey.tests(results, seed=1)
    assert [(test.figure, test.model, list(test.against)) for test in found] == [
        ("cold_items_ndcg@20", "cold_items", ["popularity"]),
        ("cold_items_ndcg@20", "content", ["popularity"]),
    ]


def test_the_command_prints_what_a_script_needs(folder: Path) -> None:
    asked = ["complete-journey", "--data", str(folder), "--model", "tifu_knn", "--model", "hybrid"]
    answer = CliRunner().invoke(app, [*asked, "--json"])
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    hybrid = next(model for model in document["models"] if model["model"] == "hybrid")
    assert {
        "ndcg@20",
        "recall@20",
        "fit_seconds",
        "peak_rss_mib",
        "intervals",
        "new_ndcg@20",
    } <= hybrid.keys()
    low, high = hybrid["intervals"]["ndcg@20"]
    assert low <= hybrid["ndcg@20"] <= high
    assert "any: " in hybrid["note"]
    assert {test["figure"] for test in document["comparisons"]} <= set(complete_journey.TASKS)
    assert (document["cold_users"], document["cold_items"]) == (1, 1)
    table = CliRunner().invoke(app, asked[:-2])
    assert table.exit_code == 0
    assert "tifu_knn" in table.stdout


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"transactions\.parquet"):
        complete_journey_data.folder_of(tmp_path)
