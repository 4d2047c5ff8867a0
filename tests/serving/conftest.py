"""A scored shop, and a client that talks to the real application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from models.registry import registry
from recsys.database.session import unit_of_work
from recsys.settings import get_settings
from serving.batch import scoring
from serving.server.app import create_app
from tests.serving import shopping
from tests.serving.running import running
from tests.serving.shop_snapshot import ShopSnapshots
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


@pytest.fixture(scope="session")
def shop_snapshots(tmp_path_factory: pytest.TempPathFactory) -> ShopSnapshots:
    """The shops below, made once for each pytest process."""
    return ShopSnapshots(tmp_path_factory.mktemp("shops"))


def _open(shop: Shop) -> None:
    shopping.open_shop(shop.database_url)


def _train(shop: Shop) -> None:
    _open(shop)
    shopping.promote(shopping.fit(), "knn-v1")


def _score(shop: Shop) -> None:
    _train(shop)
    scoring.score()


def _index(shop: Shop) -> None:
    _score(shop)
    assert shop.run("search", "reindex").returncode == 0


@pytest.fixture
def open_shop(shop: Shop, shop_snapshots: ShopSnapshots) -> Shop:
    """Products, users and interactions; nothing trained."""
    shop_snapshots.fill(shop, "open", _open)
    return shop


@pytest.fixture
def trained_shop(shop: Shop, shop_snapshots: ShopSnapshots) -> Shop:
    """The same with an active item-kNN model `knn-v1`."""
    shop_snapshots.fill(shop, "trained", _train)
    return shop


@pytest.fixture
def scored_shop(shop: Shop, shop_snapshots: ShopSnapshots) -> Shop:
    """The same with stored lists."""
    shop_snapshots.fill(shop, "scored", _score)
    return shop


@pytest.fixture
def two_models(scored_shop: Shop) -> Shop:
    """knn-v1 serves and has stored lists; popularity-v1 is registered."""
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    with unit_of_work() as session:
        registry.activate(session, "knn-v1")
    return scored_shop


@pytest.fixture
def searchable_shop(shop: Shop, shop_snapshots: ShopSnapshots) -> Shop:
    """The same whose products can be searched."""
    shop_snapshots.fill(shop, "searchable", _index)
    return shop


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
