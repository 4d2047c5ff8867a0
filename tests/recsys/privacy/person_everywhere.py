"""A person who left traces in every place that a shop has."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.analytics.calendar import Days, today
from recsys.domains.analytics.rollup import roll_up_days
from recsys.domains.notifications import delivery
from recsys.domains.orders.carts.abandoned_carts import store_abandoned
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.jobs.tables import JobRun
from recsys.web.access.guest_sessions import with_signature
from recsys.write_buffer import buffer, drain, spool
from recsys.write_buffer.buffer import Post
from serving.batch import scoring
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import Person
from tests.training.shops import DAYS, ITEMS, USERS, purchases
from training.experiment import load_all
from training.pipeline import train
from training.progress import Steps

NUMBER = 736_194_825
"""The person's user id: no other number of this shop."""
NAME, EMAIL, FULL_NAME = "zqusername", "zqmailbox@example.org", "Zqfirst Zqlast"
PHONE, STREET, AGENT = "+49 30 5550917", "7361 Zqstreet", "Zqagent/7.361 (X11)"
VISIT, SEARCH, HOLDER = "zqvisit-7361", "zqsearchword", "Zqholder Zqcard"
NOTE = "zqnote for the parcel"
MARKS = [
    "zqusername", "zqmailbox", "zqfirst", "zqlast", "5550917", "zqstreet", "zqagent", "zqvisit",
    "zqsearchword", "zqholder", "zqcard", "zqnote", "zqreview", "zqbio", "zqrefund", str(NUMBER),
]  # fmt: skip
ADDRESS = {
    "first_name": "Zqfirst",
    "last_name": "Zqlast",
    "address1": STREET,
    "city": "Berlin",
    "country": "DE",
    "zip": "10115",
    "phone": PHONE,
}
BILLING = {"name": HOLDER, "address1": STREET, "city": "Berlin", "country": "DE", "zip": "10115"}
PLAN = (
    "\n[split]\ntest_days = 12\n[evaluation]\nks = [5, 10]\nprimary_k = 10\ndraws = 100\n"
    "[promotion]\nmin_users = 30\n"
)


def planted(counter: Counter, folder: Path) -> Person:
    """Someone who left traces in every place that a shop has; models are trained in `folder`."""
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = an_account(counter, product)
    _orders(counter, person, product)
    _learned_from(counter, person, folder)
    _an_administrator_for_a_day(counter, person)
    _left_over(counter, person, product)
    return person


def an_account(counter: Counter, product: int) -> Person:
    """A guest looks around, registers, and tells the shop about themself."""
    eve = counter.desk.person("eve")
    counter.desk.rows("SELECT setval('users_db.users_id_seq', %s, false)", NUMBER)
    visit: Any = {"guest": VISIT, "User_Agent": AGENT}
    pages = [
        {"type": "page_view", "event_id": "p-1", "page_url": f"https://shop.example/?q={SEARCH}"},
        {"type": "event", "event_id": "e-1", "event_type": "video_played", "properties": {"who": NAME}},
    ]
    counter.send("POST", "/analytics/collect", json=pages, **visit)
    counter.send("POST", f"/products/{product}/views", status=201, **visit)
    counter.send("GET", f"/search/products?q={SEARCH}", **visit)
    counter.send("GET", f"/search/suggest?prefix={SEARCH}", **visit)
    counter.send("POST", "/cart/items", json={"product_id": product, "quantity": 2}, **visit)
    counter.desk.register(NAME, email=EMAIL, full_name=FULL_NAME)
    header = {"X_Session_Id": with_signature(VISIT), "User_Agent": AGENT}
    login = counter.desk.log_in(NAME, **header).json()
    person = Person(login["user_id"], NAME, login["token"])
    assert person.id == NUMBER
    counter.desk.log_in(EMAIL)
    profile = {"bio": "zqbio", "phone": PHONE, "address": STREET}
    counter.send("PATCH", "/users/me", who=person, json=profile)
    counter.send("PUT", f"/users/me/following/{eve.id}", who=person, status=204)
    counter.send("PUT", f"/users/me/following/{NUMBER}", who=eve, status=204)
    counter.send("GET", f"/users/{NUMBER}", who=eve)
    counter.send("GET", f"/search/products?q={SEARCH}", who=person, User_Agent=AGENT)
    counter.send("PUT", f"/products/{product}/review", who=person, status=201,
                 json={"rating": 4, "title": "zqreview", "review": f"zqreview of {FULL_NAME}"})  # fmt: skip
    channels = {"email": True, "sms": True, "push": True, "in_app": True}
    counter.send("PUT", "/notification-preferences", who=person, json=channels)
    return person


def _orders(counter: Counter, person: Person, product: int) -> None:
    admin = counter.admin
    counter.settle_events()
    method = counter.send(
        "POST", "/payment-methods", who=person, status=201,
        json={"token": "tok_visa", "billing_address": BILLING},
    )["id"]  # fmt: skip
    body = {"shipping_address": ADDRESS, "notes": NOTE}
    order = counter.send("POST", "/orders", who=person, key="zq-order-1", json=body, status=201)["id"]
    pay = {"order_id": order, "payment_method_id": method}
    paid = counter.send("POST", "/payments", who=person, key="zq-pay-0001", json=pay, status=201)["id"]
    parcel = {"carrier": "DHL", "tracking_number": f"JD{NUMBER}"}
    counter.send("POST", f"/admin/orders/{order}/parcels", who=admin, json=parcel, status=201)
    back = {"amount": "5.00", "reason": f"zqrefund for {FULL_NAME}"}
    counter.send(
        "POST", f"/admin/payments/{paid}/refunds", who=admin, key="zq-back-001", json=back, status=201
    )
    counter.send("POST", "/cart/items", who=person, json={"product_id": product})
    with unit_of_work() as session:
        store_abandoned(session, idle=timedelta(0))
    counter.settle_events()
    assert counter.send("GET", "/notifications", who=person)["items"]
    delivery.deliver_due()
    counter.send("POST", "/cart/items", who=person, json={"product_id": product})
    roll_up_days(Days.between(today(), today()))


def _learned_from(counter: Counter, person: Person, folder: Path) -> None:
    """Models are trained, reported and tracked; lists are stored, displayed and clicked."""
    _other_customers(counter)
    # the person is one of the heaviest users: an example of each report
    counter.desk.rows(
        "INSERT INTO recommendations_db.user_interactions "
        "(user_id, product_id, interaction_type, created_at, session_id) "
        "SELECT %s, product_id, interaction_type, created_at, %s FROM recommendations_db.user_interactions "
        "WHERE user_id < 1030 RETURNING id",
        NUMBER, VISIT,
    )  # fmt: skip
    trained(folder)
    scoring.score()
    product = counter.one("SELECT min(product_id) FROM recommendations_db.product_recommendations")
    feedback = {"user_id": NUMBER, "product_id": product, "feedback_type": "clicked", "event_id": "f-1"}
    counter.send("POST", "/recommendations/feedback", who=person, json=feedback)
    with unit_of_work() as session:
        impressions.store(
            session,
            [Answered("zq-shown", "for_you", "stored", [product], [0.5], clock.now(), NUMBER, VISIT)],
        )


def _other_customers(counter: Counter) -> None:
    """Sixty users with a taste, beside whom the person learns."""
    since = clock.now() - timedelta(days=DAYS)
    with counter.shop.connect() as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash, created_at) "
            "VALUES (%s, %s, %s, %s, '!', %s)",
            [(1000 + i, f"u{i}@shop.example", f"u{i}", f"User {i}", since) for i in range(1, USERS + 1)],
        )
        cursor.executemany(
            "INSERT INTO products_db.products (id, name, slug, sku, price, created_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            [(1000 + i, f"Product {i}", f"product-{i}", f"p{i}", i, since) for i in range(1, ITEMS + 1)],
        )
        cursor.executemany(
            "INSERT INTO recommendations_db.user_interactions "
            "(user_id, product_id, interaction_type, interaction_value, created_at) "
            "VALUES (%s, %s, 'purchase', 1, %s)",
            [(1000 + u, 1000 + p, since + timedelta(days=day)) for u, p, day in purchases()],
        )


def trained(folder: Path) -> None:
    """Train two small models."""
    sources = []
    for name in ("popularity", "item_knn"):
        (folder / f"{name}.toml").write_text(f'name = "{name}"\nalgorithm = "{name}"\n{PLAN}')
        sources.append(str(folder / f"{name}.toml"))
    train(load_all(sources), command="recsys train run", actor="tester", steps=Steps())


def _an_administrator_for_a_day(counter: Counter, person: Person) -> None:
    """Histories of the console name the person."""
    counter.desk.rows("UPDATE users_db.users SET is_admin = true WHERE id = %s RETURNING id", NUMBER)
    rule = {"name": "Lamps first", "kind": "boost", "target": {"tag": "lamp"}, "factor": 2.0}
    counter.send("POST", "/recommendations/rules", who=person, json=rule, status=201)
    eve = counter.one("SELECT id FROM users_db.users WHERE username = 'eve'")
    counter.send("POST", f"/admin/users/{eve}/block", who=person, status=204)
    with unit_of_work() as session:
        session.add(
            JobRun(
                job="train", arguments=["train"], state="stopped", cause="person", due_at=clock.now(),
                requested_by=f"user {NUMBER}", outcome=f"stopped by user {NUMBER}",
                log=f"mail to {EMAIL} failed\nuser {NUMBER} has 3 events\nnothing else",
            )
        )  # fmt: skip
    counter.desk.rows("UPDATE users_db.users SET is_admin = false WHERE id = %s RETURNING id", NUMBER)


def _left_over(counter: Counter, person: Person, product: int) -> None:
    """What waits, what could not be stored, and what commands wrote."""
    now = clock.now().timestamp()
    piece = {"user_id": NUMBER, "product_id": product, "interaction_type": "view"}
    refused = {"username": NAME, "product_id": product, "interaction_type": "no such type"}
    buffer.to_redis([buffer.pack(Post("interactions", refused, now))])
    drain.run(threading.Event(), once=True)
    assert counter.redis.xlen(keys.dead_letters(keys.posts_waiting())) == 1
    buffer.to_redis([buffer.pack(Post("interactions", piece, now))])
    spool.of_process("posts").append([buffer.pack(Post("interactions", piece, now))])
    spool.of_process("posts").close()
    shown = [Answered("zq-waiting", "for_you", "live", [product], [0.5], clock.now(), NUMBER, VISIT)]
    counter.redis.xadd(keys.exposures_waiting(), {"data": impressions.pack(shown)})
    spool.of_process("exposures").append([impressions.pack(shown)])
    spool.of_process("exposures").close()
    file = counter.shop.var.parent / "late.csv"
    file.write_text(f"user,product,interaction_type,created_at\n{NAME},nothing,view,2024-01-01\n")
    counter.shop.run("import", "csv", "--interactions", file)
    # as programs before version 0030 wrote them
    figures = counter.shop.var / "reports" / "former" / "figures"
    figures.mkdir(parents=True)
    np.save(figures / "users.all.npy", np.array([7, NUMBER]))
    exported = counter.shop.var / "exported"
    exported.mkdir()
    (exported / "lists.csv").write_text(f"user,sku\n{NAME},sku1\nother,sku2\n")
    (exported / "lists.json").write_text(json.dumps([{"user_id": NUMBER, "mail": EMAIL}]))
    # what no handler has seen yet
    counter.send("GET", f"/search/products?q={SEARCH}", who=person)
