"""A shop with a small catalogue, an administrator, and its events brought to their hearers on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from recsys.events import consumer_groups, relay
from recsys.events.consumer import Consumer
from tests.recsys.domains.users.conftest import Desk, Person, desk
from tests.support.guests import guest as guest_header
from tests.support.shop import Shop

__all__ = ["Counter", "counter", "desk"]

ADDRESS = {
    "first_name": "Ada",
    "last_name": "Lovelace",
    "address1": "12 St James's Square",
    "city": "London",
    "country": "GB",
    "zip": "SW1Y 4JH",
}


@dataclass
class Counter:
    """The shop's counter: what journeys do over and over."""

    desk: Desk
    admin: Person

    @property
    def redis(self) -> redis.Redis:
        return self.desk.redis

    @property
    def shop(self) -> Shop:
        return self.desk.shop

    def settle_events(self) -> None:
        """Relay and consume until nothing is left, in this process."""
        for _ in range(20):
            done = relay.run(threading.Event(), once=True)
            done += sum(
                Consumer(group).run(threading.Event(), once=True) for group in consumer_groups.group_names()
            )
            if not done:
                return
        raise AssertionError("events beget events without end")

    def product(
        self, name: str, *, price: str = "10.00", stock: int = 10, **others: object
    ) -> tuple[int, int]:
        """A product with one variant; both ids."""
        made = self.desk.call(
            self.admin, "POST", "/admin/products", status=201, json={"name": name, "price": price, **others}
        ).json()["id"]
        variant = self.desk.call(
            self.admin,
            "POST",
            f"/admin/products/{made}/variants",
            status=201,
            json={"name": f"{name}, one", "inventory_quantity": stock},
        ).json()["id"]
        return made, variant

    def send(
        self,
        method: str,
        path: str,
        *,
        who: Person | None = None,
        guest: str | None = None,
        key: str | None = None,
        json: object = None,
        status: int = 200,
        **headers: str,
    ) -> Any:
        """One request of a user or guest; the body of the answer."""
        sent = dict(who.headers) if who else {}
        if guest:
            sent |= guest_header(guest)
        if key:
            sent["Idempotency-Key"] = key
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.desk.client.request(method, f"/api/v1{path}", headers=sent, json=json)
        self.desk.client.cookies.clear()
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def order(self, who: Person, product_id: int, quantity: int = 1, *, key: str = "order-0001") -> Any:
        """Put something into the cart and order it."""
        self.send("POST", "/cart/items", who=who, json={"product_id": product_id, "quantity": quantity})
        return self.send("POST", "/orders", who=who, key=key, json={"shipping_address": ADDRESS}, status=201)

    def one(self, query: str, *values: object) -> Any:
        """The only value of a query's only row."""
        ((value,),) = self.desk.rows(query, *values)
        return value

    def stream(self, name: str) -> list[str]:
        """The names of the events on a stream, in order."""
        return [fields[b"name"].decode() for _, fields in self.redis.xrange(name)]  # type: ignore[union-attr, index]


@pytest.fixture
def counter(desk: Desk) -> Counter:
    """An open shop; `root` is its administrator."""
    root = desk.person("root")
    with desk.shop.connect() as connection:
        connection.execute("UPDATE users_db.users SET is_admin = true WHERE id = %s", (root.id,))
    return Counter(desk, desk.again(root))
