"""TIFU-kNN against the formula written out densely, for users as for guests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from features.interactions import History, InteractionWeights
from models.algorithms.repeat import tifu_knn
from models.algorithms.repeat.tifu_knn import TIFUKNN, TIFUKNNParameters
from models.shared import sparse_products
from recsys.errors import Invalid
from tests.models.data import USERS, dataset, two_tastes

DATA = two_tastes()
ONES = InteractionWeights({"purchase": 1.0}, half_life_days=1e9)
Matrix = npt.NDArray[np.float64]


def habits(half_life: float) -> Matrix:
    """The faded sums, float64 (users, items), event by event."""
    table = np.zeros((len(DATA.users), len(DATA.items)))
    events = DATA.events
    for user, item, kind, time in zip(events.user, events.item, events.kind, events.time, strict=True):
        if user >= 0:
            flat = InteractionWeights(DATA.weights.by_type, half_life)
            weight = flat.weigh(np.array([kind]), np.array([np.nan]), np.array([time]), DATA.moment)
            table[user, item] += float(weight[0])
    return np.maximum(table, 0.0)


def expected(vector: Matrix, others: Matrix, k: int, own: float) -> Matrix:
    length = np.linalg.norm(others, axis=1) * np.linalg.norm(vector)
    likeness = np.divide(others @ vector, length, out=np.zeros(len(others)), where=length > 0)
    nearest = [v for v in np.argsort(-likeness, kind="stable")[:k] if likeness[v] > 0]
    mean = np.mean([others[v] / others[v].sum() for v in nearest], axis=0) if nearest else 0.0 * vector
    return np.asarray(own * vector / vector.sum() + (1 - own) * mean)


def scores_of(model: TIFUKNN, products: npt.NDArray[np.int64], scores: npt.NDArray[np.float32]) -> Matrix:
    found = np.zeros(len(DATA.items))
    found[model.items_.index(products)] = scores
    return found


def mapped(array: object) -> bool:
    """Whether an array, or what it is a view of, is a file."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("k", "own"), [(5, 0.6), (100, 0.0), (3, 1.0)])
def test_users_are_the_formula(k: int, own: float, dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tifu_knn, "_DENSE_STEPS", 1_000_000 if dense else 0)
    monkeypatch.setattr(sparse_products, "LEAST_ITEMS", 7)
    monkeypatch.setattr(sparse_products, "CELLS", 1)
    model = TIFUKNN(TIFUKNNParameters(40.0, k, own)).fit(DATA)
    table = habits(40.0)
    ranking = model.recommend(DATA.users.ids[:USERS], len(DATA.items))
    for user in range(USERS):
        rest = np.delete(table, user, axis=0)
        found = scores_of(model, *ranking.row(user))
        np.testing.assert_allclose(found, expected(table[user], rest, k, own), atol=1e-6)


def test_a_guest_is_the_formula_with_everybody_as_neighbours() -> None:
    model = TIFUKNN(TIFUKNNParameters(40.0, 4, 0.5)).fit(DATA)
    table = habits(40.0)
    for user in range(USERS):
        events = DATA.events.take(DATA.events.user == user)
        weights = DATA.weights.weigh(events.kind, events.value, events.time, DATA.moment)
        history = History(DATA.items.ids[events.item], weights, events.time)
        found = scores_of(model, *model.recommend_from([history], len(DATA.items)).row(0))
        np.testing.assert_allclose(found, expected(table[user], table, 4, 0.5), atol=1e-5)


def test_by_hand() -> None:
    # user 0 takes a twice and b once; user 1 a and c; user 2 only d
    taken = [(0, 0), (0, 0), (0, 1), (1, 0), (1, 2), (2, 3)]
    rows = [(user, item, "purchase", float(age)) for age, (user, item) in enumerate(taken)]
    data = dataset(rows, users=3, items=4, weights=ONES)
    model = TIFUKNN(TIFUKNNParameters(half_life_days=36_500.0, own=0.6)).fit(data)
    ranking = model.recommend([7], 4)
    assert ranking.products[0, 3] == -1
    given = dict(zip(ranking.products[0, :3].tolist(), ranking.scores[0, :3].tolist(), strict=True))
    assert given == pytest.approx({100: 0.4 + 0.2, 103: 0.2, 106: 0.2}, abs=1e-3)
    explanation = model.explain(7, 100)
    assert explanation.baseline == pytest.approx(0.2, abs=1e-3)
    ((named, part),) = explanation.contributions
    assert named == 100
    assert part == pytest.approx(0.4, abs=1e-3)
    assert model.explain(7, 106).contributions == ()


def test_blocks_of_the_search_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = TIFUKNN(TIFUKNNParameters(neighbours=4)).fit(DATA)
    whole = model.recommend(DATA.users.ids, 10)
    monkeypatch.setattr(tifu_knn, "_SEARCH_BYTES", 16 * 25 * 2)
    parts = model.recommend(DATA.users.ids, 10)
    np.testing.assert_array_equal(whole.products, parts.products)
    np.testing.assert_array_equal(whole.scores, parts.scores)


def test_only_the_strongest_can_be_neighbours() -> None:
    model = TIFUKNN(TIFUKNNParameters(half_life_days=40.0, references=5, own=0.0)).fit(DATA)
    strongest = np.argsort(-habits(40.0).sum(axis=1))[:5]
    assert model.references_.tolist() == sorted(strongest.tolist())
    # a reference is no neighbour of itself: four others are left
    row = int(model.references_[0])
    chosen = model._neighbours(model.history_[[row]], np.array([row]))
    assert 0 not in chosen.indices
    assert chosen.nnz <= 4


def test_taken_by_the_same_people_is_alike() -> None:
    similar = TIFUKNN().fit(DATA).similar_items(DATA.items.ids[[0, 1]], 1)
    assert (DATA.items.index(similar.products[:, 0]) % 2).tolist() == [0, 1]


def test_its_matrices_are_mapped_and_an_artifact_without_them_answers_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TIFUKNN().fit(DATA)
    model.save(tmp_path / "now")
    everything = TIFUKNN._arrays
    monkeypatch.setattr(
        TIFUKNN,
        "_arrays",
        lambda self: {n: a for n, a in everything(self).items() if n in {"references", "source_half_life"}},
    )
    model.save(tmp_path / "before")
    now, before = TIFUKNN.load(tmp_path / "now"), TIFUKNN.load(tmp_path / "before")
    for matrix in (now.shares_, now.directions_):
        assert mapped(matrix.data)
        assert mapped(matrix.indices)
    users = DATA.users.ids[:USERS]
    wanted = model.recommend(users, 10)
    for other in (now, before):
        found = other.recommend(users, 10)
        np.testing.assert_array_equal(found.products, wanted.products)
        np.testing.assert_array_equal(found.scores, wanted.scores)


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"own": 1.5}, {"references": 0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        TIFUKNNParameters(**wrong)  # type: ignore[arg-type]
