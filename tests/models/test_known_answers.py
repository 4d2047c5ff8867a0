"""Each model against an answer that was worked out by other means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from features.dataset import Preferences
from features.interactions import History, InteractionWeights
from features.target import Target
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.algorithms.factorization.als import ALS, ALSParameters
from models.algorithms.neighbourhood.item_knn import ItemKNN, ItemKNNParameters
from models.algorithms.popularity.popularity import Popularity, PopularityParameters
from models.base import Recommender
from tests.models.data import ITEMS, NEVER_TAKEN, USERS, catalogue, dataset, two_tastes

DATA = two_tastes()
FLAT = InteractionWeights({"view": 1.0, "purchase": 5.0}, half_life_days=1e9)


@pytest.mark.parametrize(
    "model", [ItemKNN(), ALS(ALSParameters(factors=8, regularization=5.0)), ContentBased()]
)
def test_two_tastes_are_distinguished(model: Recommender) -> None:
    ranking = model.fit(DATA).recommend(DATA.users.ids[:USERS], 5, exclude="seen")
    taste = (DATA.items.index(ranking.products) % 2) == (np.arange(USERS) % 2)[:, None]
    assert taste.mean() > 0.9


# --- popularity ----------------------------------------------------------------------------------


def test_popularity_fades_by_its_own_half_life_and_counts_guests() -> None:
    rows = [(0, 0, "purchase", 0.0), (1, 0, "view", 10.0), (0, 1, "purchase", 20.0), (-1, 1, "view", 0.0)]
    model = Popularity(PopularityParameters(half_life_days=10)).fit(
        dataset(rows, users=2, items=3, weights=FLAT)
    )
    ranking = model.recommend([7], 3)
    assert ranking.products[0].tolist() == [100, 103, -1]
    # a purchase counts 1, a view a fifth of a tenth; one half-life, two half-lives; the third sold nothing
    np.testing.assert_allclose(ranking.scores[0, :2], [1 + 0.02 / 2, 1 / 4 + 0.02], rtol=1e-6)
    assert model.explain(7, 100).baseline == pytest.approx(1.01)


def test_popularity_counts_people_once_a_day_and_successes_first() -> None:
    rows = [(0, 0, "view", 1.0 + place / 1000) for place in range(500)]  # one visitor
    rows += [(user, 1, "view", 1.0) for user in range(9)]
    rows += [(user, 2, "purchase", 1.0) for user in range(2)]
    rows += [(3, 3, "purchase", float(day)) for day in range(1, 4)]  # one buyer on three days
    sells = replace(dataset(rows, users=9, items=5), target=Target({"purchase": 1.0}, "By hand."))
    model = Popularity(PopularityParameters(half_life_days=1e4)).fit(sells)
    order = model.recommend([7], 5).products[0]
    assert order.tolist() == [109, 106, 103, 100, -1]


@pytest.mark.parametrize("kind", ["view", "purchase"])
def test_a_few_late_events_do_not_make_a_product_popular(kind: str) -> None:
    chance = np.random.default_rng(0)
    rows = [
        (int(u), int(i), "purchase", 100 + float(d))
        for u, i, d in zip(
            chance.integers(0, 50, 600), chance.integers(0, 10, 600), chance.uniform(0, 90, 600), strict=True
        )
    ]
    late = [(place % 12, 10 + place % 4, kind, place / 100) for place in range(12)]  # four diapers
    model = Popularity().fit(dataset([*rows, *late], users=50, items=14))
    listed = (model.recommend([7], 10).products[0] - 100) // 3
    assert set(listed.tolist()) == set(range(10))


def test_similar_by_popularity_is_the_same_category() -> None:
    model = Popularity().fit(DATA)
    similar = DATA.items.index(model.similar_items([DATA.items.ids[0]], 4).row(0)[0])
    assert similar.size == 4
    assert (similar % 6 == 0).all()


# --- item-kNN ------------------------------------------------------------------------------------


def test_cosine_neighbours_by_hand() -> None:
    rows = [(0, 0, "view", 0.0), (0, 1, "view", 0.0), (1, 0, "view", 0.0), (1, 2, "purchase", 0.0)]
    model = ItemKNN(ItemKNNParameters("cosine")).fit(dataset(rows, users=2, items=3, weights=FLAT))
    # columns: (1, 1), (1, 0), (0, 5): cosines of the first with the others are 1/sqrt 2, of the others 0
    ranking = model.recommend_from([History.of([103], [2.0])], 3)
    assert ranking.products[0].tolist() == [103, 100, -1]
    np.testing.assert_allclose(ranking.scores[0, :2], [2.0, 2.0 / np.sqrt(2.0)], rtol=1e-6)
    ((named, part),) = model.explain(17, 103).contributions
    assert named == 100
    assert part == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_weighted_neighbours_against_dense_algebra(weighting: str) -> None:
    chosen = ItemKNNParameters(weighting, neighbours=ITEMS + 1, k1=1.5, b=0.3)
    model = ItemKNN(chosen).fit(DATA)
    x = DATA.matrix.toarray().astype(np.float64)
    idf = np.log(x.shape[1]) - np.log1p((x > 0).sum(axis=1))
    if weighting == "tfidf":
        weighted = np.sqrt(x) * idf[:, None]
        weighted /= np.maximum(np.linalg.norm(weighted, axis=0), 1e-12)
    else:
        length = x.sum(axis=0)
        norm = 1 - chosen.b + chosen.b * length / length.mean()
        weighted = x * (chosen.k1 + 1) / (chosen.k1 * norm + x) * idf[:, None]
    np.testing.assert_allclose(model.similarity_.toarray(), weighted.T @ weighted, atol=1e-5)


def test_only_so_many_neighbours_are_kept() -> None:
    model = ItemKNN(ItemKNNParameters(neighbours=3)).fit(DATA)
    assert np.diff(model.similarity_.indptr).max() == 3


# --- ALS -----------------------------------------------------------------------------------------


def test_users_of_als_are_the_closed_form() -> None:
    """x = (YᵀCY + λI)⁻¹ YᵀCp with C and p written out in full (Hu, Koren & Volinsky 2008, equation 4)."""
    chosen = ALSParameters(factors=6, alpha=2.5, regularization=0.7)
    model = ALS(chosen).fit(DATA)
    y = model.item_factors_.astype(np.float64)
    r = DATA.matrix.toarray().astype(np.float64)
    expected = np.zeros((len(DATA.users), 6))
    for user, line in enumerate(r):
        confidence = np.diag(np.where(line > 0, chosen.alpha * line, 1.0))
        preference = (line > 0).astype(np.float64)
        system = y.T @ confidence @ y + chosen.regularization * np.eye(6)
        expected[user] = np.linalg.inv(system) @ (y.T @ confidence @ preference)
    np.testing.assert_allclose(model.user_factors_, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model._fold_in(DATA.matrix), expected, rtol=1e-5, atol=1e-6)


def test_users_are_solved_for_when_first_scored_and_kept() -> None:
    model = ALS(ALSParameters(factors=6)).fit(DATA)
    assert not model._solved.any()
    first = model.recommend(DATA.users.ids[3:5], 5)
    assert np.flatnonzero(model._solved).tolist() == [3, 4]
    np.testing.assert_array_equal(model.recommend(DATA.users.ids[3:5], 5).scores, first.scores)
    np.testing.assert_allclose(model.user_factors_, model._fold_in(DATA.matrix), rtol=1e-6)
    assert model._solved.all()


def test_a_guest_with_a_users_history_gets_the_users_list() -> None:
    model = ALS(ALSParameters(factors=6)).fit(DATA)
    histories = [
        History.of(DATA.items.ids[DATA.touched[[row]].indices], DATA.touched[[row]].data)
        for row in range(USERS)
    ]
    known, folded = model.recommend(DATA.users.ids[:USERS], 5), model.recommend_from(histories, 5)
    np.testing.assert_array_equal(known.products, folded.products)
    np.testing.assert_allclose(known.scores, folded.scores, rtol=1e-5)


def test_items_of_als_are_those_of_implicit_to_the_bit() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    from models.shared.parallel import one_blas_thread

    model = ALS(ALSParameters(factors=6, alpha=2.0, regularization=0.5, iterations=4, seed=9)).fit(DATA)
    with one_blas_thread():
        direct = AlternatingLeastSquares(6, 0.5, 2.0, iterations=4, random_state=9)
        direct.fit(DATA.matrix, show_progress=False)
    np.testing.assert_array_equal(model.item_factors_, direct.item_factors)


def test_als_says_nothing_of_a_product_that_nobody_took() -> None:
    model = ALS().fit(DATA)
    assert DATA.items.ids[NEVER_TAKEN] not in model.recommend(DATA.users.ids, ITEMS + 1).products
    assert model.similar_items([DATA.items.ids[NEVER_TAKEN]], 3).row(0)[0].size == 0


def test_another_seed_gives_other_factors() -> None:
    left, right = (ALS(ALSParameters(factors=4, iterations=2, seed=seed)).fit(DATA) for seed in (1, 2))
    assert not np.allclose(left.item_factors_, right.item_factors_)


# --- content -------------------------------------------------------------------------------------


def test_twin_products_are_nearest() -> None:
    features = catalogue(ITEMS + 1)
    for name in ("text", "names"):
        getattr(features, name)[NEVER_TAKEN] = features.text[5]
    for column in (features.category, features.brand, features.price):
        column[NEVER_TAKEN] = column[5]
    model = ContentBased().fit(replace(DATA, item_features=features))
    ranking = model.similar_items([DATA.items.ids[5]], 3)
    assert ranking.products[0, 0] == DATA.items.ids[NEVER_TAKEN]
    assert ranking.scores[0, 0] == pytest.approx(1.0, abs=1e-5)
    # the twin has no events, yet it is recommended to users who liked the other
    shown = model.recommend_from([History.of([DATA.items.ids[5]])], 1, exclude="seen")
    assert shown.products[0, 0] == DATA.items.ids[NEVER_TAKEN]


def test_likeness_is_the_weighted_mean_of_the_parts() -> None:
    chosen = ContentBasedParameters(text=0.0, category=3.0, brand=1.0, price=0.0)
    model = ContentBased(chosen).fit(DATA)
    # rows 0 and 4: other shelf under the same department (1 of 2 levels), the same brand
    likeness = float((model.vectors_[[0]] @ model.vectors_[[4]].T).toarray()[0, 0])
    assert likeness == pytest.approx((3.0 * 0.5 + 1.0 * 1.0) / 4.0, abs=1e-6)


def test_stated_preferences_are_the_baseline() -> None:
    model = ContentBased().fit(DATA)
    talker, silent = int(DATA.users.ids[3]), int(DATA.users.ids[5])
    wanted = int(DATA.items.ids[1])  # category code 1, which the talker asked for
    assert model.explain(talker, wanted).baseline > 0
    assert model.explain(silent, wanted).baseline == 0


def test_a_user_with_only_stated_preferences_gets_a_list() -> None:
    no_preferences = Preferences.none(2, 6, 4)
    brands = sparse.csr_matrix(np.array([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=np.float32))
    rows = [(0, 0, "view", 1.0)]
    shop = dataset(rows, users=2, items=8, preferences=replace(no_preferences, brands=brands))
    products, _ = ContentBased().fit(shop).recommend([17], 2).row(0)
    assert products.tolist() == [103, 115]  # rows 1 and 5 carry brand 1


def test_a_catalogue_that_says_nothing_is_no_error() -> None:
    features = replace(
        catalogue(3),
        text=["", " ", "-"],
        category=np.full(3, -1, np.int32),
        brand=np.full(3, -1, np.int32),
        price=np.full(3, np.nan, np.float32),
    )
    model = ContentBased().fit(dataset([(0, 0, "view", 1.0)], users=1, items=3, features=features))
    assert model.recommend([7], 3).row(0)[0].size == 0


def test_only_the_heaviest_words_are_kept() -> None:
    features = replace(catalogue(3), text=["rare common one two", "common one two", "common two"])
    shop = dataset([(0, 0, "view", 1.0)], users=1, items=3, features=features)
    chosen = ContentBasedParameters(category=0.0, brand=0.0, price=0.0, terms_per_item=2)
    model = ContentBased(chosen).fit(shop)
    assert np.diff(model.vectors_.indptr).tolist() == [2, 2, 2]
    # the first keeps "rare" and "one", the second "one" and a word of both: they share "one" alone
    assert 0 < float((model.vectors_[[0]] @ model.vectors_[[1]].T).toarray()[0, 0]) < 0.9
