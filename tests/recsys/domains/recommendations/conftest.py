"""A shop of two users and five products, and the core's application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recsys.api import create_api
from tests.journeys.conftest import counter
from tests.recsys.domains.users.conftest import desk
from tests.serving.running import running
from tests.support.shop import Shop

__all__ = ["core_client", "counter", "desk", "small_shop"]


@pytest.fixture
def small_shop(shop: Shop) -> Shop:
    """Users 1 and 2 (u1, u2), products 1 to 5."""
    with shop.connect() as connection:
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', 'x' FROM generate_series(1, 2) i"
        )
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )
    return shop


@pytest.fixture
def core_client(small_shop: Shop) -> Iterator[httpx.Client]:
    """The core's own application; it imports no machine learning."""
    with running(create_api()) as client:
        yield client
