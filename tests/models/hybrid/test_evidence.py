"""Evidence of a hybrid: the product itself, then item weights, vectors, people, category, in this order."""

from __future__ import annotations

import numpy as np
import pytest

from models.hybrid.hybrid import Hybrid, HybridParameters
from models.results import Ranking
from tests.models.data import dataset
from tests.models.shops import SHOPS

MEMBERS = {
    "popularity": {"algorithm": "popularity"},
    "tifu_knn": {"algorithm": "tifu_knn", "parameters": {"neighbours": 20}},
}
WEIGHTS = {"co_visitation": {"algorithm": "co_visitation"}}


def hybrid(members: dict[str, dict[str, object]], data: object) -> Hybrid:
    return Hybrid(HybridParameters(members=members, trees=0)).fit(data)  # type: ignore[arg-type]


def test_people_name_the_product_that_those_who_have_the_listed_one_have_most() -> None:
    # three people have the items 0 and 2, one has 1 and 2; the last user, who is asked about, has 0 and 1
    pairs = [(0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2), (3, 1), (3, 2), (4, 0), (4, 1)]
    rows = [(user, item, "purchase", 1.0) for user, item in pairs]
    data = dataset(rows, users=5, items=3)  # type: ignore[arg-type]
    model = hybrid({"popularity": {"algorithm": "popularity"}}, data)
    first, second, listed = data.items.ids.tolist()
    asked = np.array([[listed, second, first]])
    ranking = Ranking(data.users.ids[[4]], asked, np.array([[3.0, 2.0, 1.0]], np.float32))
    assert model.evidence(ranking).tolist() == [[first, second, first]]


@pytest.mark.parametrize("name", sorted(SHOPS))
@pytest.mark.parametrize("members", [MEMBERS, MEMBERS | WEIGHTS])
def test_almost_every_place_has_evidence_and_it_is_the_users_own(
    name: str, members: dict[str, dict[str, object]]
) -> None:
    data = SHOPS[name]()
    model = hybrid(members, data)
    for exclude in (None, "seen"):
        ranking = model.recommend(data.users.ids, 20, exclude=exclude)
        evidence = model.evidence(ranking)
        there = ranking.products >= 0
        assert (evidence[~there] == -1).all()
        assert (evidence[there] >= 0).mean() >= 0.95
        for row, user in enumerate(data.users.ids.tolist()):
            own = data.items.ids[data.matrix[data.users.index([user])[0]].indices]
            named = evidence[row][evidence[row] >= 0]
            assert set(named.tolist()) <= set(own.tolist())
            itself = there[row] & np.isin(ranking.products[row], own)
            np.testing.assert_array_equal(evidence[row][itself], ranking.products[row][itself])
