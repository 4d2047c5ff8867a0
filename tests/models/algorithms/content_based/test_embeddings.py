"""The shop's own vectors: they say what the text does not, and models follow them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.dataset import Dataset
from models import factory
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.algorithms.shared.item_vectors import embedding_vectors, unit_rows
from models.base import Recommender
from models.hybrid import strategy_selection as stages
from models.hybrid.hybrid import Hybrid, HybridParameters
from tests.models.data import ITEMS, NEVER_TAKEN, USERS, catalogue, two_tastes

NUMBERS = 96
TOOL, TEA = 1, 0


def vectors(of_new: int, seed: int = 0) -> npt.NDArray[np.float16]:
    """Unit vectors of a common direction, one of the kind (even rows tea, odd ones tools), and noise."""
    chance = np.random.default_rng(seed)
    common, *kinds = np.linalg.qr(chance.normal(size=(NUMBERS, 3)))[0].T
    kind = np.append(np.arange(ITEMS) % 2, of_new)
    found = 2.0 * common + np.stack(kinds)[kind] + 0.03 * chance.normal(size=(ITEMS + 1, NUMBERS))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


@cache
def shop(of_new: int | None) -> Dataset:
    """Two tastes in a catalogue that says the same of all products; vectors of all, or of none."""
    features = catalogue(ITEMS + 1)
    features.category[:], features.brand[:], features.price[:] = 0, 0, 5.0
    alike = ["a fine thing"] * (ITEMS + 1)
    given = np.empty((ITEMS + 1, 0), np.float16) if of_new is None else vectors(of_new)
    return replace(two_tastes(), item_features=replace(features, text=alike, names=alike, embeddings=given))


def places(model: Recommender, data: Dataset) -> npt.NDArray[np.float64]:
    """The mean place of the new product in lists of those who take tea, and of those who take tools."""
    ranking = model.recommend(data.users.ids[:USERS], ITEMS + 1, exclude=None)
    new = data.items.ids[NEVER_TAKEN]
    found = [np.append(np.flatnonzero(ranking.row(i)[0] == new), ITEMS)[0] for i in range(USERS)]
    return np.array([np.mean(found[0::2]), np.mean(found[1::2])])


@pytest.mark.parametrize(
    ("algorithm", "share"),
    # factors of few users are no more than half the truth
    [("content", 1.0), ("similar_items", 0.9), ("cold_items", 0.6)],
)
@pytest.mark.parametrize("kind", [TOOL, TEA])
def test_similar_products_follow_the_vectors(algorithm: str, share: float, kind: int) -> None:
    data = shop(kind)
    model = factory.create(algorithm, {}).fit(data)
    found = data.items.index(model.similar_items([data.items.ids[NEVER_TAKEN]], 10).row(0)[0])
    assert found.size == 10
    assert (found % 2 == kind).mean() >= share


@pytest.mark.parametrize("algorithm", ["content", "cold_items"])
def test_a_new_product_is_where_its_vector_says(algorithm: str) -> None:
    for kind in (TOOL, TEA):
        model = factory.create(algorithm, {}).fit(shop(kind))
        found = places(model, shop(kind))
        assert found[kind] < found[1 - kind] - 3


def test_a_new_product_of_the_hybrid_is_where_its_vector_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "_beats", lambda *_: (True, 0.0))
    members = {name: {"algorithm": name} for name in ("content", "cold_items", "popularity")}
    for kind in (TOOL, TEA):
        found = places(Hybrid(HybridParameters(members=members, trees=0)).fit(shop(kind)), shop(kind))
        assert found[kind] < found[1 - kind]


@pytest.mark.parametrize("algorithm", ["content", "cold_items", "similar_items"])
def test_without_vectors_the_weight_of_vectors_changes_nothing(algorithm: str) -> None:
    data = two_tastes()
    first, second = (
        factory.create(algorithm, given).fit(data)._arrays()
        for given in ({}, {} if algorithm == "cold_items" else {"embedding": 0.0, "embedding_factors": 3})
    )
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_products_without_a_vector_keep_what_the_catalogue_says_of_them() -> None:
    data = two_tastes()
    half = vectors(TOOL)
    half[10:] = 0
    described = replace(data, item_features=replace(data.item_features, embeddings=half))
    plain, mixed = (
        ContentBased(ContentBasedParameters(preference=0.0)).fit(one) for one in (data, described)
    )
    width = plain.vectors_.shape[1]
    difference = plain.vectors_[10:] - mixed.vectors_[10:, :width]
    assert abs(difference).max() < 1e-6
    assert mixed.vectors_[10:, width:].nnz == 0
    assert mixed.vectors_[:10, width:].nnz > 0


def test_explanations_add_up_to_the_score() -> None:
    data = shop(TOOL)
    model = ContentBased().fit(data)
    best = model.recommend(data.users.ids[:1], 1, exclude=None)
    product, score = int(best.row(0)[0][0]), float(best.scores[0, 0])
    assert model.explain(int(data.users.ids[0]), product).score == pytest.approx(score, rel=1e-4)


def test_a_direction_that_all_vectors_have_makes_no_two_alike() -> None:
    many = np.tile(vectors(TOOL)[:ITEMS], (50, 1))
    unit = unit_rows(embedding_vectors(many, 8))[:ITEMS].toarray()
    likeness = unit @ unit.T
    kinds = np.arange(ITEMS) % 2
    same = kinds[:, None] == kinds[None, :]
    assert likeness[same].min() > 0.8
    assert likeness[~same].max() < 0
    # of few vectors the mean is what they have in common
    few = unit_rows(embedding_vectors(many[:2], 200)).toarray()
    assert float(few[0] @ few[1]) > 0.5


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**16))
def test_shorter_vectors_keep_angles_as_well_as_any(rows: int, width: int, factors: int, seed: int) -> None:
    given = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float16)
    given[::3] = 0
    found = embedding_vectors(given, factors).toarray()
    there = given.any(axis=1)
    assert (found[~there] == 0).all()
    if not there.any():
        assert found.shape == (rows, 0)
        return
    assert found.shape == (rows, min(width, factors))
    n = int(there.sum())
    centred = given[there].astype(np.float64) - given[there].astype(np.float64).sum(axis=0) / (n + 100.0)
    kept = np.sort(np.linalg.svd(centred, compute_uv=False) ** 2)[::-1][:factors].sum()
    assert (found.astype(np.float64) ** 2).sum() == pytest.approx(kept, rel=1e-3, abs=1e-4)
