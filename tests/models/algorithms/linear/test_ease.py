"""EASE against the inverse taken densely, and the local form against the full one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import History
from models.algorithms.linear.ease import EASE, EASEParameters
from models.algorithms.linear.ease_dual import DualWeights
from models.base import Recommender
from models.ranking import explanations
from models.ranking.filters import RankRequest
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes

DATA = two_tastes()


def dense_weights(ridge: float) -> np.ndarray:
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    inverse = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def test_two_products_by_hand() -> None:
    # both took both: G = [[2, 2], [2, 2]] + 1·I, so each predicts the other by 2 / (2 + 1)
    rows = [(user, item, "purchase", 1.0) for user in (0, 1) for item in (0, 1)]
    model = EASE(EASEParameters(ridge=1.0, values="binary")).fit(dataset(rows, users=2, items=2))
    assert isinstance(model.weights_, np.ndarray), "as many items as users: full"
    np.testing.assert_allclose(model.weights_, [[0.0, 2 / 3], [2 / 3, 0.0]], atol=1e-6)


@pytest.mark.parametrize("dual_below", [0, 100])
def test_fold_in_is_the_closed_form(dual_below: int) -> None:
    model = EASE(EASEParameters(ridge=5.0, dual_below=dual_below)).fit(DATA)
    columns, given = np.array([0, 2, 11]), np.array([1.0, 4.0, 0.3])
    products, scores = model.recommend_from(
        [History.of(DATA.items.ids[columns], given)], len(DATA.items)
    ).row(0)
    expected = np.log1p(given) @ dense_weights(5.0)[columns]
    np.testing.assert_allclose(scores, expected[DATA.items.index(products)], atol=1e-5)


@pytest.mark.parametrize("ridge", [0.3, 5.0, 200.0])
def test_dual_is_full(ridge: float) -> None:
    full = EASE(EASEParameters(ridge=ridge, dual_below=0)).fit(DATA)
    dual = EASE(EASEParameters(ridge=ridge)).fit(DATA)
    assert isinstance(full.weights_, np.ndarray)
    assert isinstance(dual.weights_, DualWeights)
    n = len(DATA.items)
    everything = np.arange(n)
    np.testing.assert_allclose(dual.weights_.between(everything, everything), full.weights_, atol=1e-5)
    rows = np.empty((n, n), dtype=np.float32)
    dual.weights_.rows(everything, rows)
    np.testing.assert_allclose(rows, full.weights_, atol=1e-5)
    left, right = (np.empty((len(DATA.users), n), dtype=np.float32) for _ in range(2))
    for model, out in ((full, left), (dual, right)):
        model._score(DATA.matrix, np.arange(len(DATA.users)), out)
    np.testing.assert_allclose(left, right, atol=1e-5 * np.abs(left).max())


def test_an_own_half_life_reaches_fit_and_fold_in() -> None:
    other = replace(DATA, weights=replace(DATA.weights, half_life_days=20.0))
    for bound in (0, 100):
        expected = EASE(EASEParameters(ridge=5.0, dual_below=bound)).fit(other)
        model = EASE(EASEParameters(ridge=5.0, dual_below=bound, half_life_days=20.0)).fit(DATA)
        left, right = (found.recommend(DATA.users.ids, 8) for found in (expected, model))
        np.testing.assert_allclose(left.scores, right.scores, atol=1e-5)
        events = DATA.events.take(DATA.events.user == 3)
        weights = DATA.weights.weigh(events.kind, events.value, events.time, DATA.moment)
        history = History(DATA.items.ids[events.item], weights, events.time)
        folded = model.recommend_from([history], 8)
        np.testing.assert_allclose(folded.scores[0], right.scores[3], atol=1e-5)


def test_local_with_every_candidate_is_the_ridge_regression_on_them() -> None:
    local = EASE(EASEParameters(ridge=5.0, full_below=0, dual_below=0, candidates=1000)).fit(DATA)
    assert sparse.issparse(local.weights_)
    # items that share no user with an item are no candidates of it: there the full solution differs
    gram = (DATA.matrix.T @ DATA.matrix).toarray()
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    for j in range(len(DATA.items)):
        near = np.flatnonzero((gram[:, j] > 0) & (np.arange(len(DATA.items)) != j))
        expected = np.zeros(len(DATA.items))
        if near.size:
            part = x[:, near]
            expected[near] = np.linalg.solve(part.T @ part + 5.0 * np.eye(near.size), part.T @ x[:, j])
        np.testing.assert_allclose(local.weights_[:, [j]].toarray().ravel(), expected, atol=1e-5)


def test_the_form_is_chosen_by_size_and_says_why(tmp_path: Path) -> None:
    users, items = len(DATA.users), len(DATA.items)
    assert users < items
    chosen = {
        "dual": EASEParameters(full_below=items, dual_below=users),
        "full": EASEParameters(full_below=items, dual_below=users - 1),
        "local": EASEParameters(full_below=items - 1, dual_below=users - 1),
    }
    for form, parameters in chosen.items():
        model = EASE(parameters).fit(DATA)
        assert model.reason_.startswith(form)
        assert f"{users} users, {items} items" in model.reason_
        model.save(tmp_path / form)
        loaded = EASE.load(tmp_path / form)
        assert loaded.reason_ == model.reason_
        left, right = (found.recommend(DATA.users.ids, 5) for found in (model, loaded))
        np.testing.assert_array_equal(left.scores, right.scores)


@pytest.mark.parametrize(
    "wrong", [{"ridge": 0.0}, {"full_below": -1}, {"dual_below": -1}, {"candidates": 0}, {"values": "x"}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        EASEParameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("dual_below", [0, 100])
def test_reasons_for_many_users_are_those_of_each(dual_below: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = EASE(EASEParameters(ridge=5.0, dual_below=dual_below)).fit(DATA)
    assert isinstance(model.weights_, DualWeights) == (dual_below > 0)
    ranking = model.recommend(DATA.users.ids, 12)
    guests = [History.of(DATA.items.ids[[0, 4, 8]], [1.0, 0.0, 2.0]), History.of([])]
    folded = model.recommend_from(guests, 12)
    prepared, folded_evidence = model.evidence(ranking), model.evidence(folded, guests)
    assert (prepared >= 0).any()
    assert (folded_evidence >= 0).any()
    for room in (1, 4 * len(DATA.users) * 20):  # a user at a time; a few
        monkeypatch.setattr(explanations, "PREPARED_BYTES", room)
        np.testing.assert_array_equal(model.evidence(ranking), prepared)
    monkeypatch.setattr(EASE, "_reasons_for", Recommender._reasons_for)
    np.testing.assert_array_equal(model.evidence(ranking), prepared)
    np.testing.assert_array_equal(model.evidence(folded, guests), folded_evidence)


def test_prepared_parts_are_the_contributions() -> None:
    model = EASE(EASEParameters(ridge=5.0, dual_below=100)).fit(DATA)
    listed = np.arange(1, len(DATA.items), 2)
    reasons = model._reasons_for(listed)
    for row in range(5):
        request = RankRequest.one(model.history_, row)
        wanted = listed[[7, 2, 11]]
        for found, expected in zip(reasons(request, wanted), model._reasons(request, wanted), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-6)
