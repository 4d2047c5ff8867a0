"""Evaluation against brute force, and the calibration learned from its lists."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models import factory
from tests.training.shops import dataset_of, purchases
from training.evaluation import evaluator
from training.evaluation.evaluator import evaluate
from training.evaluation.splits import Split, View, time_split
from training.fit import calibration as fit_calibration
from training.fit.calibration import calibrate, outcomes

KS = (1, 5, 10)


@pytest.fixture(scope="module")
def split() -> Split:
    return time_split(dataset_of([(u, p, day, "purchase") for u, p, day in purchases()]), 12)


def test_every_user_is_ranked_over_the_whole_catalogue(split: Split) -> None:
    model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
    steps: list[int] = []
    evaluation = evaluate(model, split, KS, advance=steps.append)
    assert sum(steps) == sum(fold.users.size for fold in split.folds.values())
    for view, fold in split.folds.items():
        result = evaluation.views[view]
        for i, user in enumerate(fold.users.tolist()):
            answer = model.recommend([user], 10, exclude="seen" if view == "new" else None).products[0]
            right = set(split.train.items.ids[fold.relevant[[i]].indices].tolist())
            found = [int(product) in right for product in answer]
            assert result.hits[i].tolist() == found
            assert result.values["recall"][i, 2] == pytest.approx(sum(found) / len(right))


def test_the_view_new_never_shows_what_was_touched(split: Split) -> None:
    model = factory.create("popularity").fit(split.train)
    result = evaluate(model, split, KS).views["new"]
    rows = split.train.users.index(result.users)
    columns = split.train.items.index(result.products)
    touched = split.train.touched[rows].toarray() > 0
    shown = columns >= 0
    assert not touched[np.nonzero(shown)[0], columns[shown]].any()


@pytest.mark.parametrize("algorithm", ["popularity", "item_knn", "ease", "als", "tifu_knn"])
def test_both_views_have_the_lists_that_the_model_makes_for_each(split: Split, algorithm: str) -> None:
    model = factory.create(algorithm).fit(split.train)
    evaluation = evaluate(model, split, KS)
    for view, exclude in (("all", None), ("new", "seen")):
        result = evaluation.views[view]
        lists = model.recommend(result.users, max(KS), exclude=exclude, only=split.only)
        assert (result.products == lists.products).all()
        assert result.scores == pytest.approx(lists.scores, rel=1e-6, abs=1e-6)


def test_waiting_is_no_scoring_time(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work on the machine holds no model: only a processor's time of this process counts."""
    used = itertools.count(step=2.0)
    monkeypatch.setattr(evaluator, "process_time", lambda: next(used))
    result = evaluate(factory.create("popularity").fit(split.train), split, KS)
    batches = -(-max(fold.users.size for fold in split.folds.values()) // evaluator.BATCH)
    assert sum(each.seconds for each in result.views.values()) == 2.0 * batches


@pytest.mark.parametrize("view", ["all", "new"])
def test_calibrated_scores_are_the_share_that_all_active_users_take_up(split: Split, view: View) -> None:
    model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
    found = outcomes(model, evaluate(model, split, KS), split, seed=0)[view]
    fold = split.folds[view]
    # brute force: everybody with a past has a list, and what is not asked for in the test was not taken
    pairs = {}
    for user in split.train.users.ids.tolist():
        row = np.flatnonzero(fold.users == user)
        right = set(split.train.items.ids[fold.relevant[row].indices].tolist())
        answer = model.recommend([user], 10, exclude="seen" if view == "new" else None)
        for product, score in zip(*answer.row(0), strict=True):
            pairs[user, float(score), int(product)] = int(product) in right
    assert sorted(zip(found.users.tolist(), found.scores.tolist(), found.taken.tolist(), strict=True)) == (
        sorted((user, score, taken) for (user, score, _), taken in pairs.items())
    )
    assert (found.weights == 1).all()
    calibration = calibrate(found)
    chances = calibration(found.scores)
    assert ((chances > 0) & (chances < 1)).all()
    assert chances.mean() == pytest.approx(found.taken.mean(), rel=0.05)


def test_a_sample_of_the_idle_stands_for_all_of_them(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = factory.create("popularity").fit(split.train)
    evaluation = evaluate(model, split, KS)
    everybody = outcomes(model, evaluation, split, seed=0)["new"]
    idle = np.unique(everybody.users).size - evaluation.views["new"].users.size
    assert idle > 2
    monkeypatch.setattr(fit_calibration, "IDLE", 2)
    sampled = outcomes(model, evaluation, split, seed=0)["new"]
    assert np.unique(sampled.users).size == evaluation.views["new"].users.size + 2
    assert np.unique(sampled.weights).tolist() == [1.0, idle / 2]
