"""Cold items: the ridge regression written out, and a new product that is shown at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.interactions import History
from models.algorithms.content_based.cold_items import ColdItems, ColdItemsParameters
from models.algorithms.content_based.content import ContentBased, ContentBasedParameters
from models.algorithms.factorization.degree_svd import DegreeSVD, DegreeSVDParameters
from recsys.errors import Invalid
from tests.models.data import ITEMS, NEVER_TAKEN, USERS, catalogue, dataset, two_tastes

DATA = two_tastes()
CHOSEN = ColdItemsParameters(
    factors=6, content_factors=1000, content_ridge=0.5, confidence=3.0, trust=2.0, demand=0.0
)


def test_factors_are_the_formula() -> None:
    model = ColdItems(CHOSEN).fit(DATA)
    plain = DegreeSVD(DegreeSVDParameters(factors=6, user_power=0.5)).fit(DATA)
    vectors = ContentBased(ContentBasedParameters(preference=0.0)).fit(DATA).vectors_.toarray()
    # with as many factors as there are, the truncated SVD is a rotation: distances and ridge are the same
    z = np.column_stack([vectors.astype(np.float64), np.ones(len(vectors))])
    users = (DATA.matrix.toarray() > 0).sum(axis=0).astype(np.float64)
    seen = users > 0
    w = np.diag(users[seen] / (users[seen] + 3.0))
    everything = np.arange(len(DATA.items))
    pairs = (model.encoder_of(everything), plain.encoder_of(everything)), (model.decoder_, plain.decoder_)
    for found, factors in pairs:
        length = np.linalg.norm(factors, axis=1)
        unit = factors[seen] / length[seen, None]
        gram = z[seen].T @ w @ z[seen] + 0.5 * np.eye(z.shape[1])
        mapped = z @ np.linalg.solve(gram, z[seen].T @ w @ unit)
        mapped *= np.median(length[users == users[seen].min()])
        own = (users / (users + 2.0))[:, None]
        np.testing.assert_allclose(found, own * factors + (1 - own) * mapped, atol=1e-4)


def test_a_new_product_is_shown_to_those_whose_taste_it_is() -> None:
    features = catalogue(ITEMS + 1)  # the product that nobody took becomes a tool
    for name in ("text", "names"):
        getattr(features, name)[NEVER_TAKEN] = features.text[5]
    for column in (features.category, features.brand, features.price):
        column[NEVER_TAKEN] = column[5]
    data = replace(DATA, item_features=features)
    model = ColdItems(ColdItemsParameters(factors=8)).fit(data)
    new = data.items.ids[NEVER_TAKEN]
    ranking = model.recommend(data.users.ids[:USERS], ITEMS + 1)
    score = np.array([float(ranking.scores[i, ranking.products[i] == new][0]) for i in range(USERS)])
    assert score[1::2].mean() > score[0::2].mean()
    assert (data.items.index(model.similar_items([new], 5).row(0)[0]) % 2 == 1).mean() > 0.5
    # and it speaks for others: a guest who took nothing else gets tools
    shown = model.recommend_from([History.of([new])], 5, exclude="seen").row(0)[0]
    assert (data.items.index(shown) % 2 == 1).mean() > 0.5


def test_a_product_without_events_and_attributes_is_never_recommended() -> None:
    features = catalogue(4)
    silent = replace(
        features,
        text=["", "tea", "tea", ""],
        category=np.full(4, -1, np.int32),
        brand=np.full(4, -1, np.int32),
        price=np.full(4, np.nan, np.float32),
    )
    rows = [(0, 0, "purchase", 1.0), (0, 1, "purchase", 1.0), (1, 1, "purchase", 1.0)]
    data = dataset(rows, users=2, items=4, features=silent)
    model = ColdItems(ColdItemsParameters(demand=0.0)).fit(data)
    assert model.unknown_.tolist() == [3]
    assert data.items.ids[3] not in model.recommend(data.users.ids, 4).products
    assert data.items.ids[2] in model.recommend(data.users.ids, 4).products
    plain = DegreeSVD(DegreeSVDParameters(factors=128, user_power=0.5)).fit(data)
    np.testing.assert_allclose(model.decoder_[0], plain.decoder_[0], atol=1e-6)


def test_scores_count_by_recent_demand() -> None:
    rows = [
        *[(user, 0, "purchase", float(age)) for user, age in ((0, 1), (1, 2), (2, 0))],
        *[(0, 1, "purchase", 100.0), (1, 1, "view", 50.0), (-1, 1, "view", 7.0)],
        *[(2, 2, "purchase", 14.0), (1, 2, "dismissed", 0.0)],
    ]
    data = dataset(rows, users=3, items=4)
    chosen = ColdItemsParameters(factors=2, content_factors=8, demand=2.0, demand_days=7.0)
    model, plain = ColdItems(chosen).fit(data), ColdItems(replace(chosen, demand=0.0)).fit(data)
    # what guests do is demand, a dismissal is none
    sold = np.array(
        [2 ** (-1 / 7) + 2 ** (-2 / 7) + 1, 2 ** (-100 / 7) + 2 ** (-50 / 7) + 0.5, 0.25], np.float64
    )
    share = (sold + 0.1) / (sold + 2.1)
    share = np.append(share, share[2])  # nobody took the last: it counts like the one with the fewest users
    np.testing.assert_allclose(model.decoder_, plain.decoder_ * share[:, None], rtol=1e-5)
    np.testing.assert_array_equal(model.own_encoder_, plain.own_encoder_)
    found, scores = model.recommend(data.users.ids, 4).row(1)
    assert model.explain(17, int(found[0])).score == pytest.approx(float(scores[0]), rel=1e-4)


@pytest.mark.parametrize("wrong", [{"content_factors": 0}, {"content_ridge": 0.0}, {"trust": -1.0}])
def test_parameters_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid, match=next(iter(wrong))):
        ColdItemsParameters(**wrong)  # type: ignore[arg-type]
