"""What was paid for stays a purchase, also when the order is called off or the money goes back."""

from __future__ import annotations

from recsys.cache import keys
from recsys.web.access.guest_sessions import with_signature
from tests.journeys.conftest import ADDRESS, Counter


def test_a_cancelled_and_refunded_order_keeps_its_purchases(counter: Counter) -> None:
    product, _ = counter.product("Vase", stock=9)
    ada = counter.desk.person("ada")
    unpaid = counter.order(ada, product, 2, key="order-0001")
    counter.send("POST", f"/orders/{unpaid['id']}/cancel", who=ada, json={"reason": "too late"})
    paid = counter.order(ada, product, 3, key="order-0002")
    pay = {"order_id": paid["id"], "token": "tok_visa"}
    counter.send("POST", "/payments", who=ada, key="pay-00001", json=pay, status=201)
    counter.send("POST", f"/orders/{paid['id']}/cancel", who=ada, json={"reason": "too late"})
    counter.settle_events()
    bought = counter.desk.rows(
        "SELECT interaction_value::int, context FROM recommendations_db.user_interactions "
        "WHERE interaction_type = 'purchase'"
    )
    assert bought == [(3, {"order_id": paid["id"]})]


def test_a_guests_view_that_arrives_after_the_log_in_is_the_users(counter: Counter) -> None:
    product, _ = counter.product("Lamp")
    other, _ = counter.product("Cup")
    counter.settle_events()
    counter.send("POST", f"/products/{product}/views", guest="visit-1", status=201)
    counter.send("POST", "/cart/items", guest="visit-1", json={"product_id": other})
    ada = counter.desk.account("ada")
    counter.desk.log_in("ada", X_Session_Id=with_signature("visit-1"))
    # only now does anybody hear of the view, and of the log-in, in whatever order
    counter.settle_events()
    assert counter.desk.rows(
        "SELECT product_id, user_id, interaction_type FROM recommendations_db.user_interactions "
        "ORDER BY product_id"
    ) == [(product, ada, "view"), (other, ada, "add_to_cart")]
    recent = {str(one).encode() for one in (product, other)}
    assert counter.redis.smembers(keys.recent_interactions(ada)) == recent


def test_a_guests_purchase_is_the_visits_and_later_the_users(counter: Counter) -> None:
    product, _ = counter.product("Lamp")
    counter.send("POST", "/cart/items", guest="visit-1", json={"product_id": product, "quantity": 2})
    body = {"shipping_address": ADDRESS, "email": "guest@example.org"}
    order = counter.send("POST", "/orders", guest="visit-1", key="guest-001", json=body, status=201)
    pay = {"order_id": order["id"], "token": "tok_visa"}
    counter.send("POST", "/payments", guest="visit-1", key="pay-00001", json=pay, status=201)
    counter.settle_events()
    bought = (
        "SELECT user_id, session_id, product_id, interaction_value::int "
        "FROM recommendations_db.user_interactions WHERE interaction_type = 'purchase'"
    )
    assert counter.desk.rows(bought) == [(None, "visit-1", product, 2)]
    ada = counter.desk.account("ada")
    counter.desk.log_in("ada", X_Session_Id=with_signature("visit-1"))
    assert counter.desk.rows(bought) == [(ada, "visit-1", product, 2)]
