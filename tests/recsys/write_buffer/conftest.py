"""The small shop of the recommendations domain, and its application."""

from __future__ import annotations

from tests.recsys.domains.recommendations.conftest import core_client, counter, desk, small_shop

__all__ = ["core_client", "counter", "desk", "small_shop"]
