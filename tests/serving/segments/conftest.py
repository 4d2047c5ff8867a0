"""A shop with people of each kind of segment."""

from __future__ import annotations

import pytest

from models.base import Recommender
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from tests.serving.segments.people import REFUSING
from tests.support.shop import Shop


@pytest.fixture
def model(trained_shop: Shop) -> Recommender:
    """The active model of the shop, one of whose users refuses."""
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    with unit_of_work() as session:
        active = registry.active(session)
    assert active is not None
    return registry.load(active)
