"""Bought together: lifts, support and significance by hand, and what makes a basket."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from features.dataset import Dataset
from features.interactions import History, InteractionWeights
from models.algorithms.neighbourhood import bought_together
from models.algorithms.neighbourhood.bought_together import BoughtTogether, BoughtTogetherParameters
from recsys.errors import Invalid
from tests.models.data import Row, dataset, two_tastes

DATA = two_tastes()
ONES = InteractionWeights({"purchase": 1.0, "view": 1.0}, half_life_days=1e9)
LENIENT = BoughtTogetherParameters(min_support=1, threshold=0.0, shrinkage=1e-9)


def shop(baskets: list[tuple[int, ...]], word: str = "purchase", *, sessions: bool = False) -> Dataset:
    """A user's baskets, one a day; with `sessions` each product a minute later, in one session."""
    rows: list[Row] = []
    for day, basket in enumerate(baskets):
        rows += [
            (0, item, word, len(baskets) - day - sessions * place / 1440) for place, item in enumerate(basket)
        ]
    data = dataset(rows, users=1, items=6, weights=ONES)
    if not sessions:
        return data
    session = np.floor((data.moment - data.events.time) / 86_400e6 + 0.5).astype(np.int64)
    return replace(data, events=replace(data.events, session=session))


BASKETS = [(0, 1), (0, 1), (0, 1, 2), (2, 3), (2, 3), (0, 4), (4, 5), (4, 5, 3)]


@pytest.mark.parametrize("sessions", [False, True])
def test_lifts_by_hand(sessions: bool) -> None:
    model = BoughtTogether(LENIENT).fit(shop(BASKETS, sessions=sessions))
    assert model.baskets_ == 8
    found = np.exp(model.weights_.toarray())
    # n0 = 4, n1 = 3, n01 = 3 of 8 baskets; n4 = 3, n5 = 2, n45 = 2
    assert found[0, 1] == pytest.approx(3 * 8 / (4 * 3))
    assert found[4, 5] == pytest.approx(2 * 8 / (3 * 2))
    assert model.weights_[0, 2] == 0, "found once, expected 1.5 times: less than chance"
    np.testing.assert_allclose(found, found.T)


def test_shrinkage_draws_to_one() -> None:
    model = BoughtTogether(replace(LENIENT, shrinkage=2.0)).fit(shop(BASKETS))
    assert np.exp(model.weights_[0, 1]) == pytest.approx((3 + 2) / (4 * 3 / 8 + 2))


def test_support_and_significance_are_required() -> None:
    supported = BoughtTogether(replace(LENIENT, min_support=3)).fit(shop(BASKETS)).weights_
    assert supported.nnz == 2
    assert supported[0, 1] > 0
    both = np.array([[3, 1], [0, 4]])
    surprise = stats.chi2_contingency(both, correction=False, lambda_="log-likelihood").statistic
    for threshold, kept in ((surprise - 1e-6, True), (surprise + 1e-6, False)):
        weights = BoughtTogether(replace(LENIENT, threshold=threshold)).fit(shop(BASKETS)).weights_
        assert (weights[0, 1] > 0) == kept


def test_surprise_is_the_g_test() -> None:
    chance = np.random.default_rng(3)
    tables = chance.integers(1, 50, size=(20, 2, 2)).astype(np.float64)
    tables[0, 0, 1] = 0.0
    both, left, right = tables[:, 0, 0], tables[:, 0].sum(axis=1), tables[:, :, 0].sum(axis=1)
    for i, table in enumerate(tables):
        expected = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
        found = bought_together._surprise(
            both[i : i + 1], left[i : i + 1], right[i : i + 1], float(table.sum())
        )
        assert found[0] == pytest.approx(expected)


def test_a_basket_too_large_is_no_choice() -> None:
    model = BoughtTogether(replace(LENIENT, largest_basket=2)).fit(shop(BASKETS))
    assert model.baskets_ == 6


def test_what_makes_a_basket() -> None:
    bought, viewed = shop(BASKETS), shop(BASKETS, "view")
    alone = dataset(
        [(user, item, "view", float(item)) for user in (0, 1) for item in (0, 1)],
        users=2,
        items=3,
        weights=ONES,
    )
    assert "purchases" in BoughtTogether(LENIENT).fit(bought).reason_
    assert "anything" in BoughtTogether(LENIENT).fit(viewed).reason_
    fallen_back = BoughtTogether(LENIENT).fit(alone)
    assert fallen_back.baskets_ == 2
    assert "all that a user did" in fallen_back.reason_


def test_guests_baskets_count_by_session_alone() -> None:
    rows: list[Row] = [(-1, item, "purchase", age) for item, age in ((0, 1.0), (1, 2.0), (2, 1.0), (3, 2.0))]
    data = dataset([*rows, (0, 4, "purchase", 9.0)], users=1, items=6, weights=ONES)
    session = np.where(data.events.item < 2, 11, 12).astype(np.int64) * (data.events.user < 0)
    data = replace(data, events=replace(data.events, session=session))
    found = BoughtTogether(LENIENT).fit(data).weights_
    assert found.nnz == 4
    assert found[0, 1] > 0
    assert found[2, 3] > 0
    nameless = replace(data, events=replace(data.events, session=np.zeros_like(session)))
    assert BoughtTogether(LENIENT).fit(nameless).weights_.nnz == 0


def test_blocks_and_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = BoughtTogetherParameters(min_support=1, threshold=0.0, neighbours=3)
    whole = BoughtTogether(chosen).fit(DATA).weights_
    monkeypatch.setattr(bought_together, "GRAM_BYTES", 8 * 50)
    parts = BoughtTogether(chosen).fit(DATA).weights_
    np.testing.assert_array_equal(whole.toarray(), parts.toarray())
    assert np.diff(whole.indptr).max() == 3
    every = BoughtTogether(replace(chosen, neighbours=100)).fit(DATA).weights_.toarray()
    np.testing.assert_allclose(np.sort(every, axis=1)[:, -3:].sum(axis=1), whole.toarray().sum(axis=1))


def test_what_was_done_lately_speaks_loudest() -> None:
    data = shop([*BASKETS, (4,), (0,)])
    model = BoughtTogether(replace(LENIENT, half_life_days=0.5)).fit(data)
    ids = data.items.ids
    assert model.recommend([7], 1, exclude=[*ids[[0, 4]]]).products[0, 0] == ids[1]
    events = data.events
    history = History(ids[events.item], np.ones(len(events), np.float32), events.time)
    known, folded = model.recommend([7], 6), model.recommend_from([history], 6)
    np.testing.assert_array_equal(known.products[0], folded.products[0])
    np.testing.assert_allclose(known.scores[0], folded.scores[0], rtol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"min_support": 0}, {"threshold": -1.0}, {"largest_basket": 1}, {"purchases_only": 1}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        BoughtTogetherParameters(**wrong)  # type: ignore[arg-type]
