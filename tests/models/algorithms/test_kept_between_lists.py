"""What a model keeps to make similar lists from is of its last fit."""

from __future__ import annotations

import numpy as np
import pytest

from models import factory
from tests.models.data import two_tastes


@pytest.mark.parametrize("algorithm", ["tifu_knn", "als", "degree_svd"])
def test_similar_products_follow_a_new_fit(algorithm: str) -> None:
    data = two_tastes()
    half = data.until(int(np.median(data.events.time)))
    model = factory.create(algorithm).fit(data)
    before = model.similar_items(half.items.ids, 5).scores
    after = model.fit(half).similar_items(half.items.ids, 5).scores
    fresh = factory.create(algorithm).fit(half).similar_items(half.items.ids, 5).scores
    assert np.array_equal(after, fresh)
    assert not np.array_equal(after, before)
