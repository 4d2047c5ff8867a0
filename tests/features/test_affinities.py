"""Inferred affinities by hand, and what must hold of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.affinities import infer
from tests.support.random_logs import SHOPS, Shop

DAY = 86_400_000_000
NAN = float("nan")
PURCHASE, REVIEW = 3, 4


def test_by_hand() -> None:
    # products 1 and 2 are of category "A > B" and "C"; 4 has none
    shop = Shop(
        [
            (1, 1, PURCHASE, NAN, 0, 90 * DAY),
            (1, 2, PURCHASE, NAN, 0, 0),
            (2, 2, PURCHASE, NAN, 0, 90 * DAY),
            (3, 2, REVIEW, 1.0, 0, 90 * DAY),
            (3, 4, PURCHASE, NAN, 0, 90 * DAY),
        ],
        {1: (0, 2, 1), 2: (0, 3, 2), 4: (0, -1, -1)},
        {},
    )
    found = infer(shop.dataset(), prior=2.5)
    matrix, words = found.facets["category"]
    assert words == ["A > B", "C"]
    # user 1: 5 now and 5 of a half-life ago; the shop: 5 against 2.5 + 5
    assert matrix.toarray()[0] == pytest.approx([(5 + 2.5 * 0.4) / 10, (2.5 + 2.5 * 0.6) / 10])
    assert matrix.toarray()[1] == pytest.approx([0, (5 + 2.5 * 0.6) / 7.5])
    assert matrix[[2]].nnz == 0  # a bad review is no liking
    colours, words = found.facets["color"]
    assert words == ["dark blue"]
    assert colours.toarray().tolist() == [[1], [0], [1]]
    # prices are half the id; the tenth percentile of user 1 is that of product 1
    assert infer(shop.dataset(), prior=0).price.tolist() == [[0.5, 1.0], [1.0, 1.0], [2.0, 2.0]]
    assert found.price[1].tolist() == pytest.approx([(5 * 1 + 2.5 * 0.5) / 7.5, (5 * 1 + 2.5 * 2) / 7.5])


@given(SHOPS, st.floats(0, 50), st.integers(1, 3))
def test_shares_are_shares(shop: Shop, prior: float, words: int) -> None:
    dataset = shop.dataset()
    every, few = infer(dataset, prior=prior), infer(dataset, prior=prior, words=words)
    for facet, (matrix, known) in every.facets.items():
        assert matrix.shape == (len(dataset.users), len(known))
        assert ((matrix.data > 0) & (matrix.data <= 1 + 1e-6)).all()
        assert (np.asarray(matrix.sum(axis=1)) <= 1 + 1e-5).all()
        kept = few.facets[facet][0]
        assert (np.diff(kept.indptr) == np.minimum(np.diff(matrix.indptr), words)).all()
        for row in range(matrix.shape[0]):
            strongest = np.sort(matrix[[row]].data)[::-1][:words]
            np.testing.assert_array_equal(np.sort(kept[[row]].data)[::-1], strongest)
    known_ends = every.price[~np.isnan(every.price[:, 0])]
    assert (known_ends[:, 0] <= known_ends[:, 1]).all()


@given(SHOPS)
def test_more_prior_draws_towards_the_shop(shop: Shop) -> None:
    dataset = shop.dataset()
    matrix = infer(dataset, prior=1e9).facets["brand"][0]
    own = infer(dataset, prior=0.0).facets["brand"][0]
    weight = np.asarray((dataset.matrix.astype(np.float64)).sum(axis=1)).ravel()
    if own.nnz and weight.sum():
        columns = {code: set() for code in range(matrix.shape[1])}  # type: dict[int, set[float]]
        for code, share in zip(matrix.indices.tolist(), matrix.data.tolist(), strict=True):
            columns[code].add(round(share, 5))
        assert all(len(shares) <= 1 for shares in columns.values())  # the same for everyone
