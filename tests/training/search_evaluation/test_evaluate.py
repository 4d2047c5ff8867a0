"""The quality of search: known answers, no future, and two groups that a user's own order must tell apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from features.dataset import Dataset
from recsys.cli import run
from recsys.database.session import unit_of_work
from recsys.search.ranking import formula as ranking
from recsys.search.tables import ProductSearch
from recsys.settings import get_settings
from tests.support.shop import Shop
from tests.support.web.browser import CHROMIUM, NO_BROWSER, measure, nothing_is_clipped
from tests.training.shops import dataset_of, fill_shop
from training.evaluation.splits import time_split
from training.experiment import Experiment
from training.fit.evaluate_registered import open_dataset
from training.pipeline import train
from training.progress import Steps
from training.report.document import EvaluationReport
from training.report.page import render
from training.search_evaluation.lists import AGAIN, NEW, QueryPeriod, for_everybody, for_users, values_of
from training.search_evaluation.queries import SearchMatches, fame_of, needs_of, types_of
from training.tracking.runs import Tracked

TEA, POT = ("tea",), ("pot",)


def _small() -> Dataset:
    """Two users; products 1 to 3 are teas, 4 a pot; user 1 is asked for 1 (again) and 2, user 2 for 4."""
    past = [(1, 1, 0.0, "purchase"), (1, 3, 1.0, "purchase"), (2, 3, 1.0, "purchase"), (2, 2, 1.5, "view")]
    future = [
        (1, 1, 9.0, "purchase"),
        (1, 2, 9.0, "purchase"),
        (2, 4, 10.0, "purchase"),
        (2, 1, 10.0, "view"),
    ]
    found = dataset_of([*past, *future], created={4: 0.0})
    names = ["Tea, 20 g", "Tea, 2 x 30 g", "Tea", "Pot, 1 l"]
    return replace(found, item_features=replace(found.item_features, names=names))


def _period(window: int = 3) -> QueryPeriod:
    split = time_split(_small(), 5, positive=("purchase",))
    needs = needs_of(split.folds["all"], types_of(split.train, "type"))
    # product 1 is worth most; of 2 and 3, equal, the higher id comes first; the pot is found by nobody
    tea = SearchMatches(np.array([2, 1, 0]), np.array([50.0, 50.0, 60.0]))
    return QueryPeriod(
        split, needs, {TEA: tea, POT: SearchMatches(np.empty(0, int), np.empty(0))}, np.zeros(4), window
    )


class _Likes:
    """A model that likes the same products of everybody, best first."""

    def __init__(self, *products: int) -> None:
        self.histories: list[list[int]] = []
        self._products = products

    def recommend_from(self, histories, k, *, only):  # type: ignore[no-untyped-def]
        self.histories += [one.products.tolist() for one in histories]
        return self

    def row(self, _: int) -> tuple[np.ndarray, None]:
        return np.array(self._products), None


def test_queries_are_what_was_bought_by_its_kind() -> None:
    period = _period()
    assert [(need.user, need.words, need.right.tolist()) for need in period.needs] == [
        (0, TEA, [0, 1]),
        (1, POT, [3]),
    ]
    assert period.right.tolist() == [[2, 1, 1], [1, 1, 0]]
    assert period.reached.tolist() == [1.0, 0.0]


def test_lists_of_everybody_have_known_values() -> None:
    period = _period()
    marked = for_everybody(period, 0.0)
    assert marked[0, :4].tolist() == [AGAIN, 0, NEW, 0]
    assert not marked[1].any()
    ideal = 1 + 1 / np.log2(3)
    assert values_of(period, marked, "ndcg")[:, 0] == pytest.approx([1.5 / ideal, 0.0])
    assert values_of(period, marked, "ndcg", NEW)[:, 0] == pytest.approx([0.5, 0.0])
    again = values_of(period, marked, "ndcg", AGAIN)[:, 0]
    assert again[0] == 1.0
    assert np.isnan(again[1])  # they had touched nothing of what they bought
    # popularity puts the second tea first
    famous = replace(period, fame=np.array([0.0, 1.0, 0.0, 0.0]))
    assert for_everybody(famous, 1.0)[0, :3].tolist() == [NEW, AGAIN, 0]


def test_a_users_order_changes_the_window_alone() -> None:
    period, likes = _period(), _Likes(2)
    got = for_users(period, likes, 0.0, [0.1, 2.0])  # type: ignore[arg-type]
    assert likes.histories[0] == [1, 3]  # nothing of the test period
    assert got[0.1][0, :3].tolist() == [AGAIN, NEW, 0]  # liked too little to pass what the text says
    assert got[2.0][0, :3].tolist() == [NEW, AGAIN, 0]
    narrow = for_users(_period(window=2), _Likes(2), 0.0, [2.0])  # type: ignore[arg-type]
    assert narrow[2.0][0, :3].tolist() == [AGAIN, 0, NEW]  # product 2 lies behind the window


def test_fame_knows_nothing_of_the_future() -> None:
    split = time_split(_small(), 5, positive=("purchase",))
    fame = fame_of(split.train, {"purchase": 5.0, "view": 1.0}, 90.0)
    assert fame[3] == 0.0  # the pot was bought after the cut only
    assert fame[1] == pytest.approx(ranking.fame(np.log1p(1.0)))


EXPERIMENT = {
    "name": "item_knn",
    "algorithm": "item_knn",
    "parameters": {"neighbours": 20},
    "split": {"test_days": 12},
    "evaluation": {"ks": [5, 10], "primary_k": 10, "draws": 100},
}


def test_a_shop_of_two_groups_is_measured_and_reported(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("training.pipeline.track", lambda _: Tracked("none"))
    fill_shop(name="Product 3")
    outcome = train([Experiment.model_validate(EXPERIMENT)], command="x", actor="tester", steps=Steps())
    assert outcome.document is not None
    assert outcome.page is not None
    assert "recsys train search-quality item_knn-v1" in outcome.page.read_text(encoding="utf-8")
    asked = ["train", "search-quality", "--test-days", "12", "--draws", "200", "--json"]
    assert run(asked) == 2
    assert "recsys search reindex" in capsys.readouterr().err
    assert run(["search", "reindex"]) == 0

    with unit_of_work() as session:
        rows = session.execute(select(ProductSearch.product_id, ProductSearch.popularity)).all()
        kept = {row.product_id: row.popularity for row in rows}
    dataset, features = open_dataset(), get_settings().features
    fame = fame_of(dataset, features.weights, features.half_life_days)
    served = [ranking.fame(kept[one]) for one in dataset.items.ids.tolist()]
    assert fame == pytest.approx(served, abs=1e-5)

    capsys.readouterr()
    assert run(asked) == 0
    [output] = json.loads(capsys.readouterr().out)
    assert (output["model"], output["how"]) == ("item_knn-v1", "refitted")
    assert (output["users"], output["queries"], output["distinct"], output["missed"]) == (60, 60, 1, 0.0)
    ndcg = {one["name"]: one["metrics"]["ndcg"][0]["value"] for one in output["rankings"]}
    assert ndcg["personal"] > ndcg["everybody"] > ndcg["text"]
    against = {(c["a"], c["segment"]): c for c in output["comparisons"]}
    assert against["personal", "all"]["significant"]
    assert len(output["trials"]) == 14

    # again, in place of what was there
    assert run(asked) == 0
    report = EvaluationReport.model_validate_json(outcome.document.read_text(encoding="utf-8"))
    assert [one.model for one in report.search] == ["item_knn-v1"]
    page = outcome.page.read_text(encoding="utf-8")
    assert "is significantly better" in page
    assert "Not measured" not in page
    assert render(report) == page
    if CHROMIUM is None:
        pytest.skip(NO_BROWSER)
    nothing_is_clipped(measure(report, tmp_path, 500, 900))
