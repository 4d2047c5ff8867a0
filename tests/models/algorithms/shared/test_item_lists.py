"""Similar items and complements: planted pairs, planted noise, and what every list keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.dataset import Dataset, ItemFeatures
from features.interactions import History
from models.algorithms.neighbourhood import complements, similar_items
from models.algorithms.neighbourhood.complements import Complements, ComplementsParameters
from models.algorithms.neighbourhood.next_steps import next_steps
from models.algorithms.neighbourhood.similar_items import SimilarItems
from models.algorithms.shared.item_lists import ItemLists
from models.algorithms.shared.lift import lower_lift, strengths_of, unit_scores
from recsys.errors import Invalid
from tests.models.data import Row, catalogue, dataset, two_tastes

USERS, VISITORS, ITEMS = 200, 800, 40
BANANA, BREAD, BUTTER, PASTA, SAUCE, NEW = 0, 1, 2, 3, 4, 39
"""Everybody buys BANANA; BREAD goes with BUTTER and PASTA with SAUCE; of NEW nobody bought anything."""


def rows_of(products: npt.NDArray[np.int64]) -> list[int]:
    """The item rows of product ids of `tests.models.data.dataset`."""
    return [int(product - 100) // 3 for product in products if product >= 0]


@cache
def groceries(seed: int = 0) -> Dataset:
    """Baskets with planted pairs, a product that is in nearly all of them, and noise."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(USERS):
        for week in range(6):
            basket = {BANANA} if rng.random() < 0.8 else set()
            if rng.random() < 0.15:
                basket |= {BREAD, BUTTER}
            if rng.random() < 0.15:
                basket |= {PASTA, SAUCE}
            basket |= set(rng.choice(np.arange(5, NEW), size=3, replace=False).tolist())
            rows += [(user, item, "purchase", 1.0 + 7.0 * week) for item in sorted(basket)]
    return dataset(rows, users=USERS, items=ITEMS, features=one_category_each())


def one_category_each() -> ItemFeatures:
    """Eight categories of five products; NEW shares one with SAUCE's neighbour in the tree."""
    codes = np.arange(ITEMS, dtype=np.int32) // 5
    return replace(
        catalogue(ITEMS), category=codes, category_paths=[f"Food > Aisle {code}" for code in range(8)]
    )


@cache
def watched(seed: int = 0) -> Dataset:
    """A shop of electronics: in a visit people look at three of one kind, and buy one with what goes with it.

    Rows 0 to 3 are cameras and 4 to 7 their bags, 8 to 11 phones and 12 to 15 their cases, the others noise.
    """
    return dataset(watched_rows(seed), users=VISITORS, items=20, features=electronics())


def watched_rows(seed: int = 0) -> list[Row]:
    """The events of `watched`."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(VISITORS):
        age, first = float(rng.uniform(1, 60)), 8 * (user % 2)
        looked = first + rng.choice(4, size=3, replace=False)
        rows += [(user, int(item), "view", age - place / 1_000) for place, item in enumerate(looked)]
        bought = (int(looked[0]), first + int(rng.integers(4, 8)), int(rng.integers(16, 20)))
        rows += [(user, item, "purchase", age - 0.01) for item in bought]
    return rows


def electronics() -> ItemFeatures:
    """Five categories of four products in three departments."""
    paths = ["Phones > Cases", "Phones > Phones", "Photo > Bags", "Photo > Cameras", "Rest > Things"]
    return replace(
        catalogue(20), category=np.repeat([3, 2, 1, 0, 4], 4).astype(np.int32), category_paths=paths
    )


# --- the measure itself --------------------------------------------------------------------------


def test_lower_lift_by_hand() -> None:
    both, expected, prior = np.array([9.0, 0.0]), np.array([2.0, 2.0]), np.array([3.0, 3.0])
    found = lower_lift(both, expected, prior, strength=1.0, bound=2.0)
    # gamma posterior: shape 9 + 3, rate 2 + 1; and shape 3, rate 3 without a count
    np.testing.assert_allclose(found, [4.0 * np.exp(-2 / np.sqrt(12.0)), np.exp(-2 / np.sqrt(3.0))])


@given(
    expected=st.floats(1e-3, 1e3),
    prior=st.floats(0.1, 50.0),
    strength=st.floats(0.01, 100.0),
    bound=st.floats(0.0, 3.0),
)
def test_lower_lift_rises_with_the_count_and_lies_below_the_mean(
    expected: float, prior: float, strength: float, bound: float
) -> None:
    both = np.arange(50.0)
    low = lower_lift(both, np.full(50, expected), np.full(50, prior), strength, bound)
    assert (np.diff(low) > 0).all()
    assert (low <= (both + strength * prior) / (expected + strength) * (1 + 1e-12)).all()


@given(st.lists(st.floats(1e-6, 1e9), min_size=2, max_size=50, unique=True))
def test_scores_lie_between_0_and_1_and_keep_the_order(values: list[float]) -> None:
    rising = np.sort(np.array(values))
    rising = rising[np.append(True, rising[1:] > rising[:-1] * 1.001)]
    scores = unit_scores(rising, 3.0)
    assert ((scores > 0) & (scores < 1)).all()
    assert (np.diff(scores) > 0).all()
    assert unit_scores(np.array([3.0]), 3.0)[0] == pytest.approx(0.5)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=50))
def test_strengths_are_the_scores_taken_back(values: list[float]) -> None:
    strengths = strengths_of(unit_scores(np.array(values), 2.0))
    np.testing.assert_allclose(strengths, np.array(values) / 2.0, rtol=1e-3)


# --- planted pairs -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_complements_find_the_planted_pairs_and_not_the_popular_product(seed: int) -> None:
    model = Complements().fit(groceries(seed))
    for one, other in ((BREAD, BUTTER), (BUTTER, BREAD), (PASTA, SAUCE), (SAUCE, PASTA)):
        ranking = model.similar_items(np.array([100 + 3 * one]), 10)
        assert rows_of(ranking.products[0])[0] == other
        assert BANANA not in rows_of(ranking.products[0])[:3], "what is in every basket goes with nothing"


def test_noise_gets_lower_scores_than_every_planted_pair() -> None:
    model = Complements().fit(groceries())
    planted = model.similar_items(np.array([100 + 3 * row for row in (BREAD, BUTTER, PASTA, SAUCE)]), 1)
    noise = model.similar_items(np.array([100 + 3 * row for row in range(5, NEW)]), 1)
    assert planted.scores.min() > noise.scores[np.isfinite(noise.scores)].max()


def test_support_counts_the_baskets_of_a_pair() -> None:
    data = groceries()
    model = Complements().fit(data)
    held = {(int(u), int(t)): set[int]() for u, t in zip(data.events.user, data.events.time, strict=True)}
    for user, time, item in zip(data.events.user, data.events.time, data.events.item, strict=True):
        held[int(user), int(time)].add(int(item))
    shared = sum({BREAD, BUTTER} <= basket for basket in held.values())
    found = model.support([100 + 3 * BREAD, 100 + 3 * BREAD, 1], [100 + 3 * BUTTER, 100 + 3 * BREAD, 1])
    assert found.tolist() == [shared, 0, 0]


def test_what_is_looked_at_instead_does_not_complement_but_is_similar() -> None:
    data = watched()
    complements, similar = Complements().fit(data), SimilarItems().fit(data)
    for row in range(4):
        product = np.array([100 + 3 * row])
        goes_with = rows_of(complements.similar_items(product, 4).products[0])
        assert goes_with[0] in {4, 5, 6, 7}, "a camera is bought with a bag"
        assert not set(goes_with) & {0, 1, 2, 3}, "and not with a camera"
        alike = rows_of(similar.similar_items(product, 3).products[0])
        assert set(alike) == {0, 1, 2, 3} - {row}, "cameras are looked at instead of each other"


def test_visits_turn_down_what_is_also_bought_together_now_and_then() -> None:
    often: list[Row] = [(user, item, "purchase", 0.5) for user in range(0, 120, 2) for item in (0, 1)]
    data = dataset(often + watched_rows(), users=VISITORS, items=20, features=electronics())
    place = []
    for power in (0.0, 1.0):
        model = Complements(ComplementsParameters(instead=power)).fit(data)
        place.append(rows_of(model.similar_items(np.array([100]), 20).products[0]).index(1))
    assert place[0] == 0, "first by baskets alone"
    assert place[1] > 1, "behind bags when visits are looked at"


# --- back-off ------------------------------------------------------------------------------------


def test_a_product_without_events_gets_its_lists_from_the_catalogue() -> None:
    plain = replace(one_category_each(), text=[""] * ITEMS, brand=np.full(ITEMS, -1, np.int32))
    data, new = replace(groceries(), item_features=plain), np.array([100 + 3 * NEW])
    alike = rows_of(SimilarItems().fit(data).similar_items(new, 4).products[0])
    assert set(alike) == {35, 36, 37, 38}, "all that the catalogue says is the category"
    # in a shop where Aisle 7 goes with Aisle 0, NEW, never bought, goes with Aisle 0, too
    rows: list[Row] = [
        (user, item, "purchase", float(1 + day))
        for user in range(20)
        for day in range(10)
        for item in ((user + day) % 5, 35 + (user * day) % 4)[: 2 if day < 5 else 1]
    ]
    rows += [(user, 10 + day, "purchase", 30.0 + day) for user in range(20) for day in range(20)]
    paired = dataset(rows, users=20, items=ITEMS, features=one_category_each())
    found = rows_of(Complements().fit(paired).similar_items(new, 3).products[0])
    assert found
    assert set(found) <= {0, 1, 2, 3, 4}
    assert Complements().fit(paired).support(np.repeat(new, 5), [100, 103, 106, 109, 112]).sum() == 0


# --- every list of every product -----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [SimilarItems, Complements])
@pytest.mark.parametrize("shop", [groceries, watched, two_tastes])
def test_every_list_is_strict_and_without_its_seed(algorithm: type[ItemLists], shop: object) -> None:
    data: Dataset = shop()  # type: ignore[operator]
    model = algorithm().fit(data)
    ranking = model.similar_items(data.items.ids, 10)
    ties = places = 0
    assert shop is two_tastes or (ranking.products[:, 0] >= 0).any()
    for row in range(len(ranking)):
        products, scores = ranking.row(row)
        assert data.items.ids[row] not in products
        assert len(set(products.tolist())) == products.size
        assert ((scores > 0) & (scores <= 1)).all()
        assert (np.diff(scores) <= 0).all()
        ties += int((np.diff(scores) == 0).sum())
        places += max(0, products.size - 1)
        assert products.size < 3 or (np.diff(scores) < 0).any(), "all places are tied"
    # in a shop as small as this two products can have met the seed, and been bought, equally often
    assert ties <= 0.25 * places, f"{ties} of {places} neighbouring places are tied"


def test_similar_lists_are_full_where_the_catalogue_allows() -> None:
    """Each product shares an aisle with four others and the department with all, so all lists are full."""
    data = groceries()
    ranking = SimilarItems().fit(data).similar_items(data.items.ids, 10)
    assert (ranking.products >= 0).all()


def test_products_that_met_are_paired_across_the_groups_of_a_large_category(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = groceries()
    seeds, others = (each.ravel() for each in np.meshgrid(data.items.ids, data.items.ids))
    whole = SimilarItems().fit(data).support(seeds, others)
    monkeypatch.setattr(similar_items, "GROUP", 4)
    divided = SimilarItems().fit(data).support(seeds, others)
    assert np.count_nonzero(whole) > 20 * ITEMS
    assert divided.tolist() == whole.tolist()


@pytest.mark.parametrize("algorithm", [SimilarItems, Complements])
@settings(max_examples=15, deadline=None)
@given(hidden=st.sets(st.integers(0, ITEMS - 2), min_size=1, max_size=20))
def test_what_may_not_be_shown_is_in_no_list(algorithm: type[ItemLists], hidden: set[int]) -> None:
    data = groceries()
    active = np.ones(ITEMS, dtype=bool)
    active[sorted(hidden)] = False
    model = algorithm().fit(replace(data, item_features=replace(data.item_features, active=active)))
    assert not hidden & set(model.weights_.indices.tolist())
    assert model.weights_.nnz


@pytest.mark.parametrize("algorithm", [SimilarItems, Complements])
def test_a_cart_gets_what_goes_with_any_of_it(algorithm: type[ItemLists], tmp_path: Path) -> None:
    model = algorithm().fit(groceries())
    cart = History.of(np.array([100 + 3 * BREAD, 100 + 3 * PASTA]), np.array([1.0, 7.0], dtype=np.float32))
    ranking = model.recommend_from([cart], 5, exclude="seen")
    units = model.weights_[[BREAD, PASTA]].toarray()
    strengths = np.expm1(np.log(2) * units / (1 - units)).sum(axis=0)
    strengths[[BREAD, PASTA]] = 0.0
    expected = np.sort(strengths)[::-1][:5]
    np.testing.assert_allclose(ranking.scores[0], expected, rtol=1e-4)
    model.save(tmp_path / "model")
    again = algorithm.load(tmp_path / "model")
    np.testing.assert_array_equal(
        again.similar_items(model.items_.ids, 5).scores, model.similar_items(model.items_.ids, 5).scores
    )
    pairs = model.items_.ids[[BREAD, PASTA]], model.items_.ids[[BUTTER, SAUCE]]
    np.testing.assert_array_equal(again.support(*pairs), model.support(*pairs))


@pytest.mark.parametrize("wrong", [{"strength": 0.0}, {"bound": -1.0}, {"largest": 1}, {"neighbours": 0}])
def test_wrong_parameters_are_refused_by_name(wrong: dict[str, float]) -> None:
    for algorithm in (SimilarItems, Complements):
        with pytest.raises(Invalid, match=next(iter(wrong))):
            algorithm.Parameters(**wrong)


@pytest.mark.parametrize("block", [1, 3, 1_000])
def test_products_are_learned_in_blocks_of_which_some_lead_nowhere(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    """A large catalogue has a thousand products in a row that nobody looked at."""
    rows = watched_rows()
    known = 1 + max(item for _, item, _, _ in rows)
    data = dataset(rows, users=1 + max(user for user, _, _, _ in rows), items=known + 5)
    whole = Complements().fit(data)
    monkeypatch.setattr(complements, "BLOCK", block)
    steps = next_steps(data, whole.parameters.neighbours)
    assert (np.diff(steps.indptr) == 0).any(), "a product that leads nowhere"
    found = Complements().fit(data)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_allclose(getattr(found.weights_, name), getattr(whole.weights_, name), rtol=1e-6)
