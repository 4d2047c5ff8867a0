"""The probabilities of a shop's truth, and the interactions that are drawn from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid, NotFound
from recsys.simulation.catalogue import draw_truth, product_frame
from recsys.simulation.parameters import ShopParameters
from recsys.simulation.sessions import BlockInteractions, SessionGenerator
from recsys.simulation.truth import TRUTH_FILE, ShopTruth

UNTIL = datetime(2026, 11, 29, tzinfo=UTC)
VIEW, PURCHASE = INTERACTION_TYPES.index("view"), INTERACTION_TYPES.index("purchase")


def shop(**changes: Any) -> ShopParameters:
    sizes = {"users": 200, "products": 60, "interactions": 20_000, "until": UNTIL, "days": 100, "seed": 3}
    return ShopParameters(**{**sizes, **changes})


def everything(truth: ShopTruth) -> dict[str, np.ndarray]:
    """The interactions of all blocks together."""
    blocks = list(SessionGenerator(truth).blocks())
    names = ("user", "product", "kind", "value", "day")
    return {name: np.concatenate([getattr(block, name) for block in blocks]) for name in names}


@pytest.fixture(scope="module")
def truth() -> ShopTruth:
    return draw_truth(shop())


@pytest.mark.parametrize("day", [0.0, 50.0, 99.9])
def test_probabilities_of_views_sum_to_one_and_leave_out_what_is_not_released(
    truth: ShopTruth, day: float
) -> None:
    probabilities = truth.view_probabilities(np.arange(200), day)
    assert probabilities.shape == (200, 60)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert np.array_equal(probabilities > 0, np.broadcast_to(truth.released <= day, (200, 60)))


def test_probabilities_by_the_formula_with_loops(truth: ShopTruth) -> None:
    user, day = truth.user_vectors[7].astype(float), 60.0
    weights, leaves = [], range(truth.first_product.size - 1)
    products = [range(truth.first_product[leaf], truth.first_product[leaf + 1]) for leaf in leaves]
    for leaf in leaves:
        popularity = sum(np.exp(float(truth.log_popularity[each])) for each in products[leaf])
        angle = 2 * np.pi * (day / 365.25 - truth.season_phase[leaf])
        season = truth.season_height[leaf] * np.cos(angle)
        weights.append(popularity * np.exp(6.0 * (user @ truth.category_vectors[leaf]) + season))
    expected = np.zeros(60)
    for leaf in leaves:
        inside = {
            each: np.exp(6.0 * (user @ truth.product_vectors[each]) + truth.log_popularity[each])
            for each in products[leaf]
            if truth.released[each] <= day
        }
        for each, weight in inside.items():
            expected[each] = weights[leaf] / sum(weights) * weight / sum(inside.values())
    np.testing.assert_allclose(truth.view_probabilities([7], day)[0], expected, rtol=1e-3, atol=1e-7)


def test_views_have_the_frequencies_of_their_probabilities() -> None:
    drawn = draw_truth(shop(users=3, products=30, interactions=200_000, days=1))
    truth = replace(drawn, released=np.zeros_like(drawn.released))
    events = everything(truth)
    for user in range(3):
        of_user = (events["kind"] == VIEW) & (events["user"] == user)
        counted = np.bincount(events["product"][of_user], minlength=30)
        probability = truth.view_probabilities([user], 0.0)[0].astype(float)
        expected = counted.sum() * probability / probability.sum()
        assert counted.sum() > 1_000
        # a visit's views share a category, so the counts spread more than those of independent draws
        deviation = np.abs(counted - expected) / np.sqrt(3 * np.maximum(expected, 1.0))
        assert deviation.max() < 5.0


def test_a_view_leads_to_a_purchase_with_the_stated_chance() -> None:
    truth = draw_truth(shop(interactions=100_000, repeat=0.0))
    events = everything(truth)
    chances = truth.purchase_chances(np.arange(200))
    viewed = events["kind"] == VIEW
    expected = float(chances[events["user"][viewed], events["product"][viewed]].sum())
    bought = int((events["kind"] == PURCHASE).sum())
    assert abs(bought - expected) < 5 * np.sqrt(expected)


def test_without_taste_all_users_have_the_same_probabilities() -> None:
    same = draw_truth(shop(taste=0.0)).view_probabilities(np.arange(200), 100.0)
    np.testing.assert_allclose(same, np.broadcast_to(same[0], same.shape), rtol=1e-6)


def test_known_tastes_predict_views_better_than_popularity() -> None:
    truth = draw_truth(shop(products=300, zipf=0.5))
    events = everything(truth)
    late = (events["kind"] == VIEW) & (events["day"] >= 99)
    users, products = events["user"][late], events["product"][late]
    ranked = np.argsort(-truth.view_probabilities(users, 99.0), axis=1)[:, :5]
    popular = np.argsort(-np.bincount(events["product"], minlength=300))[:5]
    by_taste = (ranked == products[:, None]).any(axis=1).mean()
    assert by_taste > 2 * np.isin(products, popular).mean()


@given(
    users=st.integers(1, 60),
    products=st.integers(2, 80),
    interactions=st.integers(1, 2_000),
    days=st.integers(1, 400),
    seed=st.integers(0, 2**63 - 1),
    repeat=st.floats(0, 0.95),
)
def test_interactions_of_any_shop_are_in_range(**sizes: Any) -> None:
    truth = draw_truth(shop(**sizes))
    events = everything(truth)
    assert (events["day"] >= 0).all()
    assert (events["day"] < sizes["days"]).all()
    assert ((events["user"] >= 0) & (events["user"] < sizes["users"])).all()
    assert (truth.released[events["product"]] <= events["day"]).all()
    rating = events["value"][events["kind"] == INTERACTION_TYPES.index("review")]
    assert ((rating >= 1) & (rating <= 5)).all()
    assert product_frame(truth).height == sizes["products"]
    assert product_frame(truth)["name"].n_unique() == sizes["products"]


def test_the_number_of_interactions_is_about_what_was_requested() -> None:
    total = everything(draw_truth(shop(users=5_000, interactions=100_000)))["user"].size
    assert abs(total - 100_000) < 5_000


def test_blocks_bound_what_is_held_at_once() -> None:
    assert shop(users=1_000_000, interactions=50_000_000).users_per_block == 8_000
    assert shop(users=10, interactions=50_000_000).users_per_block == 1
    generator = SessionGenerator(draw_truth(shop(users=50, interactions=500_000)))
    assert [block.users for block in generator.blocks()] == [40, 10]


def test_a_block_does_not_depend_on_those_before_it() -> None:
    truth = draw_truth(shop(users=50, interactions=500_000))
    generator = SessionGenerator(truth)
    second = list(generator.blocks())[1]
    assert_equal_blocks(SessionGenerator(truth).block(1), second)


def assert_equal_blocks(left: BlockInteractions, right: BlockInteractions) -> None:
    for name in ("user", "product", "kind", "value", "visit", "day", "arrival"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_another_seed_is_another_shop(truth: ShopTruth) -> None:
    other = draw_truth(shop(seed=4))
    assert not np.array_equal(truth.user_vectors, other.user_vectors)
    assert not np.array_equal(truth.log_popularity, other.log_popularity)
    same = draw_truth(shop())
    assert_equal_blocks(SessionGenerator(same).block(0), SessionGenerator(truth).block(0))


def test_the_truth_is_read_as_it_was_written(truth: ShopTruth, tmp_path: Path) -> None:
    truth.save(tmp_path)
    loaded = ShopTruth.load(tmp_path)
    assert loaded.parameters == truth.parameters
    assert loaded.first_day == UNTIL - timedelta(days=100)
    for day in (1.0, 80.0):
        np.testing.assert_array_equal(
            loaded.view_probabilities([0, 5], day), truth.view_probabilities([0, 5], day)
        )


def test_a_truth_that_is_not_there_or_damaged_is_named(truth: ShopTruth, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="recsys simulate"):
        ShopTruth.load(tmp_path)
    truth.save(tmp_path)
    (tmp_path / TRUTH_FILE).write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(Invalid, match="damaged"):
        ShopTruth.load(tmp_path)
    (tmp_path / TRUTH_FILE).write_bytes(b"no archive")
    with pytest.raises(Invalid, match="damaged"):
        ShopTruth.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 0), ("products", 1), ("interactions", 0), ("days", 0), ("days", 4_000), ("seed", -1),
        ("taste", -1.0), ("taste", float("nan")), ("zipf", float("inf")), ("repeat", 1.0), ("users", 10**12),
        ("until", datetime(2026, 1, 1)),  # noqa: DTZ001
        ("until", datetime(1970, 6, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_a_parameter_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(Invalid, match=f"--{name}"):
        shop(**{name: value})
