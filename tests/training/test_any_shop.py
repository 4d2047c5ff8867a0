"""Any shop trains: few days, one purchase each, a late event, no usable times; few users decide nothing."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import insert

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.domains.recommendations.tables import UserInteraction
from tests.support.shop import Shop
from tests.training.shops import ITEMS, START, USERS, fill_shop
from training.experiment import load_all
from training.pipeline import train
from training.progress import Steps
from training.report.document import EvaluationReport
from training.tracking.runs import Tracked

Row = tuple[int, int, str, float]
RNG = np.random.default_rng(5)


def visits(days: float, *, since: float = 0.0) -> list[Row]:
    """Each user looks at twenty products of its own half and buys every fifth of them."""
    rows: list[Row] = []
    for user in range(1, USERS + 1):
        for place, day in enumerate(np.sort(RNG.uniform(since, since + days, 20)).tolist()):
            product = int(2 * RNG.integers(0, ITEMS // 2) + user % 2 + 1)
            rows.append((user, product, "view", day))
            if place % 5 == 0:
                rows.append((user, product, "purchase", day + 0.01))
    return rows


ONCE: list[Row] = [(user, user % ITEMS + 1, "purchase", 1.5 * user) for user in range(1, USERS + 1)]
SHOPS: dict[str, tuple[list[Row], float, str]] = {
    "three weeks": (visits(21), 7, "next"),
    "one day": (visits(1), 0.25, "next"),
    "one late event": ([*visits(100), (1, 1, "view", 900.0)], 28, "next"),
    "a gap of months": ([*visits(60), *visits(20, since=240)], 20, "next"),
    "one purchase each": (ONCE, 0, "window"),
    "no usable times": ([(user, product, word, 3.0) for user, product, word, _ in visits(9)], 0, "window"),
}
"""Rows, days of the test period (0: no test), protocol."""


@pytest.mark.parametrize("name", list(SHOPS))
def test_every_shop_gets_models_a_report_and_a_model_that_serves(
    name: str, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.pipeline.track", lambda runs: Tracked("none"))
    rows, days, protocol = SHOPS[name]
    _fill(rows)
    outcome = train(load_all(["item_knn", "popularity"]), command="", actor="tester", steps=Steps())
    report = outcome.report
    assert report is not None
    assert outcome.active == "popularity-v1"
    assert report.verdict.promoted == "popularity-v1"
    assert report.data.test_days <= days
    assert (report.data.test_days > 0) == (days > 0) == (not report.data.problem)
    assert report.data.protocol == protocol
    assert report.data.target == ["purchase"]
    _says_what_it_could_judge(report)
    with unit_of_work() as session:
        for model in registry.list_models(session):
            assert registry.load(model).recommend([1], 5).products.shape == (1, 5)
            assert (model.parameters["metrics"] == {}) == bool(report.data.problem)
    assert outcome.page is not None
    text = outcome.page.read_text()
    assert ("No test was possible" in text) == bool(report.data.problem)
    assert report.data.target_reason in text

    _add([(2, 3, "purchase", max(row[3] for row in rows) + 0.1)])
    again = train(load_all(["item_knn"]), command="", actor="tester", steps=Steps(), rebuild=True)
    assert again.active == "popularity-v1"  # what cannot be judged replaces nothing


def _says_what_it_could_judge(report: EvaluationReport) -> None:
    if report.data.problem:
        assert report.verdict.reason.startswith("no test was possible: ")
        assert report.data.test_users["total"] == 0
    else:
        users = report.data.test_users["kept"]
        assert 10 <= users < 100
        assert f"the test has {users} users, fewer than the 100 that decide" in report.verdict.reason
        assert "80% power" in report.verdict.reason


def _fill(rows: list[Row]) -> None:
    fill_shop(rows=[])
    _add(rows)


def _add(rows: list[Row]) -> None:
    with unit_of_work() as session:
        session.execute(
            insert(UserInteraction),
            [
                {
                    "user_id": user,
                    "product_id": product,
                    "interaction_type": word,
                    "created_at": START + timedelta(days=day),
                }
                for user, product, word, day in rows
            ],
        )
