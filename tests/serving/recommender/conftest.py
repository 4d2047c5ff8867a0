"""A shop with two models."""

from __future__ import annotations

import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from tests.serving import shopping
from tests.support.shop import Shop


@pytest.fixture
def two_models(scored_shop: Shop) -> Shop:
    """knn-v1 serves and has stored lists; popularity-v1 is registered."""
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    return scored_shop
