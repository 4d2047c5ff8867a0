"""RP3beta against the three random steps written out."""

from __future__ import annotations

import numpy as np
import pytest

from features.interactions import History
from models.algorithms.neighbourhood.rp3beta import RP3Beta, RP3BetaParameters
from recsys.errors import Invalid
from tests.models.data import dataset, two_tastes


def test_a_shop_small_enough_for_paper() -> None:
    # user 0 took a and b, user 1 took b and c: a walk gets from a to b with 1/2, from b to a with 1/4
    rows = [
        (0, 0, "purchase", 1.0),
        (0, 1, "purchase", 1.0),
        (1, 1, "purchase", 1.0),
        (1, 2, "purchase", 1.0),
    ]
    data = dataset(rows, users=2, items=3)
    plain = RP3Beta(RP3BetaParameters(alpha=1.0, beta=0.0, values="binary")).fit(data)
    expected = [[0.0, 0.5, 0.0], [0.25, 0.0, 0.25], [0.0, 0.5, 0.0]]
    np.testing.assert_allclose(plain.weights_.toarray(), expected, atol=1e-6)
    turned_down = RP3Beta(RP3BetaParameters(alpha=1.0, beta=1.0, values="binary")).fit(data)
    np.testing.assert_allclose(turned_down.weights_.toarray()[0], [0.0, 0.25, 0.0], atol=1e-6)


def test_fold_in_is_the_closed_form() -> None:
    data = two_tastes()
    model = RP3Beta(RP3BetaParameters(alpha=0.8, beta=0.4, values="linear")).fit(data)
    x = data.matrix.toarray().astype(np.float64)
    users, items = x.sum(axis=1, keepdims=True), x.sum(axis=0)
    forth = np.divide(x, users, out=np.zeros_like(x), where=users > 0) ** 0.8
    back = np.divide(x, items, out=np.zeros_like(x), where=items > 0).T ** 0.8
    with np.errstate(divide="ignore"):
        weights = (back @ forth) * np.where(items > 0, items**-0.4, 0.0)
    np.fill_diagonal(weights, 0.0)
    columns, given = np.array([0, 3, 7]), np.array([2.0, 0.5, 1.0])
    products, scores = model.recommend_from([History.of(data.items.ids[columns], given)], 10).row(0)
    expected = (given @ weights[columns])[data.items.index(products)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"beta": -1.0}, {"neighbours": 0}, {"values": ""}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        RP3BetaParameters(**wrong)  # type: ignore[arg-type]
