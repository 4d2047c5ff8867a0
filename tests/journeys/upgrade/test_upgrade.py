"""The version before runs on the newest schema, beside the newest version: one shop, two programs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import httpx
import pytest

from recsys.database import migrate
from serving.server.app import create_app
from tests.journeys.conftest import ADDRESS, Counter
from tests.journeys.upgrade.earlier_version import EarlierVersion, earlier_version
from tests.serving.running import running
from tests.support.waiting import until

__all__ = ["earlier_version"]


@dataclass(frozen=True)
class TwoVersions:
    """One shop with two products, at the newest version in this process and at the version before."""

    newest: Counter
    earlier: Counter
    lamp: int
    shade: int


@pytest.fixture
def both(counter: Counter, earlier_version: EarlierVersion) -> Iterator[TwoVersions]:
    """The HTTP API of the version before, on the database and the Redis of `counter`."""
    lamp, _ = counter.product("Lamp", price="20.00", stock=5)
    shade, _ = counter.product("Lamp shade", price="7.00", stock=5)
    counter.settle_events()
    address, log = counter.shop.var / "run" / "api.json", counter.shop.var / "earlier.log"
    process = earlier_version.start(["-m", "recsys", "serve", "api"], log)
    try:
        until(lambda: address.exists() or process.poll() is not None, 120)
        assert process.poll() is None, log.read_text()
        with httpx.Client(base_url=json.loads(address.read_text())["url"], timeout=60) as client:
            until(lambda: client.get("/health/ready").status_code == 200, 60)
            earlier = Counter(replace(counter.desk, client=client), counter.admin)
            yield TwoVersions(counter, earlier, lamp, shade)
    finally:
        process.terminate()
        process.wait(60)
    assert "Traceback" not in log.read_text()


def test_it_is_another_program(earlier_version: EarlierVersion) -> None:
    numbers = sorted(script.name[:4] for script in (migrate.MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    assert (earlier_version.schema, migrate.head()) == list(pairwise(numbers))[-1]
    where = subprocess.run(
        [sys.executable, "-c", "import recsys, serving; print(recsys.__file__, serving.__file__)"],
        cwd=earlier_version.folder,
        env=earlier_version.environment(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert all(path.startswith(str(earlier_version.folder)) for path in where)


def test_a_purchase_at_the_version_before(both: TwoVersions, earlier_version: EarlierVersion) -> None:
    counter, earlier, lamp, shade = both.newest, both.earlier, both.lamp, both.shade
    assert migrate.current(counter.shop.database_url) == migrate.head() != earlier_version.schema

    # who has an account at one version logs in at the other
    ada = earlier.desk.person("ada")
    bob = counter.desk.person("bob")
    bob_there = earlier.desk.again(bob)
    assert counter.send("GET", "/users/me", who=ada)["username"] == "ada"

    # looking, searching, lists
    earlier.send("POST", f"/products/{lamp}/views", who=ada, status=201)
    earlier.send("POST", f"/products/{lamp}/like", who=bob_there, status=204)
    assert earlier.send("GET", f"/products/{lamp}", who=ada)["name"] == "Lamp"
    found = earlier.send("GET", "/search/products?q=lamp", who=ada)
    assert {item["id"] for item in found["items"]} == {lamp, shade}
    verdicts = earlier.send(
        "POST", "/interactions", who=ada, json={"product_id": lamp, "interaction_type": "view"}
    )
    assert [each["status"] for each in verdicts["verdicts"]] == ["stored"]
    listed = earlier.send("GET", f"/users/{ada.id}/recommendations?limit=2", who=ada)
    assert listed["provenance"]["complete"] is True
    guest = earlier.desk.client.post("/api/v1/auth/guest").json()["session_id"]
    assert counter.desk.client.get("/api/v1/cart", headers={"X-Session-Id": guest}).status_code == 200

    # buying: ordered at the version before, read at the newest, paid at the version before
    order = earlier.order(ada, lamp, 2)
    assert counter.send("GET", f"/orders/{order['id']}", who=ada)["total_price"] == "40.00"
    pay = {"order_id": order["id"], "token": "tok_visa"}
    paid = earlier.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    assert paid["status"] == "captured"
    other = counter.order(bob, shade, key="order-0002")
    assert (
        earlier.send("GET", f"/orders/{other['id']}", who=bob_there)["shipping_address"]["city"]
        == (ADDRESS["city"])
    )

    # its relay and consumers handle the events of both
    earlier_version.run("relay", "--once")
    for group in ("core", "search", "serving"):
        earlier_version.run("consume", group, "--once")
    kinds = counter.desk.rows(
        "SELECT DISTINCT interaction_type FROM recommendations_db.user_interactions WHERE user_id = %s",
        ada.id,
    )
    assert {str(kind) for (kind,) in kinds} == {"view", "add_to_cart", "purchase"}
    assert json.loads(earlier_version.run("events", "dead", "--json")) == []
    counter.settle_events()
    assert json.loads(earlier_version.run("keys", "list", "--json")) == []


def test_rules_for_a_segment_hold_at_both_versions(both: TwoVersions) -> None:
    with running(create_app()) as client:
        newest = Counter(replace(both.newest.desk, client=client), both.newest.admin)
        _rules_for_a_segment_hold(newest, both.earlier, both.lamp, both.shade)


def _rules_for_a_segment_hold(counter: Counter, earlier: Counter, lamp: int, shade: int) -> None:
    ada, bob = counter.desk.person("ada"), counter.desk.person("bob")

    def listed(version: Counter, user: int | None) -> set[int]:
        path = "/recommendations" if user is None else f"/users/{user}/recommendations"
        answer = version.desk.client.get(f"/api/v1{path}?limit=2")
        assert answer.status_code == 200, answer.text
        return {item["product_id"] for item in answer.json()["items"]}

    def everywhere(expected: dict[int | None, set[int]]) -> bool:
        return all(
            listed(version, user) == products
            for version in (counter, earlier)
            for user, products in expected.items()
        )

    until(lambda: everywhere({user: {lamp, shade} for user in (ada.id, bob.id, None)}), 30)
    # a segment and its rule of either version
    for name, at, other, product in (("old", earlier, counter, lamp), ("new", counter, earlier, shade)):
        segment = {"user_ids": [ada.id]}
        at.send("PUT", f"/admin/stored-segments/{name}", who=counter.admin, json=segment, status=200)
        rule = {"name": name, "kind": "hide", "target": {"product_ids": [product]}, "segment": name}
        other.send("POST", "/recommendations/rules", who=counter.admin, json=rule, status=201)
    until(lambda: everywhere({ada.id: set(), bob.id: {lamp, shade}, None: {lamp, shade}}), 30)
    # the members of one change at the version that did not make it
    counter.send(
        "PUT", "/admin/stored-segments/old", who=counter.admin, json={"user_ids": [bob.id]}, status=200
    )
    until(lambda: everywhere({ada.id: {lamp}, bob.id: {shade}, None: {lamp, shade}}), 30)
    guests = {"name": "guests", "kind": "hide", "target": {"product_ids": [lamp]}, "segment": "guests"}
    earlier.send("POST", "/recommendations/rules", who=counter.admin, json=guests, status=201)
    until(lambda: everywhere({ada.id: {lamp}, bob.id: {shade}, None: {shade}}), 30)
