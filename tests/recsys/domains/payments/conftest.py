"""The shop's counter, as in the journeys, and an order to pay."""

from __future__ import annotations

import pytest

from tests.journeys.conftest import Counter, counter
from tests.recsys.domains.users.conftest import Person, desk

__all__ = ["counter", "desk"]


@pytest.fixture
def bought(counter: Counter) -> tuple[Person, int]:
    """Ada, and an order of hers over 30.00."""
    ada = counter.desk.person("ada")
    product, _ = counter.product("Cup", price="30.00", stock=100)
    return ada, counter.order(ada, product)["id"]
