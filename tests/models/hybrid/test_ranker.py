"""The trees learn an order that no single column shows, repeat themselves, and say what they owe to what."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from features.ids import IdMap
from features.interactions import MICROSECONDS_PER_DAY as DAY
from features.interactions import History
from models.hybrid.blend import ndcg_of
from models.hybrid.ranker import SecondStage
from models.hybrid.ranking_features import FACT_NAMES, FeatureSnapshot, rounded
from tests.models.data import dataset

USERS, EACH = 120, 20
NAMES = ("first", "second", "noise")


def lessons(seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Right is what is high in exactly one of the first two columns."""
    rng = np.random.default_rng(seed)
    features = rng.random((USERS * EACH, 3)).astype(np.float32)
    relevant = (features[:, 0] > 0.7) != (features[:, 1] > 0.7)
    features[rng.random(features.shape[0]) < 0.05, 2] = np.nan
    return features, relevant, np.repeat(np.arange(USERS), EACH)


def mean_ndcg(scores: npt.NDArray[np.float64], relevant: npt.NDArray[np.bool_]) -> float:
    shape = USERS, EACH
    right = relevant.reshape(shape)
    return float(ndcg_of(scores.reshape(shape).astype(np.float32), right, right.sum(axis=1), 10).mean())


def test_it_learns_what_no_column_alone_shows_and_repeats_itself() -> None:
    stage = SecondStage.learn(*lessons(0), NAMES, trees=40, seed=1)
    features, relevant, _ = lessons(1)
    alone = max(mean_ndcg(features[:, i].astype(np.float64), relevant) for i in (0, 1))
    assert mean_ndcg(stage.score(features), relevant) > 0.95 > alone
    again = SecondStage.learn(*lessons(0), NAMES, trees=40, seed=1)
    np.testing.assert_array_equal(stage.text, again.text)
    assert not np.array_equal(stage.text, SecondStage.learn(*lessons(0), NAMES, trees=40, seed=2).text)


def test_contributions_add_up_and_the_text_is_the_model() -> None:
    stage = SecondStage.learn(*lessons(0), NAMES, trees=20, seed=1)
    features, _, _ = lessons(2)
    parts = stage.contributions(features)
    assert parts.shape == (features.shape[0], 4)
    np.testing.assert_allclose(parts.sum(axis=1), stage.score(features), atol=1e-9)
    assert np.abs(parts[:, :2]).mean() > 3 * np.abs(parts[:, 2]).mean()
    np.testing.assert_array_equal(SecondStage(stage.text, NAMES).score(features), stage.score(features))
    assert stage.score(features[:0]).size == 0
    assert stage.contributions(features[:0]).shape == (0, 4)


# --- their features ------------------------------------------------------------------------------


def test_facts_of_one_user_by_hand() -> None:
    rows = [
        (0, 0, "purchase", 30.0),
        (0, 0, "purchase", 10.0),
        (0, 6, "purchase", 20.0),
        (1, 1, "purchase", 2.0),
        (-1, 1, "view", 1.0),
        (0, 2, "dismissed", 1.0),
    ]
    data = dataset(rows, users=2, items=8)  # items 0 and 6 share a category, 0 and 1 do not
    facts = FeatureSnapshot.learn(data, 14.0)
    owner, item = np.array([0, 0, 0, 1]), np.array([0, 2, 6, 1])
    table = facts.columns(facts.habits.take(np.array([0, 1])), owner, item)
    features = {name: table[:, i] for i, name in enumerate(FACT_NAMES)}
    assert features["times"].tolist() == [2, 0, 1, 1]
    assert features["times_lately"].tolist() == [1, 0, 0, 1]
    np.testing.assert_allclose(features["days_since"], [10, np.nan, 20, 2], rtol=1e-3)
    np.testing.assert_allclose(features["interval"], [20, np.nan, np.nan, np.nan], rtol=1e-3)
    np.testing.assert_allclose(features["due"], [0.5, np.nan, np.nan, np.nan], rtol=1e-3)
    np.testing.assert_allclose(np.expm1(features["events"]), [3, 3, 3, 1], rtol=1e-2)
    np.testing.assert_allclose(features["repeat_share"], [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-2)
    np.testing.assert_allclose(np.expm1(features["sold"]), [2, 0, 1, 2], rtol=1e-2)  # the guest's view counts
    np.testing.assert_allclose(np.expm1(features["buyers"]), [1, 0, 1, 1], rtol=1e-2)
    np.testing.assert_allclose(features["category_share"], [1, 0, 1, 1], rtol=1e-3)
    np.testing.assert_allclose(features["category_days_since"], [10, np.nan, 10, 2], rtol=1e-3)


def test_a_guest_with_the_same_events_has_the_same_facts() -> None:
    rows = [(0, item, "purchase", float(age)) for item, age in ((0, 3), (0, 9), (2, 5), (5, 40))]
    data = dataset(rows, users=1, items=8)
    facts = FeatureSnapshot.learn(data, 14.0)
    moments = data.moment - np.array([3, 9, 5, 40]) * DAY
    history = History(data.items.ids[[0, 0, 2, 5]], np.ones(4, np.float32), moments)
    pairs = np.zeros(8, dtype=np.int64), np.arange(8)
    known = facts.columns(facts.habits, *pairs)
    np.testing.assert_array_equal(facts.columns(facts.habits_of([history], data.items), *pairs), known)
    restored = FeatureSnapshot.restore(facts.arrays())
    np.testing.assert_array_equal(restored.columns(restored.habits, *pairs), known)
    nobody = facts.columns(facts.habits_of([History.of([])], IdMap(data.items.ids)), *pairs)
    times = FACT_NAMES.index("times")
    assert (nobody[:, times] == 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0, -3.14159, 1e-30, 1e30, float("nan")])
def test_rounding_keeps_ten_bits(value: float) -> None:
    given = np.array([value], dtype=np.float32)
    np.testing.assert_allclose(rounded(given), given, rtol=1e-3)
    shaken = np.nextafter(given, np.float32(np.inf))
    np.testing.assert_array_equal(rounded(given), rounded(shaken if value not in (0.0,) else given))
