"""Lists made from vectors in tiles, against a full sort and against models that hold all scores."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from models.algorithms.factorization.als import ALS, ALSParameters
from models.algorithms.factorization.bpr import BPR, BPRParameters
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.factorization.graph_filter import GraphFilter, GraphFilterParameters
from models.algorithms.shared import factor_model
from models.base import Recommender
from models.ranking.mips import exact, norm_sorted
from models.ranking.mips.accumulator import Leaders, places
from models.ranking.mips.exact import best_of_factors
from models.ranking.mips.factors import Factors
from models.shared import parallel
from tests.models.data import two_tastes
from tests.models.ranking.sorting import by_sorting

NOBODY = np.empty(0, dtype=np.int64)


def whole(n: int, m: int, distinct: int, seed: int, order: str = "random") -> Factors:
    """Small whole numbers: every product and sum is exact, so that ties are ties in any order of adding.

    Parameters
    ----------
    order
        "rising" scores with the rows, or "falling" lengths: few items have long vectors.
    """
    chance = np.random.default_rng(seed)
    users = chance.integers(-distinct, distinct + 1, (n, 3)).astype(np.float32)
    items = chance.integers(-distinct, distinct + 1, (m, 3)).astype(np.float32)
    if order == "rising":
        users, items = np.abs(users), np.sort(items, axis=0)
    if order == "falling":
        items *= np.float32(2) ** -chance.integers(0, 8, (m, 1)).astype(np.float32)
    return Factors(users, items)


def all_scores(given_: Factors) -> npt.NDArray[np.float32]:
    out = np.empty((given_.users.shape[0], given_.items.shape[0]), dtype=np.float32)
    given_.score(out)
    return out


@settings(max_examples=150)
@given(
    n=st.integers(1, 9),
    m=st.sampled_from([0, 1, 7, 33, 64, 100, 700, 3_000]),
    k=st.integers(1, 40),
    distinct=st.sampled_from([1, 3, 1_000]),
    order=st.sampled_from(["random", "rising", "falling"]),
    with_bias=st.booleans(),
    cold=st.floats(0, 1),
    hidden=st.floats(0, 1),
    seen=st.floats(0, 0.5),
    silent=st.floats(0, 0.5),
    tile=st.sampled_from([64, 1_000, 2**18]),
    at_once=st.sampled_from([2, 512]),
    chunk=st.sampled_from([2, 64]),
    step=st.sampled_from([1, 512]),
    wide=st.sampled_from([-1.0, 0.3, 1.0]),
    sampled=st.sampled_from([32, 512]),
    seed=st.integers(0, 2**31),
)
def test_tiles_give_the_start_of_a_stable_sort(
    n: int,
    m: int,
    k: int,
    distinct: int,
    order: str,
    with_bias: bool,
    cold: float,
    hidden: float,
    seen: float,
    silent: float,
    tile: int,
    at_once: int,
    chunk: int,
    step: int,
    wide: float,
    sampled: int,
    seed: int,
) -> None:
    chance = np.random.default_rng(seed)
    asked = replace(
        whole(n, m, distinct, seed, order),
        bias=chance.integers(-2, 3, m).astype(np.float32) if with_bias else None,
        hidden=np.flatnonzero(chance.random(m) < cold) if cold < 0.5 else None,
        silent=chance.random(n) < silent,
    )
    barred = np.flatnonzero(chance.random(m) < hidden) if hidden < 0.8 else NOBODY
    own = sparse.csr_matrix((chance.random((n, m)) < seen).astype(np.float32))
    with (
        patch.object(exact, "TILE", tile),
        patch.object(exact, "USERS_AT_ONCE", at_once),
        patch.object(exact, "CHUNK", chunk),
        patch.object(exact, "SPAN", 4 * chunk),
        patch.object(exact, "WIDE", wide),
        patch.object(norm_sorted, "STEP", step),
        patch.object(exact, "SAMPLED", (sampled, 2 * sampled)),
    ):
        columns, values = best_of_factors(asked, k, hidden=barred, seen=own)
    scores = all_scores(asked)
    scores[:, barred] = -np.inf
    scores[own.nonzero()] = -np.inf
    np.testing.assert_array_equal(columns, by_sorting(scores, k))
    filled = columns >= 0
    np.testing.assert_array_equal(values[~filled], -np.inf)
    np.testing.assert_array_equal(values[filled], scores[np.nonzero(filled)[0], columns[filled]])


def test_users_for_whom_the_guess_was_too_high_get_whole_lists() -> None:
    # about every second product is in the sample, and so are all 48 that this user likes
    sample = np.linspace(0, 20_000, 9_984, endpoint=False, dtype=np.int64)
    items = np.tile(np.array([0.0, 1.0], dtype=np.float32), (20_000, 1))
    items[sample[::208]] = 1.0, 0.0
    asked = Factors(np.array([[1.0, 0.0]], dtype=np.float32), items)
    with (
        patch.object(exact, "SAMPLED", (9_984, 9_984)),
        patch.object(exact._Walk, "best", autospec=True, side_effect=exact._Walk.best) as walked,
    ):
        columns, _ = best_of_factors(asked, 50, hidden=NOBODY)
    assert walked.call_count == 2
    np.testing.assert_array_equal(columns, by_sorting(all_scores(asked), 50))


def test_a_wrong_guess_costs_no_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = whole(5, 4_000, 50, seed=3)
    monkeypatch.setattr(
        exact._Walk, "_guessed", lambda walk: np.full(walk.n, 7_000, dtype=np.float32), raising=True
    )
    monkeypatch.setattr(exact, "WIDE", -1.0)
    columns, _ = best_of_factors(asked, 20, hidden=NOBODY)
    np.testing.assert_array_equal(columns, by_sorting(all_scores(asked), 20))


def skewed(n: int, m: int, factors: int, bias: bool, seed: int = 4) -> Factors:
    """Random vectors, most of the items' short: as of a shop where few products sell much."""
    chance = np.random.default_rng(seed)
    items = chance.standard_normal((m, factors), dtype=np.float32)
    items *= chance.pareto(1.5, (m, 1)).astype(np.float32)
    users = chance.standard_normal((n, factors), dtype=np.float32)
    return Factors(users, items, chance.standard_normal(m, dtype=np.float32) if bias else None)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("factors", [1, 7, 64, 300])
def test_a_pass_that_ends_early_loses_nothing(factors: int, bias: bool) -> None:
    asked = skewed(130, 20_000, factors, bias)
    with patch.object(exact._Walk, "_keep", autospec=True, side_effect=exact._Walk._keep) as kept:
        columns, values = best_of_factors(asked, 20, hidden=NOBODY)
    looked_at = sum(call.args[2].size for call in kept.call_args_list)
    assert looked_at < 0.6 * 192 * 20_000
    scores = all_scores(asked)
    best = np.take_along_axis(scores, by_sorting(scores, 20), axis=1)
    np.testing.assert_allclose(values, best, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(scores, columns, axis=1), values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("factors", [3, 64, 100, 128, 257, 1_100])
def test_equal_products_tie_wherever_they_stand(factors: int) -> None:
    """Their scores are of the same bits in a whole tile and in the rest of one.

    Where the BLAS itself gives equal rows of one product different bits (OpenBLAS does with AVX2 alone, where
    it takes six rows at a time and the rest otherwise), they agree to rounding, and each is listed once.
    """
    chance = np.random.default_rng(factors)
    items = np.repeat(chance.standard_normal((1, factors), dtype=np.float32), 9_001, axis=0)
    asked = Factors(chance.standard_normal((70, factors), dtype=np.float32), items)
    columns, values = best_of_factors(asked, 9_001, hidden=NOBODY)
    tile = np.matmul(items[:64], np.ascontiguousarray(asked.users[:64].T))
    if not (tile == tile[:1]).all():
        np.testing.assert_allclose(values, values[:, :1].repeat(9_001, axis=1), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(np.sort(columns), np.arange(9_001)[None].repeat(70, axis=0))
        return
    np.testing.assert_array_equal(values, values[:, :1].repeat(9_001, axis=1))
    np.testing.assert_array_equal(columns, np.arange(9_001)[None].repeat(70, axis=0))


def test_the_last_shelf_is_kept_until_the_vectors_change() -> None:
    kept, asked = norm_sorted.LastShelf(), whole(3, 40, 5, seed=1)
    first = kept.of(asked)
    assert kept.of(replace(asked, users=asked.users[:1])) is first
    assert kept.of(replace(asked, items=asked.items.copy())) is not first
    assert len(kept.of(replace(asked, hidden=np.arange(3)))) == 37


def test_negative_zero_ties_with_zero() -> None:
    leaders = Leaders(1, 3, 2)
    leaders.add(np.zeros(3, np.int64), np.arange(3), np.array([-0.0, 0.0, -1.0], dtype=np.float32))
    columns, values = leaders.best()
    assert columns.tolist() == [[0, 1]]
    assert values.tolist() == [[0.0, 0.0]]


@settings(max_examples=100)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_leaders_order_any_floats(given_: list[float]) -> None:
    values = np.array([given_], dtype=np.float32)
    leaders = Leaders(1, values.size, 10)
    leaders.add(np.zeros(values.size, np.int64), np.arange(values.size), values[0])
    np.testing.assert_array_equal(leaders.best()[0], by_sorting(values, 10))


def test_too_many_rows_for_the_columns_are_refused() -> None:
    assert Leaders.rows_at_once(90_000) == 2**14
    with pytest.raises(ValueError, match="at most 512"):
        Leaders(513, 2**22, 10)


@settings(max_examples=100)
@given(st.integers(0, 700), st.floats(0, 1), st.integers(0, 2**31))
def test_places_is_flatnonzero(size: int, share: float, seed: int) -> None:
    marks = np.random.default_rng(seed).random(size) < share**4
    np.testing.assert_array_equal(places(marks), np.flatnonzero(marks))


FITTED: list[Recommender] = [
    ALS(ALSParameters(factors=6, iterations=3)),
    BPR(BPRParameters(factors=6, iterations=5)),
    DegreeSVD(DegreeSVDParameters(factors=6)),
    GraphFilter(GraphFilterParameters(factors=6)),
]


@pytest.fixture(params=FITTED, ids=lambda model: str(model.algorithm), scope="module")
def model(request: pytest.FixtureRequest) -> Recommender:
    chosen: Recommender = request.param
    return chosen.fit(two_tastes())


@pytest.fixture
def tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("FEWEST_USERS", 1), ("FEWEST_ITEMS", 1), ("ITEMS_PER_K", 0)):
        monkeypatch.setattr(factor_model, name, value)
    monkeypatch.setattr(exact, "TILE", 100)
    monkeypatch.setattr(exact, "USERS_AT_ONCE", 5)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("only", [None, "few", "many"])
@pytest.mark.parametrize("exclude", [None, "seen", "two"])
def test_a_model_gives_the_same_lists_in_tiles(
    model: Recommender, workers: int, only: str | None, exclude: str | None, request: pytest.FixtureRequest
) -> None:
    ids = model.items_.ids
    chosen = {None: None, "few": ids[3:9], "many": ids[2:]}[only]
    barred = {None: None, "seen": "seen", "two": ids[4:6]}[exclude]
    want = model.recommend(model.users_.ids, 12, exclude=barred, only=chosen)
    request.getfixturevalue("tiled")
    with patch.object(parallel, "WORKERS", workers):
        got = model.recommend(model.users_.ids, 12, exclude=barred, only=chosen)
    np.testing.assert_allclose(got.scores, want.scores, rtol=1e-5, atol=1e-6)
    # rounding of the last digit may turn two neighbours round, and nothing else
    differs = got.products != want.products
    where = np.nonzero(differs)
    np.testing.assert_allclose(got.scores[where], want.scores[where], rtol=1e-5, atol=1e-6)
    assert (np.sort(got.products, axis=1) == np.sort(want.products, axis=1)).mean() > 0.98


def test_threads_change_nothing(model: Recommender, tiled: None) -> None:
    users = model.users_.ids
    with patch.object(parallel, "WORKERS", 1):
        alone = model.recommend(users, 10, exclude="seen")
    with patch.object(parallel, "WORKERS", 2):
        shared = model.recommend(users, 10, exclude="seen")
    np.testing.assert_array_equal(alone.products, shared.products)
    np.testing.assert_array_equal(alone.scores, shared.scores)


def test_tiles_are_used_by_those_models_only(model: Recommender, tiled: None) -> None:
    with patch.object(exact._Walk, "best", side_effect=AssertionError("in tiles")):
        if model.algorithm == "graph_filter":
            model.recommend(model.users_.ids, 3)
        else:
            with pytest.raises(AssertionError, match="in tiles"):
                model.recommend(model.users_.ids, 3)
