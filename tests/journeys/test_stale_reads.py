"""Copies in Redis that are read while somebody changes the original: nobody is served what was changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from recsys.domains.notifications import inbox
from recsys.domains.products import inventory, listing
from tests.journeys.conftest import Counter


def _between(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, change: Callable[[], object]
) -> None:
    """Let the first call of a reader see the old, and go on only after `change` is committed."""
    original: Callable[..., Any] = getattr(module, name)
    first = threading.Lock()

    def slow(*args: Any, **options: Any) -> Any:
        found = original(*args, **options)
        if first.acquire(blocking=False):
            writer = threading.Thread(target=change)
            writer.start()
            writer.join(30)
            assert not writer.is_alive()
        return found

    monkeypatch.setattr(module, name, slow)


def test_a_slow_reader_puts_no_old_product_into_redis(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp", price="20.00")
    path = f"/products/{product}"
    counter.redis.delete(f"product:{product}")

    def dearer() -> None:
        counter.send("PATCH", f"/admin{path}", who=counter.admin, json={"price": "25.00"})

    _between(monkeypatch, listing, "_whole", dearer)
    # it began before the change, so it may have either price; later requests may not
    counter.send("GET", path)
    assert counter.redis.hget(f"product:{product}", "price") in (None, b"25.00")
    assert counter.send("GET", path)["price"] == "25.00"
    assert counter.redis.hget(f"product:{product}", "price") == b"25.00"


def test_a_slow_reader_puts_no_old_stock_into_redis(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, variant = counter.product("Lamp", stock=9)

    def fewer() -> None:
        counter.send("POST", f"/admin/variants/{variant}/stock", who=counter.admin, json={"change": -4})

    _between(monkeypatch, inventory, "stock_of", fewer)
    counter.send("GET", f"/products/{product}/stock")
    assert counter.redis.get(f"product:inventory:{product}") in (None, b"5")
    assert counter.send("GET", f"/products/{product}/stock")["quantity"] == 5


def test_a_slow_reader_puts_no_old_notifications_into_redis(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp")
    ada = counter.desk.person("ada")
    counter.order(ada, product)
    counter.settle_events()
    counter.redis.delete(f"notifications:{ada.id}")

    def read() -> None:
        counter.send("POST", "/notifications/read-all", who=ada)

    _between(monkeypatch, inbox, "older", read)
    counter.send("GET", "/notifications", who=ada)
    seen = counter.send("GET", "/notifications", who=ada)["items"]
    assert seen
    assert all(one["is_read"] for one in seen)


def test_prices_seen_while_they_change_never_go_back(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="1.00")
    path, stop, seen = f"/products/{product}", threading.Event(), list[Decimal]()

    def watch() -> None:
        with httpx.Client(base_url=counter.desk.client.base_url) as client:
            while not stop.is_set():
                seen.append(Decimal(client.get(f"/api/v1{path}").json()["price"]))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for price in range(2, 22):
            counter.send("PATCH", f"/admin{path}", who=counter.admin, json={"price": f"{price}.00"})
            assert counter.send("GET", path)["price"] == f"{price}.00"
    finally:
        stop.set()
        watcher.join()
    assert seen == sorted(seen)
