"""A shop's day in which each documented table, Redis key and stream is written by what people do in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from psycopg import sql

from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.analytics.calendar import Days, today
from recsys.domains.analytics.rollup import roll_up_days
from recsys.domains.notifications import delivery
from recsys.domains.orders.carts.abandoned_carts import store_abandoned
from recsys.events.envelope import open_entry
from recsys.web.access.guest_sessions import with_signature
from serving.batch import scoring
from tests.journeys.conftest import ADDRESS, Counter
from tests.recsys.database.documented import documented_tables
from tests.recsys.domains.users.conftest import Person
from tests.serving import shopping

DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "spec" / "redis_keys.txt"
LINE = re.compile(r"^(?P<key>\S+) -> (?P<type>Hash|String|Set|Sorted Set|List|Stream) \(")
TYPES = {"Hash": "hash", "String": "string", "Set": "set", "Sorted Set": "zset", "List": "list",
         "Stream": "stream"}  # fmt: skip
PARTS = {
    "{session_id}": "[^:]+",
    "{email}": "[^:]+@[^:]+",
    "{username}": "[^:@]+",
    "{prefix}": ".+",
    "{query_hash}": "[0-9a-f]{64}",
    **dict.fromkeys(("{id}", "{user_id}", "{product_id}"), r"\d+"),
}


class Watched:
    """What was seen in Redis after each step, also of what later steps take away: key → type."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.seen: dict[str, set[str]] = {}

    def look(self) -> None:
        """Note what is there now, once with the events handled and once before."""
        for _ in range(2):
            for key in self.counter.redis.scan_iter("*"):
                kind = self.counter.redis.type(key)
                self.seen.setdefault(key.decode(), set()).add(kind.decode())  # type: ignore[union-attr]
            self.counter.settle_events()

    def of(self, pattern: str) -> set[str]:
        """The types of what was seen under a documented key."""
        parts = re.split(r"(\{\w+\})", pattern)
        wanted = re.compile("".join(PARTS.get(part, re.escape(part)) for part in parts))
        return {kind for key, kinds in self.seen.items() if wanted.fullmatch(key) for kind in kinds}


def test_everything_documented_is_written_by_somebody(counter: Counter) -> None:
    watched = Watched(counter)
    product = _opening(counter)
    watched.look()
    ada = _a_guest_becomes_a_user(counter, watched, product)
    _an_order(counter, watched, ada, product)
    _the_rest_of_the_day(counter, watched, ada, product)
    _recommending(counter, watched, ada, product)
    watched.look()

    empty = [table.name for table in documented_tables() if not _rows(counter, table.name)]
    assert len(documented_tables()) == 39
    assert empty == []

    found = {key: watched.of(key) for key, _ in _documented()}
    assert len(found) == 25
    assert [key for key, kinds in found.items() if not kinds] == []
    assert found == {key: {kind} for key, kind in _documented()}

    # every entry of every stream is an event of the vocabulary
    for stream in (key for key, kind in _documented() if kind == "stream" and key.endswith("_events")):
        entries: Any = counter.redis.xrange(stream)
        assert entries, stream
        assert {keys_of(fields).family for _, fields in entries} == {stream.removesuffix("_events")}
        assert not counter.redis.exists(keys.dead_letters(stream))


def keys_of(fields: Any) -> Any:
    """The event of an entry."""
    return open_entry(fields).event


def _opening(counter: Counter) -> int:
    """The catalogue is filled."""
    admin = counter.admin
    light = counter.send("POST", "/admin/categories", who=admin, json={"name": "Light"}, status=201)["id"]
    brand = counter.send("POST", "/admin/brands", who=admin, json={"name": "Lumen"}, status=201)["id"]
    product, _ = counter.product("Lamp", price="20.00", stock=50, category_id=light, brand_id=brand)
    counter.send(
        "POST", f"/admin/products/{product}/images", who=admin, json={"src": "/lamp.png"}, status=201
    )
    return product


def _a_guest_becomes_a_user(counter: Counter, watched: Watched, product: int) -> Person:
    visit = {"guest": "visit-1"}
    pages = [
        {"type": "page_view", "event_id": "p-1", "page_url": "https://shop.example/lamp?utm_source=letter"},
        {"type": "event", "event_id": "e-1", "event_type": "video_played"},
    ]
    counter.send("POST", "/analytics/collect", json=pages, User_Agent="Mozilla/5.0 (X11)", **visit)
    counter.send("POST", f"/products/{product}/views", status=201, **visit)
    counter.send("GET", f"/products/{product}/stock")
    counter.send("GET", f"/products/{product}")
    counter.send("POST", "/cart/items", json={"product_id": product, "quantity": 2}, **visit)
    watched.look()
    counter.desk.register("ada")
    login = counter.desk.log_in("ada", X_Session_Id=with_signature("visit-1")).json()
    ada = Person(login["user_id"], "ada", login["token"])
    counter.send("GET", "/cart", who=ada, **visit)
    watched.look()
    # by e-mail address, too: both names lead to the account
    counter.desk.log_in("ada@example.org")
    watched.look()
    counter.send("PATCH", "/users/me", who=ada, json={"bio": "Lamps.", "phone": "+49 30 901820"})
    eve = counter.desk.person("eve")
    counter.send("PUT", f"/users/me/following/{eve.id}", who=ada, status=204)
    counter.send("GET", f"/users/{ada.id}", who=eve)
    counter.send("PUT", "/recommendations/preferences", who=ada, json={"brands": {"Lumen": 1}})
    found = counter.send("GET", "/search/products?q=lamp", who=ada)
    counter.send("GET", "/search/suggest?prefix=la")
    assert found["items"]
    watched.look()
    channels = {"email": True, "sms": True, "push": True, "in_app": True}
    counter.send("PUT", "/notification-preferences", who=ada, json=channels)
    watched.look()
    return ada


def _an_order(counter: Counter, watched: Watched, ada: Person, product: int) -> None:
    admin = counter.admin
    method = counter.send("POST", "/payment-methods", who=ada, json={"token": "tok_visa"}, status=201)["id"]
    order = counter.send(
        "POST", "/orders", who=ada, key="order-0001", json={"shipping_address": ADDRESS}, status=201
    )["id"]
    body = {"order_id": order, "payment_method_id": method}
    paid = counter.send("POST", "/payments", who=ada, key="pay-00001", json=body, status=201)["id"]
    parcel = {"carrier": "DHL", "tracking_number": "JD014600003"}
    sent = counter.send("POST", f"/admin/orders/{order}/parcels", who=admin, json=parcel, status=201)["id"]
    counter.send("PATCH", f"/admin/parcels/{sent}", who=admin, json={"delivered": True})
    counter.send("PUT", f"/products/{product}/review", who=ada, json={"rating": 5}, status=201)
    back = {"amount": "5.00", "reason": "a scratch"}
    counter.send("POST", f"/admin/payments/{paid}/refunds", who=admin, key="back-0001", json=back, status=201)
    watched.look()
    assert counter.send("GET", "/notifications", who=ada)["items"]
    delivery.deliver_due()
    watched.look()


def _the_rest_of_the_day(counter: Counter, watched: Watched, ada: Person, product: int) -> None:
    """Something suspicious, something left behind, and the figures in the evening."""
    ring, _ = counter.product("Ring", price="2000.00", stock=10)
    dear = counter.order(ada, ring, key="order-0002")["id"]
    for number in range(3):
        body = {"order_id": dear, "token": "tok_declined"}
        counter.send("POST", "/payments", who=ada, key=f"try-0000{number}", json=body, status=201)
    body = {"order_id": dear, "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00002", json=body, status=201)
    counter.send("POST", "/cart/items", who=ada, json={"product_id": product})
    with unit_of_work() as session:
        assert store_abandoned(session, idle=timedelta(0)).stored == 1
    roll_up_days(Days.between(today(), today()))
    watched.look()


def _recommending(counter: Counter, watched: Watched, ada: Person, product: int) -> None:
    shopping.promote(shopping.fit("popularity"), "popularity-v1")
    scoring.score()
    feedback = {"user_id": ada.id, "product_id": product, "feedback_type": "clicked", "event_id": "f-1"}
    answer = counter.send("POST", "/recommendations/feedback", who=ada, json=feedback)
    assert "stored" in json.dumps(answer)
    watched.look()


def _documented() -> Iterator[tuple[str, str]]:
    for line in DOCUMENTED.read_text(encoding="utf-8").splitlines():
        found = LINE.match(line)
        if found:
            yield found["key"], TYPES[found["type"]]


def _rows(counter: Counter, table: str) -> int:
    with counter.shop.connect() as connection:
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*table.split(".")))
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
