"""The shop's counter, as in the journeys."""

from tests.domains.users.conftest import desk
from tests.journeys.conftest import counter

__all__ = ["counter", "desk"]
