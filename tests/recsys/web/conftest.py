"""The counter of a whole shop, for what every route has in common."""

from __future__ import annotations

from tests.journeys.conftest import counter, desk

__all__ = ["counter", "desk"]
