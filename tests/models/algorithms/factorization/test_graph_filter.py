"""The graph filter against the dense formula; with the paper's setting it is GF-CF."""

from __future__ import annotations

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


def test_without_the_linear_part_it_is_the_degree_svd() -> None:
    filtered = GraphFilter(GraphFilterParameters(factors=6, linear=0.0)).fit(DATA)
    factors = DegreeSVD(DegreeSVDParameters(factors=6)).fit(DATA)
    left, right = filtered.recommend(DATA.users.ids, 5), factors.recommend(DATA.users.ids, 5)
    np.testing.assert_allclose(left.scores, right.scores, rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"linear": -1.0}, {"factors": 0}, {"values": "x"}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        GraphFilterParameters(**wrong)  # type: ignore[arg-type]
