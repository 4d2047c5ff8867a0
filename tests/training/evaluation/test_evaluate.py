"""Evaluation against brute force, and the calibration learned from its lists."""

from __future__ import annotations

import numpy as np
import pytest

from models import factory
from tests.training.shops import dataset_of, purchases
from training.evaluation.evaluate import evaluate
from training.evaluation.splits import Split, time_split
from training.fitting import calibrate

KS = (1, 5, 10)


@pytest.fixture(scope="module")
def split() -> Split:
    return time_split(dataset_of([(u, p, day, "purchase") for u, p, day in purchases()]), 12)


def test_every_user_is_ranked_over_the_whole_catalogue(split: Split) -> None:
    model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
    heard: list[int] = []
    evaluation = evaluate(model, split, KS, advance=heard.append)
    assert sum(heard) == sum(fold.users.size for fold in split.folds.values())
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


def test_calibrated_scores_are_the_share_taken_up(split: Split) -> None:
    model = factory.create("item_knn", {"neighbours": 20}).fit(split.train)
    evaluation = evaluate(model, split, KS)
    calibration = calibrate(evaluation)
    every, fresh = evaluation.views["all"], evaluation.views["new"]
    pairs = {
        (int(user), int(product)): (float(score), bool(hit))
        for result in (every, fresh)
        for user, products, scores, hits in zip(
            result.users, result.products, result.scores, result.hits, strict=True
        )
        for product, score, hit in zip(products, scores, hits, strict=True)
        if product >= 0
    }
    scores = np.array([score for score, _ in pairs.values()], dtype=np.float32)
    taken = np.array([hit for _, hit in pairs.values()])
    chances = calibration(scores)
    assert ((chances >= 0) & (chances <= 1)).all()
    # isotonic regression keeps the mean; a pair counted twice would shift it
    assert chances.mean() == pytest.approx(taken.mean(), abs=1e-6)
    order = np.argsort(scores)
    assert (np.diff(chances[order]) >= -1e-7).all()
