"""Degree-normalised SVD against the dense formula, and its truncated SVD against LAPACK's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from features.interactions import History
from models.algorithms.factorization.als import ALS
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.shared import factor_model, truncated_svd
from models.algorithms.shared.factor_model import affordable_factors
from models.algorithms.shared.truncated_svd import right_singular
from recsys.errors import Invalid
from tests.models.data import two_tastes

DATA = two_tastes()


def dense_map(factors: int, user_power: float, item_power: float, ridge: float) -> np.ndarray:
    """items × items: score(x) = x @ this."""
    x = np.log1p(DATA.matrix.toarray().astype(np.float64))
    users, items = x.sum(axis=1), x.sum(axis=0)
    with np.errstate(divide="ignore"):
        left = np.where(users > 0, users**-user_power, 0.0)
        right = np.where(items > 0, items**-item_power, 0.0)
    _, s, vt = np.linalg.svd(left[:, None] * x * right, full_matrices=False)
    s, vt = s[:factors], vt[:factors]
    shrink = s**2 / (s**2 + ridge * s[s.size // 8] ** 2)
    unscale = np.divide(1.0, right, out=np.zeros_like(right), where=right > 0)
    return (right[:, None] * vt.T * shrink) @ (vt * unscale)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_fold_in_is_the_closed_form(ridge: float) -> None:
    chosen = DegreeSVDParameters(factors=9, user_power=0.5, item_power=0.4, ridge=ridge)
    model = DegreeSVD(chosen).fit(DATA)
    columns, given = np.array([1, 5, 8]), np.array([1.0, 3.0, 0.2])
    products, scores = model.recommend_from(
        [History.of(DATA.items.ids[columns], given)], len(DATA.items)
    ).row(0)
    expected = np.log1p(given) @ dense_map(9, 0.5, 0.4, ridge)[columns]
    np.testing.assert_allclose(scores, expected[DATA.items.index(products)], atol=1e-5)


def test_an_artifact_with_an_encoder_of_its_own_gives_the_same_lists(tmp_path: Path) -> None:
    model = DegreeSVD(DegreeSVDParameters(factors=9)).fit(DATA)
    former = DegreeSVD(DegreeSVDParameters(factors=9)).fit(DATA)
    former.own_encoder_ = former.encoder_of(np.arange(len(DATA.items)))
    former.save(tmp_path / "former")
    assert (tmp_path / "former" / "fitted_encoder.npy").exists()
    read = DegreeSVD.load(tmp_path / "former")
    ranking, expected = (each.recommend(DATA.users.ids, 5) for each in (read, model))
    assert np.array_equal(ranking.products, expected.products)
    np.testing.assert_allclose(ranking.scores, expected.scores, rtol=1e-5)
    model.save(tmp_path / "model")
    assert not (tmp_path / "model" / "fitted_encoder.npy").exists()


@pytest.mark.parametrize("shape", [(300, 180), (180, 300)])
@pytest.mark.parametrize("rows_at_once", [truncated_svd.ROWS_AT_ONCE, 7])
def test_singular_vectors_are_lapacks(
    shape: tuple[int, int], rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truncated_svd, "ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(0)
    matrix = rng.random(shape) * (rng.random(shape) < 0.1) * np.geomspace(1, 0.05, shape[1])
    found, vectors = right_singular(
        sparse.csr_matrix(matrix.astype(np.float32)), 12, seed=3, block=4, excess=10
    )
    _, expected, vt = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(found, expected[:12], rtol=1e-4)
    # up to sign, and only where the neighbour is not nearly equal: compare the projections on the space
    inside = np.linalg.norm(vt[:12] @ vectors[:, :8], axis=0)
    np.testing.assert_allclose(inside, 1.0, atol=1e-4)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(12), atol=1e-5)


def test_more_factors_than_the_matrix_has() -> None:
    model = DegreeSVD(DegreeSVDParameters(factors=500)).fit(DATA)
    assert model.decoder_.shape[1] == min(DATA.matrix.shape)
    assert np.isfinite(model.encoder_of(np.arange(len(DATA.items)))).all()
    assert np.isfinite(model.decoder_).all()


@pytest.mark.parametrize(
    "wrong", [{"factors": -1}, {"user_power": 2.0}, {"item_power": -0.1}, {"ridge": -1.0}]
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        DegreeSVDParameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("users", "items", "most", "expected"),
    [(2_000, 60_000, 512, 512), (100_000, 31_072, 512, 256), (1_000_000, 200_000, 512, 128), (5, 5, 64, 64)],
)
def test_a_length_that_is_not_given_is_the_one_that_memory_allows(
    users: int, items: int, most: int, expected: int
) -> None:
    assert affordable_factors(most, (users, items)) == expected


@pytest.mark.parametrize(("users_per_factor", "factors"), [(0, 20), (2, 12), (3, 8), (24, 4)])
def test_few_users_bound_the_factors(users_per_factor: int, factors: int) -> None:
    model = DegreeSVD(DegreeSVDParameters(factors=20, users_per_factor=users_per_factor)).fit(DATA)
    assert model.decoder_.shape[1] == factors


def test_a_fit_takes_the_length_that_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factor_model, "FEWEST_FACTORS", 5)
    monkeypatch.setattr(factor_model, "ALL_VECTORS", 7 * sum(DATA.matrix.shape))
    assert DegreeSVD().fit(DATA).decoder_.shape[1] == 7
    assert ALS().fit(DATA).item_factors_.shape[1] == 7


def test_what_the_fit_chose_can_be_read() -> None:
    assert DegreeSVD().fit(DATA).chosen_parameters == {"factors": min(DATA.matrix.shape)}
    assert DegreeSVD(DegreeSVDParameters(factors=5)).fit(DATA).chosen_parameters == {}
