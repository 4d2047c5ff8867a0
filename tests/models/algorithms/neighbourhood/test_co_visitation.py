"""Directed co-visitation: transitions by hand, order, guests, and fold-in by the times of a history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.dataset import Dataset
from features.interactions import History, InteractionWeights
from models.algorithms.neighbourhood.co_visitation import CoVisitation, CoVisitationParameters
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes

PLAIN = CoVisitationParameters(
    window=2, distance_decay=0.5, reverse=0.25, source_power=0.0, target_power=0.0, history_decay=0.5
)
ONES = InteractionWeights({"view": 1.0}, half_life_days=1e9)


def shop(rows: list[tuple[int, int, str, float]], items: int = 4) -> Dataset:
    return dataset(rows, users=2, items=items, weights=ONES)


def walk(user: int, *items: int) -> list[tuple[int, int, str, float]]:
    return [(user, item, "view", float(100 - place)) for place, item in enumerate(items)]


def test_transitions_by_hand() -> None:
    found = CoVisitation(PLAIN).fit(shop(walk(0, 0, 1, 2, 3))).weights_.toarray()
    expected = [
        [0.0, 1.0, 0.5, 0.0],
        [0.25, 0.0, 1.0, 0.5],
        [0.125, 0.25, 0.0, 1.0],
        [0.0, 0.125, 0.25, 0.0],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_doing_it_again_counts_where_repeats_do() -> None:
    rows = [(0, 0, "view", 9.0), (0, 1, "view", 9.0), (0, 0, "view", 8.0)]
    data = shop(rows)
    without = CoVisitation(PLAIN).fit(data).weights_.toarray()
    found = CoVisitation(replace(PLAIN, repeats=True)).fit(data).weights_.toarray()
    # forth and back between the two views of product 0; product 1 met only itself, at one moment
    np.testing.assert_allclose(np.diag(found), [1.25, 0.0, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(np.diag(without), 0.0)
    np.testing.assert_allclose(found - np.diag(np.diag(found)), without, atol=1e-6)


def test_popular_ends_are_turned_down() -> None:
    chosen = replace(PLAIN, source_power=0.5, target_power=0.25)
    rows = walk(0, 0, 1) + walk(1, 0, 2)
    found = CoVisitation(chosen).fit(shop(rows)).weights_.toarray()
    np.testing.assert_allclose(found[0, 1], 1.0 * 2**-0.5, atol=1e-6)
    np.testing.assert_allclose(found[1, 0], 0.25 * 2**-0.25, atol=1e-6)


def test_one_moment_has_no_order() -> None:
    rows = [(0, 2, "view", 5.0), (0, 0, "view", 5.0), (0, 1, "view", 4.0)]
    found = CoVisitation(PLAIN).fit(shop(rows)).weights_.toarray()
    assert found[0, 2] == found[2, 0] == pytest.approx((1 + 0.25) / 2)
    assert found[0, 1] == found[2, 1] == pytest.approx(1.0)


def test_users_and_guests_do_not_run_into_each_other() -> None:
    data = shop([*walk(0, 0, 1), *walk(1, 2), *walk(-1, 3)])
    sessions = np.where(data.events.user < 0, 77, 0)
    guests = replace(data, events=replace(data.events, session=sessions))
    found = CoVisitation(PLAIN).fit(guests).weights_.toarray()
    assert set(zip(*np.nonzero(found), strict=True)) == {(0, 1), (1, 0)}


def test_a_guests_session_teaches() -> None:
    data = shop([*walk(-1, 0, 1), *walk(0, 2, 3)])
    sessions = np.where(data.events.user < 0, 77, 0)
    found = CoVisitation(PLAIN).fit(replace(data, events=replace(data.events, session=sessions))).weights_
    assert found[0, 1] == pytest.approx(1.0)


def test_the_last_step_counts_most() -> None:
    model = CoVisitation(PLAIN).fit(shop(walk(0, 0, 1, 2, 3)))
    history = History(model.items_.ids[[0, 1]], np.ones(2, np.float32), np.array([5, 9]))
    products, scores = model.recommend_from([history], 4).row(0)
    w = model.weights_.toarray()
    expected = 0.5 * w[0] + 1.0 * w[1]
    np.testing.assert_allclose(scores, expected[model.items_.index(products)], atol=1e-5)
    turned = History(history.products, history.weights, history.times[::-1].copy())
    other = model.recommend_from([turned], 4)
    np.testing.assert_allclose(
        other.scores[0, :3], np.sort((w[0] + 0.5 * w[1])[w[0] + 0.5 * w[1] > 0])[::-1][:3], atol=1e-5
    )


def test_fold_in_gives_what_a_known_user_gets() -> None:
    data = two_tastes()
    model = CoVisitation().fit(data)
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
        {"window": 0},
        {"distance_decay": 2.0},
        {"reverse": -0.1},
        {"history_decay": 0.0},
        {"neighbours": 0},
        {"repeats": 1},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        CoVisitationParameters(**wrong)  # type: ignore[arg-type]
