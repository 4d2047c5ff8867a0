"""A real streaming replica is read where it is near enough, and never where it would show what was before."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from recsys.database import migrate, replica
from recsys.database.session import unit_of_work
from recsys.diagnosis import doctor
from recsys.embedded.processes import free_port
from recsys.settings import get_settings
from serving.state.refresher import Refresher
from tests.support.hosts.streaming_replica import Replicated, replicated
from tests.support.shop import Shop, forget_connections

WHERE = text("SELECT pg_is_in_recovery()")
INSERT = "INSERT INTO products_db.brands (name, slug) VALUES ('b', 'b') ON CONFLICT DO NOTHING"


@pytest.fixture(scope="module")
def both() -> Iterator[Replicated]:
    """A migrated primary and its replica, for all tests of the module."""
    with replicated() as running:
        migrate.upgrade(running.primary_url)
        running.wait()
        yield running


@pytest.fixture
def replicated_shop(shop: Shop, both: Replicated, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replicated]:
    """The shop of settings that name both, with a replica that is measured at each read."""
    monkeypatch.setenv("RECSYS_DATABASE__URL", both.primary_url)
    monkeypatch.setenv("RECSYS_DATABASE__REPLICA_URL", both.replica_url)
    monkeypatch.setenv("RECSYS_DATABASE__REPLICA_LAG_SECONDS", "0.2")
    monkeypatch.setattr(replica, "_EVERY_SECONDS", -1.0)
    forget_connections()
    replica.forget()
    both.wait()
    try:
        yield both
    finally:
        both.resume()
        both.wait()
        forget_connections()
        replica.forget()


def is_replica(session: Session) -> bool:
    return bool(session.scalar(WHERE))


def test_a_replica_that_follows_is_read(replicated_shop: Replicated) -> None:
    assert replica.read(is_replica) is True
    assert replica.measure(f"postgresql+psycopg://{replicated_shop.replica_url[13:]}").lag == 0.0


def test_a_replica_that_falls_behind_is_left_alone_until_it_follows_again(
    replicated_shop: Replicated,
) -> None:
    assert replica.read(is_replica) is True
    replicated_shop.pause()
    # nothing is written: the replica has all that there is
    assert replica.read(is_replica) is True
    replicated_shop.execute(replicated_shop.primary_url, INSERT)
    end = time.monotonic() + 60
    while replica.read(is_replica):
        assert time.monotonic() < end, "the replica is still read"
        time.sleep(0.02)
    assert replica.read(is_replica) is False
    replicated_shop.resume()
    replicated_shop.wait()
    assert replica.read(is_replica) is True


def test_a_read_that_needs_a_position_waits_for_no_replica(replicated_shop: Replicated) -> None:
    replicated_shop.pause()
    replicated_shop.execute(replicated_shop.primary_url, "CREATE TABLE IF NOT EXISTS later (x integer)")
    with unit_of_work() as session:
        place = replica.position(session)
    assert place > 0
    assert replica.read(is_replica, after=place) is False
    replicated_shop.resume()
    replicated_shop.wait()
    assert replica.read(is_replica, after=place) is True


@pytest.mark.parametrize("kind", ["away", "no replica"])
def test_another_server_in_its_place_is_not_read(
    replicated_shop: Replicated, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    url = (
        replicated_shop.primary_url
        if kind == "no replica"
        else f"postgresql://shop@127.0.0.1:{free_port()}/x"
    )
    monkeypatch.setenv("RECSYS_DATABASE__REPLICA_URL", url)
    forget_connections()
    assert replica.read(is_replica) is False
    assert math.isinf(replica.measure(f"postgresql+psycopg://{url[13:]}").lag)
    found = next(each for each in doctor.examine(get_settings()) if each.part == "replica")
    assert found.state == ("broken" if kind == "no replica" else "attention")


def test_the_doctor_tells_a_replica_that_is_behind(replicated_shop: Replicated) -> None:
    def state() -> str:
        return next(each.state for each in doctor.examine(get_settings()) if each.part == "replica")

    assert state() == "ok"
    replicated_shop.pause()
    replicated_shop.execute(replicated_shop.primary_url, "CREATE TABLE IF NOT EXISTS behind (x integer)")
    assert state() == "attention"


def test_the_catalogue_does_not_go_back_behind_an_event(replicated_shop: Replicated) -> None:
    with psycopg.connect(replicated_shop.primary_url) as connection:
        row = connection.execute(
            "INSERT INTO products_db.products (name, sku, slug, price, status) "
            "VALUES ('Lamp', 'lamp', 'lamp', 10, 'active') RETURNING id"
        ).fetchone()
    assert row is not None
    replicated_shop.wait()
    refresher = Refresher()
    refresher.refresh_catalogue()

    def price() -> float:
        catalogue = refresher.data.catalogue
        return float(catalogue.price[catalogue.row(row[0])])

    assert price() == 10.0
    replicated_shop.pause()
    replicated_shop.execute(replicated_shop.primary_url, "UPDATE products_db.products SET price = 12")
    refresher.refresh_products([row[0]])
    assert price() == 12.0
    for _ in range(5):
        refresher.refresh_catalogue()
        assert price() == 12.0
    replicated_shop.resume()
    replicated_shop.wait()
    refresher.refresh_catalogue()
    assert price() == 12.0
