"""A shop of two users and five products, the core's application, and its administrator."""

from tests.journeys.conftest import counter
from tests.recsys.domains.recommendations.conftest import core_client, small_shop
from tests.recsys.domains.users.conftest import desk

__all__ = ["core_client", "counter", "desk", "small_shop"]
