"""Summaries, pooled periods and the verdict on two models, with a planted tie and a planted worse model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.dataset import Dataset
from models import factory
from recsys.errors import Invalid
from tests.training.shops import dataset_of, purchases
from training.evaluation.compare import Duel, compare_evaluations, pooled
from training.evaluation.evaluator import Evaluation, ViewResult, evaluate
from training.evaluation.split_plan import SplitPlan, make_splits
from training.evaluation.splits import Split, time_split
from training.evaluation.summary import HIGHER_IS_BETTER, LABELS, lorenz, plain, summarise

KS = (1, 5, 10)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return dataset_of([(u, p, day, "purchase") for u, p, day in purchases()])


@pytest.fixture(scope="module")
def split(data: Dataset) -> Split:
    return time_split(data, 12)


@pytest.fixture(scope="module")
def knn(split: Split) -> Evaluation:
    return evaluate(factory.create("item_knn", {"neighbours": 20}).fit(split.train), split, KS)


def _duel(a: Evaluation, b: Evaluation) -> Duel:
    return compare_evaluations("a", a, "b", b, metric="ndcg", view="all", k=5, draws=2000, seed=1)


def _noisy(evaluation: Evaluation, shift: float) -> Evaluation:
    """The same figures, moved by `shift` and by noise that is the luck of each user."""
    noise = np.random.default_rng(5).normal(0, 0.05, evaluation.views["all"].users.size)
    noise -= noise.mean()

    def moved(result: ViewResult) -> ViewResult:
        values = result.values["ndcg"] + (shift + noise[: result.users.size])[:, None]
        return replace(result, values={**result.values, "ndcg": values})

    return replace(evaluation, views={view: moved(one) for view, one in evaluation.views.items()})


def test_a_planted_tie_is_called_a_tie(knn: Evaluation) -> None:
    same = _duel(knn, knn)
    assert same.verdict == "tie"
    assert "the same" in same.words
    assert {row.better for row in same.rows} == {"tie"}
    luck = _duel(knn, _noisy(knn, 0.0))
    assert luck.verdict == "tie"
    assert luck.primary.smallest is not None
    assert luck.primary.smallest > 0
    assert f"{luck.primary.smallest:.4f}" in luck.words


def test_a_planted_worse_model_is_detected(knn: Evaluation) -> None:
    worse = _duel(knn, _noisy(knn, -0.1))
    assert worse.verdict == "a"
    assert worse.words.startswith("a is better than b by 0.1000")
    duel = _duel(_noisy(knn, -0.1), knn)
    assert duel.verdict == "b"
    row = next(row for row in duel.rows if row.metric == "ndcg" and row.view == "all")
    assert row.better == "b"
    assert row.difference < 0
    assert row.low <= row.difference <= row.high
    assert row.p_value >= duel.primary.p_value  # adjusted for all rows
    assert all(row.better in ("tie", "different") for row in duel.rows if row.metric == "novelty")


def test_other_users_and_senseless_questions_are_refused(data: Dataset, knn: Evaluation) -> None:
    other = time_split(data, 5)
    elsewhere = evaluate(factory.create("popularity").fit(other.train), other, KS)
    for view in elsewhere.views:
        assert elsewhere.views[view].users.size != knn.views[view].users.size
    with pytest.raises(Invalid, match="same users"):
        _duel(knn, elsewhere)
    for metric, k, message in (
        ("novelty", 5, "no better direction"),
        ("speed", 5, "known:"),
        ("ndcg", 7, "k is 7"),
    ):
        with pytest.raises(Invalid, match=message):
            compare_evaluations(
                "a", knn, "b", _noisy_novelty(knn), metric=metric, view="all", k=k, draws=100, seed=0
            )


def _noisy_novelty(evaluation: Evaluation) -> Evaluation:
    one = evaluation.views["all"]
    moved = replace(one, quality={**one.quality, "novelty": one.quality["novelty"] + 1.0})
    return replace(evaluation, views={**evaluation.views, "all": moved})


def test_summaries_say_for_how_many_users(knn: Evaluation) -> None:
    found = summarise(knn.views["all"], KS, draws=200, seed=0)
    users = knn.views["all"].users.size
    assert set(found) <= set(LABELS)
    assert set(LABELS) == set(HIGHER_IS_BETTER)
    assert {"ndcg", "novelty", "coverage", "gini"} <= set(found)
    shown = [len(set(knn.views["all"].products[:, :k].ravel().tolist()) - {-1}) for k in KS]
    catalogue = knn.views["all"].exposure.shape[1]
    assert [figure.value for figure in found["coverage"]] == pytest.approx([n / catalogue for n in shown])
    for figures in found.values():
        assert [figure.k for figure in figures] == list(KS)
    assert found["ndcg"][1].value == pytest.approx(knn.views["all"].values["ndcg"][:, 1].mean())
    assert all(figure.low <= figure.value <= figure.high for figure in found["ndcg"])
    first, second = found["diversity_content"][:2]
    assert first.users == 0  # a list of one has no pair
    assert plain(first)["value"] is None
    assert second.users == users
    assert second.low <= second.value <= second.high


def test_the_exposure_curve_rises_below_the_diagonal(knn: Evaluation) -> None:
    x, y = lorenz(knn.views["all"], KS, 10)
    assert (x[0], y[0]) == (0, 0)
    assert (x[-1], y[-1]) == pytest.approx((1, 1))
    assert (np.diff(y) >= -1e-12).all()
    assert (y <= x + 1e-9).all()
    area = float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())
    assert 1 - 2 * area == pytest.approx(knn.views["all"].totals["gini"][2], abs=0.06)


def test_pooled_periods_count_each_user_once(data: Dataset) -> None:
    splits = make_splits("rolling", data, SplitPlan(test_days=8, folds=3))
    every = [evaluate(factory.create("popularity").fit(one.train), one, KS) for one in splits]
    together = pooled(every).views["all"]
    everyone = np.unique(np.concatenate([one.views["all"].users for one in every]))
    assert together.users.tolist() == everyone.tolist()
    user = int(everyone[7])
    mine = [
        one.views["all"].values["recall"][one.views["all"].users == user][0]
        for one in every
        if user in one.views["all"].users
    ]
    assert together.values["recall"][7] == pytest.approx(np.mean(mine, axis=0))
    assert together.products[7].tolist() == (
        [one.views["all"] for one in every if user in one.views["all"].users][-1]
        .products[[one.views["all"] for one in every if user in one.views["all"].users][-1].users == user][0]
        .tolist()
    )
    assert pooled(every[:1]) is every[0]
