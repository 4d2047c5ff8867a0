"""PostgreSQL is killed in the middle of a busy hour and comes back: nothing is lost or done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import text

from recsys import embedded
from recsys.api import create_api
from recsys.cache.client import get_redis
from recsys.database import migrate
from recsys.database.session import unit_of_work
from recsys.domains.products import service
from recsys.domains.products.schemas import ProductIn, VariantIn
from recsys.events import dead_letters
from recsys.settings import Settings
from tests.journeys.conftest import ADDRESS
from tests.serving.running import running
from tests.support import warm
from tests.support.guests import guest as guest_header
from tests.support.servers import temporary_var
from tests.support.shop import forget_connections

SHOPPERS = 4
STOCK = 100_000


@pytest.fixture
def own_servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A migrated shop on servers of its own, which keep what they confirmed: one of them will be killed."""
    with temporary_var() as var:
        settings = Settings(var=var, environment="test")
        found = embedded.start(settings)
        for name, value in {
            "VAR": str(var),
            "ENVIRONMENT": "test",
            "DATABASE__URL": found.database_url,
            "REDIS__URL": found.redis_url,
            "EVENTS__TAKEOVER_SECONDS": "1",
        }.items():
            monkeypatch.setenv(f"RECSYS_{name}", value)
        forget_connections()
        migrate.upgrade(found.database_url)
        try:
            yield settings
        finally:
            forget_connections()


class Shopper:
    """Orders one thing after the other; each order is asked for under its key until it is confirmed."""

    def __init__(self, client: httpx.Client, name: str, product: int) -> None:
        self.client, self.name, self.product = client, name, product
        self.confirmed: list[int] = []
        self.statuses: Tally[int] = Tally()
        self.wrong: list[str] = []

    def shop(self, stop: threading.Event) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            visit = f"{self.name}-{number}"
            cart = {"product_id": self.product}
            self._until(200, "PUT", "/cart/items", visit, cart, stop=None)
            body = {"shipping_address": ADDRESS, "email": f"{visit}@example.org"}
            order = self._until(201, "POST", "/orders", visit, body, stop=None)
            self.confirmed.append(order["id"])
            self._ask("GET", "/products", visit, None)
            self._ask("GET", f"/products/{self.product}", visit, None)

    def _until(
        self, status: int, method: str, path: str, visit: str, body: object, *, stop: threading.Event | None
    ) -> dict[str, int]:
        end = time.monotonic() + 60
        while True:
            answer = self._ask(method, path, visit, body)
            if answer.status_code in (200, status):
                return answer.json()  # type: ignore[no-any-return]
            assert time.monotonic() < end, "PostgreSQL is back, and the shop is not"
            time.sleep(0.05)

    def _ask(self, method: str, path: str, visit: str, body: object) -> httpx.Response:
        headers = {**guest_header(visit), "Idempotency-Key": f"order-{visit}"}
        answer = self.client.request(method, f"/api/v1{path}", headers=headers, json=body)
        self.statuses[answer.status_code] += 1
        if answer.status_code not in (200, 201) and not (
            answer.status_code == 503
            and answer.headers["Content-Type"] == "application/problem+json"
            and answer.headers["Retry-After"]
        ):
            self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer


def _process(*command: str) -> subprocess.Popen[bytes]:
    nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return warm.start("-m", "recsys", *command, **nowhere)


def _until(what: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def _one(query: str) -> int:
    with unit_of_work() as session:
        return int(session.scalar(text(query)) or 0)


def test_a_killed_postgres_loses_no_order_and_no_event(own_servers: Settings) -> None:
    with unit_of_work() as session:
        product = service.create(session, ProductIn(name="Lamp", price="9.99")).id  # type: ignore[arg-type]
        service.add_variant(session, product, VariantIn(name="one", inventory_quantity=STOCK), by=None)
    stop = threading.Event()
    workers = [_process("relay"), _process("consume", "core")]
    mails = "SELECT count(*) FROM notifications_db.email_logs"
    try:
        with running(create_api()) as client, ThreadPoolExecutor(SHOPPERS) as pool:
            shoppers = [Shopper(client, f"shopper-{number}", product) for number in range(SHOPPERS)]
            done = [pool.submit(one.shop, stop) for one in shoppers]
            try:
                _until(lambda: _one(mails) > 5)
                _kill(own_servers)
                _until(lambda: all(one.statuses[503] > 2 for one in shoppers))
                before = [len(one.confirmed) for one in shoppers]
                embedded.start(own_servers)
                _until(
                    lambda: all(
                        len(one.confirmed) > former + 1 for one, former in zip(shoppers, before, strict=True)
                    )
                )
            finally:
                stop.set()
            for one in done:
                one.result(60)
        orders = [order for one in shoppers for order in one.confirmed]
        _until(lambda: _one(mails) >= len(orders))
        assert [one.poll() for one in workers] == [None, None], "they wait until all is well again"
    finally:
        for process in workers:
            process.terminate()
        codes = [process.wait(30) for process in workers]
    assert codes == [0, 0]
    assert [wrong for one in shoppers for wrong in one.wrong] == []

    assert len(set(orders)) == len(orders)
    assert _one("SELECT count(*) FROM orders_db.orders") == len(orders)
    assert _one("SELECT inventory_quantity FROM products_db.product_variants") == STOCK - len(orders)
    logs = "SELECT count(*) FROM products_db.inventory_logs WHERE reason = 'reserved'"
    assert _one(logs) == len(orders)
    # each order was published, and handled, once
    assert _one(mails) == len(orders)
    assert _one("SELECT count(DISTINCT to_email) FROM notifications_db.email_logs") == len(orders)
    placed = "SELECT count(*) FROM analytics_db.user_events WHERE event_type = 'order_placed'"
    assert _one(placed) == len(orders)
    assert _one("SELECT count(*) FROM analytics_db.outbox WHERE sent_at IS NULL") == 0
    assert list(dead_letters.letters(get_redis())) == []
    assert list(get_redis().scan_iter("cart:session:*")) == []


def _kill(settings: Settings) -> None:
    pid = next(one.pid for one in embedded.status(settings) if one.name == "postgres")
    assert pid is not None
    # at once, in the middle of transactions: what was not confirmed is gone
    os.kill(pid, signal.SIGQUIT)
