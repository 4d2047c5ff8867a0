"""TALE: the closed form against a dense one, time, and fold-in by the times of a history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from features.dataset import Dataset
from features.interactions import History, InteractionWeights
from models.algorithms.linear.tale import TALE, TALEParameters
from models.algorithms.shared.ridge import ridge_columns
from recsys.errors import Invalid
from tests.models.data import Row, dataset, two_tastes

PLAIN = TALEParameters(ridge=2.0, window=3, fade_days=2.0, floor=0.1, attributes=0.0, history_decay=0.5)
ONES = InteractionWeights({"view": 1.0}, half_life_days=1e9)


def shop(rows: list[Row], items: int = 4) -> Dataset:
    return dataset(rows, users=3, items=items, weights=ONES)


def test_one_pair_by_hand() -> None:
    rows = [(0, 0, "view", 9.0), (0, 1, "view", 8.0)]
    found = TALE(PLAIN).fit(shop(rows)).weights_.toarray()
    s = np.exp(-0.5)
    assert found[0, 1] == pytest.approx(s / (s * s + 2.0))
    assert np.count_nonzero(found) == 1


def test_what_is_taken_again_is_predicted_by_itself() -> None:
    rows = [(0, 0, "view", 9.0), (0, 0, "view", 8.0)]
    assert TALE(PLAIN).fit(shop(rows)).weights_[0, 0] > 0


def test_long_ago_counts_the_floor() -> None:
    rows = [(0, 0, "view", 900.0), (0, 1, "view", 1.0)]
    found = TALE(PLAIN).fit(shop(rows)).weights_
    assert found[0, 1] == pytest.approx(0.1 / (0.01 + 2.0))


@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.just("view"), st.integers(0, 9).map(float)),
        min_size=1,
        max_size=25,
    ),
    power=st.sampled_from([0.0, 0.5]),
)
def test_each_column_is_the_ridge_regression_on_what_came_before(events: list[Row], power: float) -> None:
    data = shop(events)
    chosen = replace(PLAIN, source_power=power, target_power=power / 2)
    found = TALE(chosen).fit(data).weights_.toarray()
    count = np.zeros(4)
    before, after = [], []
    for user in range(3):
        mine = data.events.take(data.events.user == user)
        moments = np.unique(mine.time)
        done = [np.isin(np.arange(4), mine.item[mine.time == moment]) for moment in moments]
        count += np.sum(done, axis=0) if done else 0
        for place, moment in enumerate(moments):
            row = np.zeros(4)
            for earlier in range(max(0, place - 3), place):
                days = (moment - moments[earlier]) / 86_400e6
                row += max(np.exp(-days / 2.0), 0.1) * done[earlier]
            before.append(row)
            after.append(done[place].astype(float))
    n = np.maximum(count, 1.0)
    s, t = np.array(before) * n**-power, np.array(after) * n ** -(power / 2)
    for j in range(4):
        near = np.flatnonzero(s.T @ t[:, j] > 0)
        expected = np.zeros(4)
        gram = s[:, near].T @ s[:, near] + 2.0 * np.eye(near.size)
        expected[near] = np.linalg.solve(gram, s[:, near].T @ t[:, j])
        np.testing.assert_allclose(found[:, j], expected, atol=1e-5)


def test_products_computed_once_or_per_column_give_the_same() -> None:
    rng = np.random.default_rng(3)
    sources = sparse.random(30, 50, 0.2, format="csr", dtype=np.float32, random_state=rng)
    targets = sparse.random(12, 50, 0.2, format="csr", dtype=np.float32, random_state=rng)
    near = sparse.random(12, 30, 0.3, format="csr", dtype=np.float32, random_state=rng)
    once = ridge_columns(near, sources, targets, 0.5)
    each = ridge_columns(near, sources, targets, 0.5, gram_below=0)
    np.testing.assert_allclose(once.toarray(), each.toarray(), atol=1e-5)


def test_attributes_speak_for_an_item_whose_own_pairs_are_unknown() -> None:
    # tea is followed by product 1; product 2 is tea that nobody went on from, product 3 is a tool
    rows = [(0, 0, "view", 9.0), (0, 1, "view", 8.0), (1, 2, "view", 9.0), (2, 3, "view", 9.0)]
    data = shop(rows)
    assert TALE(PLAIN).fit(data).weights_[2].nnz == 0
    found = TALE(replace(PLAIN, attributes=0.5)).fit(data).weights_.toarray()
    assert found[2, 1] > 0
    assert found[0, 1] > found[2, 1]
    assert found[2, 1] > found[3, 1]


def test_fold_in_gives_what_a_known_user_gets() -> None:
    data = two_tastes()
    model = TALE().fit(data)
    events, histories = data.events, []
    for row in range(len(data.users)):
        mine = events.take(events.user == row)
        weights = data.weights.weigh(mine.kind, mine.value, mine.time, data.moment)
        histories.append(History(data.items.ids[mine.item], weights, mine.time))
    known, folded = model.recommend(data.users.ids, 10), model.recommend_from(histories, 10)
    np.testing.assert_array_equal(known.products, folded.products)
    np.testing.assert_allclose(known.scores, folded.scores, rtol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ridge": 0.0},
        {"window": 0},
        {"fade_days": 0.0},
        {"floor": -0.1},
        {"source_power": 2.0},
        {"target_power": -1.0},
        {"attributes": -1.0},
        {"candidates": 0},
        {"neighbours": 0},
        {"values": "square"},
        {"history_decay": 0.0},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        TALEParameters(**wrong)  # type: ignore[arg-type]
