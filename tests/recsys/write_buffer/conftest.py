"""The small shop of the recommendations domain, and its application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recsys.api import create_api
from recsys.database import absence
from recsys.database.session import dispose_engines
from recsys.settings import get_settings
from recsys.write_buffer import buffer
from tests.recsys.domains.recommendations.conftest import core_client, counter, desk, small_shop
from tests.serving.running import running
from tests.support.shop import Shop

__all__ = ["client", "core_client", "counter", "desk", "small_shop"]


@pytest.fixture
def client(small_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The core of the small shop, with the deadline of posts that it has by default."""
    monkeypatch.setenv("RECSYS_INTAKE__DEADLINE_MS", "500")
    monkeypatch.setenv("RECSYS_DATABASE__POOL_SIZE", "2")
    get_settings.cache_clear()
    dispose_engines()
    monkeypatch.setattr(buffer.postgresql_outage, "seconds", 0.0)
    monkeypatch.setattr(absence, "_latest", absence._Latest())
    with running(create_api()) as found:
        yield found
