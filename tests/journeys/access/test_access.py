"""Every route of the API asked by nobody, by the wrong user, by a plain user: refused, nothing changed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from serving.server.app import create_app
from tests.journeys.access.answers import (
    OF_A_VISIT,
    PUBLIC,
    REFUSED,
    ask,
    changes,
    everything,
    is_admin,
    routes,
    tells_nothing,
)
from tests.journeys.access.victims import Route, victim_of
from tests.journeys.conftest import Counter
from tests.support.guests import guest as guest_header

AMONG_USERS: Mapping[Route, str] = {
    ("GET", "/api/v1/users/{user_id}"): "a public profile",
    ("GET", "/api/v1/users/by-username/{username}"): "a public profile",
    ("PUT", "/api/v1/users/me/following/{user_id}"): "the caller's own list; others are whom it is about",
    ("DELETE", "/api/v1/users/me/following/{user_id}"): "the caller's own list",
    ("PUT", "/api/v1/users/me/blocked/{user_id}"): "the caller's own list",
    ("DELETE", "/api/v1/users/me/blocked/{user_id}"): "the caller's own list",
    ("POST", "/api/v1/products/{product_id}/like"): "products are for every user",
    (
        "PUT",
        "/api/v1/products/{product_id}/review",
    ): "products are for every user; writes the caller's review",
    ("DELETE", "/api/v1/cart/items/{product_id}"): "the caller's own cart",
    ("POST", "/api/v1/reviews/{review_id}/helpful"): "approved reviews are for every user",
}
"""Routes with an id that every logged-in user may ask: what it names belongs to nobody else."""


ADMINISTRATION: Mapping[Route, str] = {
    ("POST", "/api/v1/recommendations/rules/preview"): "tests/serving/merchandising/test_rules_in_lists.py",
    ("GET", "/api/v1/admin/segments/{kind}"): "tests/serving/segments/test_segments.py",
    ("GET", "/api/v1/admin/stored-segments"): "tests/serving/segments/test_stored.py",
    ("PUT", "/api/v1/admin/stored-segments/{name}"): "tests/serving/segments/test_stored.py",
    ("POST", "/api/v1/admin/stored-segments/{name}/refresh"): "tests/serving/segments/test_stored.py",
    ("DELETE", "/api/v1/admin/stored-segments/{name}"): "tests/serving/segments/test_stored.py",
    ("POST", "/api/v1/admin/mail-blocks"): "tests/serving/mail_blocks/test_routes.py",
    ("GET", "/api/v1/recommendations/why"): "tests/serving/recommender/test_why_not.py",
    ("GET", "/api/v1/recommendations/why/past"): "tests/serving/recommender/test_why_not.py",
    **dict.fromkeys(
        (
            ("GET", "/api/v1/admin/experiments"),
            ("POST", "/api/v1/admin/experiments"),
            ("GET", "/api/v1/admin/experiments/plan"),
            ("GET", "/api/v1/admin/experiments/{name}"),
            ("POST", "/api/v1/admin/experiments/{name}/stop"),
            ("POST", "/api/v1/admin/experiments/{name}/keep"),
        ),
        "tests/serving/api/test_experiments.py",
    ),
}
"""For administrators, and serving's own; each with the module that tests who may call it."""


def test_what_is_public_is_written_down_and_there() -> None:
    everything = {
        (method.upper(), path)
        for path, operations in create_app().openapi()["paths"].items()
        for method in operations
    }
    assert set(routes()) <= everything
    # a route that only serving has is not walked below: it has to be public, and its reason written down
    assert everything - set(routes()) <= {*PUBLIC, *ADMINISTRATION}
    assert {*PUBLIC, *AMONG_USERS, *OF_A_VISIT} <= everything
    assert not any(map(is_admin, [*PUBLIC, *AMONG_USERS, *OF_A_VISIT]))
    assert len(routes()) > 90


def test_nobody_gets_in_without_credentials(counter: Counter) -> None:
    victim = victim_of(counter)
    before = everything(counter)
    for method, path in routes():
        if (method, path) in PUBLIC:
            continue
        for headers in ({}, {"Authorization": "Bearer " + "x" * 43}, guest_header("a-strangers-visit")):
            answer = ask(counter, victim, (method, path), headers)
            allowed = {401} if "Authorization" in headers else REFUSED
            if "X-Session-Id" not in headers or (method, path) not in OF_A_VISIT:
                assert answer.status_code in allowed, (method, path, headers, answer.text)
            tells_nothing(victim, answer.text)
    assert changes(before, everything(counter)) == []


def test_a_plain_user_is_no_administrator(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    before = everything(counter)
    for route in filter(is_admin, routes()):
        for who in (eve, victim.person):
            answer = ask(counter, victim, route, who.headers)
            assert answer.status_code == 403, (route, answer.text)
    assert changes(before, everything(counter)) == []


def test_a_user_reaches_nothing_of_another_user(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    before = everything(counter)
    walked = []
    for route in routes():
        if "{" in route[1] and route not in PUBLIC and route not in AMONG_USERS and not is_admin(route):
            for headers in (eve.headers, {**eve.headers, **guest_header("a-strangers-visit")}):
                answer = ask(counter, victim, route, headers)
                assert answer.status_code == 404, (route, answer.text)
                tells_nothing(victim, answer.text)
            walked.append(route)
    assert len(walked) >= 9
    assert changes(before, everything(counter)) == []
    # the same is there for its owner: the refusals above are about who asks
    for route in walked:
        if route[0] == "GET":
            assert ask(counter, victim, route, victim.person.headers).status_code == 200, route


def test_an_id_in_a_body_opens_nothing_either(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    own = counter.order(eve, int(victim.ids["product_id"]), key="eves-order-1")["id"]
    method = int(victim.ids["method_id"])
    counter.send(
        "POST", "/cart/items", who=eve, json={"product_id": int(victim.ids["product_id"]), "quantity": 1}
    )
    before = everything(counter)
    tries = [
        ("/payments", {"order_id": int(victim.ids["unpaid"]), "token": "tok_visa"}),
        ("/payments", {"order_id": int(victim.ids["unpaid"]), "payment_method_id": method}),
        ("/payments", {"order_id": own, "payment_method_id": method}),
        ("/orders", {"shipping_address_id": int(victim.ids["address_id"])}),
    ]
    for number, (path, body) in enumerate(tries):
        counter.send("POST", path, who=eve, key=f"eve-tries-{number}", json=body, status=404)
    assert changes(before, everything(counter)) == []


def test_lists_hold_the_callers_own_only(counter: Counter) -> None:
    victim = victim_of(counter)
    eve = counter.desk.person("eve")
    lists = [
        route
        for route in routes()
        if route[0] == "GET" and "{" not in route[1] and route not in PUBLIC and not is_admin(route)
    ]
    assert len(lists) >= 15
    responses = ""
    for route in lists:
        answer = ask(counter, victim, route, eve.headers)
        assert answer.status_code in (200, 422), (route, answer.text)
        tells_nothing(victim, answer.text)
        responses += ask(counter, victim, route, victim.person.headers).text
    # the lists do contain the secrets when their owner reads them
    assert [secret for secret in victim.secrets if secret not in responses] == []


@pytest.mark.parametrize("name", ["orders_db.orders", "redis cart:1"])
def test_a_change_would_be_seen(counter: Counter, name: str) -> None:
    before = everything(counter)
    if name.startswith("redis"):
        counter.redis.hset("cart:1", "1", "1")
    else:
        with counter.shop.connect() as connection:
            connection.execute(
                "INSERT INTO orders_db.orders (order_number, subtotal_price, total_price) VALUES ('X', 1, 1)"
            )
    assert changes(before, everything(counter)) == [name]
