"""People of a segment, and a model of them."""

from __future__ import annotations

import pytest

from models.base import Recommender
from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.privacy import consent
from recsys.privacy.consent import Consent
from tests.support.shop import Shop

REFUSING, INACTIVE = 5, 29
"""User 29 of the shop is inactive; user 5 refuses personalisation in these tests."""


@pytest.fixture
def model(trained_shop: Shop) -> Recommender:
    """The active model of the shop, one of whose users refuses."""
    with unit_of_work() as session:
        consent.change(session, REFUSING, None, Consent(False, True))
    with unit_of_work() as session:
        active = registry.active(session)
    assert active is not None
    return registry.load(active)
