"""Chances of likely buyers against what the users of a simulated shop did afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest

from features.dataset import Dataset
from features.interactions import MICROSECONDS_PER_DAY
from models import factory
from models.base import Recommender
from recsys.domains.recommendations.types import INTERACTION_TYPES
from recsys.errors import Invalid
from recsys.simulation.catalogue import draw_truth
from recsys.simulation.parameters import ShopParameters
from recsys.simulation.sessions import SessionGenerator
from serving.segments.by_model import likely_buyers, next_categories
from tests.models.data import dataset
from training.evaluation.splits import time_split
from training.fit.calibration import buying_chances

USERS, PRODUCTS, DAYS, AHEAD = 1_200, 100, 200, 28.0


def simulated(seed: int) -> Dataset:
    """A shop of `recsys simulate`."""
    until = datetime(2026, 11, 29, tzinfo=UTC)
    parameters = ShopParameters(USERS, PRODUCTS, 80_000, until, days=DAYS, seed=seed)
    columns: dict[str, list[npt.NDArray[np.float64]]] = {}
    for block in SessionGenerator(draw_truth(parameters)).blocks():
        for name in ("user", "product", "kind", "day"):
            columns.setdefault(name, []).append(getattr(block, name))
    user, product, kind, day = (np.concatenate(columns[name]).tolist() for name in columns)
    rows = [
        (u, p, INTERACTION_TYPES[k], DAYS - d) for u, p, k, d in zip(user, product, kind, day, strict=True)
    ]
    return dataset(rows, users=USERS, items=PRODUCTS)


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """The whole shop; a model may know it up to `AHEAD` days before its end."""
    return simulated(3)


def trained(shop: Dataset, algorithm: str) -> Recommender:
    """A model as the pipeline trains it on the past, with chances from the test period before its end."""
    past = shop.until(shop.moment - round(AHEAD * MICROSECONDS_PER_DAY))
    split = time_split(past, AHEAD)
    model = factory.create(algorithm, {})
    chances = buying_chances(model.fit(split.train), split, seed=0)
    model = factory.create(algorithm, {}).fit(past)
    model.chances_ = chances
    return model


@pytest.mark.parametrize("algorithm", ["als", "item_knn"])
@pytest.mark.parametrize("new", [False, True])
def test_the_chances_are_those_of_buying_within_the_days(shop: Dataset, algorithm: str, new: bool) -> None:
    model = trained(shop, algorithm)
    assert model.chances_ is not None
    assert model.chances_.days == AHEAD
    later = shop.events.take(shop.events.time > model.moment_)
    bought = later.take(shop.target.mask(later))
    pairs = set(zip(shop.users.ids[bought.user].tolist(), shop.items.ids[bought.item].tolist(), strict=True))
    predicted, happened = [], []
    for product in model.items_.ids.tolist():
        for member in likely_buyers(model, np.array([product]), 200, set, new=new):
            predicted.append(member.chance or 0.0)
            happened.append((member.user_id, product) in pairs)
    chances, taken = np.array(predicted), np.array(happened, dtype=float)
    # all together, and in tenths by chance: those of lists are six times too high for what is new
    assert 0.7 < chances.mean() / taken.mean() < 1.4
    tenths = np.array_split(np.argsort(-chances), 10)
    gaps = [abs(chances[tenth].mean() - taken[tenth].mean()) for tenth in tenths]
    assert np.mean(gaps) < (0.005 if new else 0.015)
    assert taken[tenths[0]].mean() > 2 * taken.mean(), "those named first buy more often than the others"


def test_a_model_without_chances_is_refused(shop: Dataset) -> None:
    model = factory.create("popularity", {}).fit(shop)
    with pytest.raises(Invalid, match="train it again"):
        likely_buyers(model, shop.items.ids[:1], 5, set, new=False)
    with pytest.raises(Invalid, match="train it again"):
        next_categories(model, shop.items.ids, {}, 5, set)
