"""A scored shop, and a client that talks to the real application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.running import running
from tests.support.shop import Shop


@pytest.fixture(autouse=True)
def no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers may take their time: what they say is tested, on a machine that does much else."""
    monkeypatch.setenv("RECSYS_SERVING__DEADLINE_MS", "20000")


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch, scored_shop: Shop) -> None:
    """Answers have the time that they have by default."""
    monkeypatch.setenv("RECSYS_SERVING__DEADLINE_MS", "150")
    get_settings.cache_clear()


@pytest.fixture
def open_shop(shop: Shop) -> Shop:
    """Products, users and interactions; nothing trained."""
    shopping.open_shop(shop.database_url)
    return shop


@pytest.fixture
def trained_shop(open_shop: Shop) -> Shop:
    """The same with an active item-kNN model `knn-v1`."""
    shopping.promote(shopping.fit(), "knn-v1")
    return open_shop


@pytest.fixture
def scored_shop(trained_shop: Shop) -> Shop:
    """The same with stored lists."""
    scoring.score()
    return trained_shop


@pytest.fixture
def client(scored_shop: Shop) -> Iterator[httpx.Client]:
    """The application of the scored shop."""
    with running(create_app()) as found:
        yield found


@pytest.fixture
def bare_client(open_shop: Shop) -> Iterator[httpx.Client]:
    """The application of a shop without a model."""
    with running(create_app()) as found:
        yield found
