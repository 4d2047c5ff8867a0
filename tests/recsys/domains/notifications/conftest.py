"""The shop's counter, as in the journeys."""

from tests.journeys.conftest import counter
from tests.recsys.domains.users.conftest import desk

__all__ = ["counter", "desk"]
