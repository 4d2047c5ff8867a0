"""A shop with an administrator, as journeys have it."""

from __future__ import annotations

from tests.journeys.conftest import counter
from tests.recsys.domains.users.conftest import desk

__all__ = ["counter", "desk"]
