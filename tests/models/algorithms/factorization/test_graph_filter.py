"""The graph filter against the dense formula; with the paper's setting it is GF-CF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.interactions import History
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from models.algorithms.factorization.graph_filter import GraphFilter, GraphFilterParameters
from recsys.errors import Invalid
from tests.models.data import two_tastes

DATA = two_tastes()


def test_the_papers_setting_is_gf_cf() -> None:
    chosen = GraphFilterParameters(
        factors=6, user_power=0.5, item_power=0.5, ridge=0.0, linear=1 / 0.3, values="binary"
    )
    model = GraphFilter(chosen).fit(DATA)
    x = (DATA.matrix.toarray() > 0).astype(np.float64)
    users, items = np.maximum(x.sum(axis=1), 1.0), np.maximum(x.sum(axis=0), 1.0)
    normal = x / np.sqrt(users)[:, None] / np.sqrt(items)
    vt = np.linalg.svd(normal, full_matrices=False)[2][:6]
    ideal = np.diag(items**-0.5) @ vt.T @ vt @ np.diag(items**0.5)
    columns = np.array([1, 5, 8])
    expected = (normal.T @ normal + 0.3 * ideal)[columns].sum(axis=0) / 0.3
    # the paper's filter gives an item nobody took its own trace; here it has no degree and no score
    taken = x.sum(axis=0) > 0
    products, scores = model.recommend_from([History.of(DATA.items.ids[columns])], len(DATA.items)).row(0)
    found = np.zeros(len(DATA.items))
    found[DATA.items.index(products)] = scores
    np.testing.assert_allclose(found[taken], expected[taken], atol=1e-5)


@pytest.mark.parametrize("copied", [False, True])
def test_degrees_scale_both_filters_and_turn_popular_items_down(copied: bool, tmp_path: Path) -> None:
    chosen = GraphFilterParameters(
        factors=6, user_power=0.35, item_power=0.4, ridge=0.3, linear=0.2, linear_power=0.3,
        popularity_power=0.25, values="binary",
    )  # fmt: skip
    model = GraphFilter(chosen).fit(DATA)
    if copied:
        model.save(tmp_path / "model")
        model = GraphFilter.load(tmp_path / "model")
    x = (DATA.matrix.toarray() > 0).astype(np.float64)
    taken = x.sum(axis=0) > 0
    x = x[:, taken]
    users, items = np.maximum(x.sum(axis=1), 1.0), x.sum(axis=0)
    normal = x * users[:, None] ** -0.35 * items**-0.4
    s, vt = np.linalg.svd(normal, full_matrices=False)[1:]
    s, vt = s[:6], vt[:6]
    low_pass = (
        np.diag(items**-0.4) @ vt.T @ np.diag(s**2 / (s**2 + 0.3 * s[0] ** 2)) @ vt @ np.diag(items**0.4)
    )
    linear = 0.2 * np.diag(items**-0.3) @ normal.T @ normal @ np.diag(items**0.3)
    columns = np.array([1, 4, 6])
    expected = ((low_pass + linear) @ np.diag(items**-0.25))[columns].sum(axis=0)
    history = [History.of(DATA.items.ids[np.flatnonzero(taken)[columns]])]
    products, scores = model.recommend_from(history, len(DATA.items)).row(0)
    found = np.zeros(len(DATA.items))
    found[DATA.items.index(products)] = scores
    np.testing.assert_allclose(found[taken], expected, rtol=1e-4)


def test_without_the_linear_part_it_is_the_degree_svd() -> None:
    filtered = GraphFilter(GraphFilterParameters(factors=6, linear=0.0)).fit(DATA)
    factors = DegreeSVD(DegreeSVDParameters(factors=6)).fit(DATA)
    left, right = filtered.recommend(DATA.users.ids, 5), factors.recommend(DATA.users.ids, 5)
    np.testing.assert_allclose(left.scores, right.scores, rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"linear": -1.0}, {"factors": -1}, {"values": "x"}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        GraphFilterParameters(**wrong)  # type: ignore[arg-type]
