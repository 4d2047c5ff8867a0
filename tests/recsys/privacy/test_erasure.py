"""The promise of an erasure: a person who left traces everywhere is in no table, key or file afterwards."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pytest
from psycopg import sql
from redis.exceptions import RedisError

from recsys import clock
from recsys.cache import keys
from recsys.database.metadata import metadata
from recsys.database.session import unit_of_work
from recsys.domains.analytics.calendar import Days, today
from recsys.domains.analytics.rollup import roll_up_days
from recsys.domains.notifications import delivery
from recsys.domains.orders.carts.abandoned_carts import store_abandoned
from recsys.domains.recommendations.impressions import store as impressions
from recsys.domains.recommendations.impressions.store import Answered
from recsys.events.envelope import fields_of
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductViewed
from recsys.jobs.tables import JobRun
from recsys.privacy import erasure, trained_models
from recsys.privacy.export import INDEX_FILE
from recsys.privacy.places import files
from recsys.web.access.guest_sessions import with_signature
from recsys.write_buffer import buffer, drain, spool
from recsys.write_buffer.buffer import Post
from serving.batch import scoring
from tests.journeys.conftest import Counter
from tests.recsys.domains.users.conftest import PASSWORD, Person
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
OF_OTHERS = [
    "users_db.user_social-lists_of_others", "users_db.user_activities-of_others",
    "users_db.user_activities-actor", "analytics_db.outbox-of_others",
    "recommendations_db.guest_logins-of_others",
]  # fmt: skip
PLAN = (
    "\n[split]\ntest_days = 12\n[evaluation]\nks = [5, 10]\nprimary_k = 10\ndraws = 100\n"
    "[promotion]\nmin_users = 30\n"
)


@pytest.fixture
def person(counter: Counter, tmp_path: Path) -> Person:
    """Someone who left traces in every place that a shop has."""
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = _an_account(counter, product)
    _orders(counter, person, product)
    _learned_from(counter, person, tmp_path)
    _an_administrator_for_a_day(counter, person)
    _left_over(counter, person, product)
    return person


def test_nothing_of_an_erased_person_is_in_any_store(
    counter: Counter, person: Person, tmp_path: Path
) -> None:
    before = set(_traces(counter))
    # the test looks where it should: each mark was somewhere, and in each kind of store
    assert {mark for mark, _ in before} == set(MARKS)
    assert {kind for _, (kind, _) in before} == {"table", "redis", "file"}
    revenue = counter.one("SELECT sum(total_price) FROM orders_db.orders")
    _the_export_has_everything(counter, person)

    receipt = counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)

    assert _left(counter) == ""
    assert not _is_in_a_snapshot(counter)
    counts = {place["place"]: place["count"] for place in receipt["places"]}
    assert not any(mark in json.dumps(receipt).lower() for mark in MARKS)
    for place in ("users_db.users", "orders_db.orders", "recommendations_db.user_interactions",
                  "redis: posts_waiting", "redis: dead_letters", "redis: search_events", "search index",
                  "var/reports", "var/mlflow", "var/datasets", "var/spool/posts", "var/imports",
                  "analytics_db.job_runs:log", "recommendations_db.business_rules:actor"):  # fmt: skip
        assert counts[place] > 0, place
    # what the law makes a shop keep
    assert counter.one("SELECT sum(total_price) FROM orders_db.orders") == revenue
    assert counter.one("SELECT count(*) FROM orders_db.orders WHERE user_id IS NOT NULL") == 0
    assert counter.one("SELECT count(*) FROM payments_db.payments WHERE amount > 0") == 1
    # models that learned from the person have a date
    assert {model["name"] for model in receipt["models"]} == {"item_knn-v1", "popularity-v1"}
    file = counter.shop.var / "receipt.json"
    file.write_text(json.dumps(receipt))
    assert counter.shop.run("privacy", "verify-receipt", file, "--user", NUMBER).returncode == 0
    file.write_text(json.dumps(receipt | {"requested_by": "somebody else"}))
    assert counter.shop.run("privacy", "verify-receipt", file).returncode == 2

    # erasing again is harmless, and events that come late are dropped
    again = counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)
    assert again["person"] == receipt["person"]
    counter.settle_events()
    assert _left(counter) == ""
    _models_are_deleted_once_replaced(counter, tmp_path)


def test_events_that_arrive_after_the_erasure_leave_nothing(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = _an_account(counter, product)
    counter.settle_events()
    moment = clock.now()
    receipt = counter.send(
        "POST", "/users/me/erase", who=person, json={"password": PASSWORD}, User_Agent=AGENT
    )
    assert receipt["requested_by"] == "the person"
    assert _left(counter) == ""

    interaction = {"product_id": product, "interaction_type": "view", "created_at": moment.isoformat()}
    owners = ({"user_id": NUMBER}, {"username": NAME}, {"session_id": VISIT})
    late = [Post("interactions", interaction | owner, moment.timestamp()) for owner in owners]
    shown = [
        Answered("zq-request", "for_you", "live", [product], [0.5], moment, user_id=NUMBER),
        Answered("zq-request-2", "for_you", "live", [product], [0.5], moment, session_id=VISIT),
    ]
    # Redis, and files of this machine
    buffer.to_redis([buffer.pack(post) for post in late])
    spool.of_process("posts").append([buffer.pack(post) for post in late])
    counter.redis.xadd(keys.exposures_waiting(), {"data": impressions.pack(shown)})
    spool.of_process("exposures").append([impressions.pack(shown)])
    # a transaction that did not see the erasure published events
    with unit_of_work() as session:
        for owner in ({"user_id": NUMBER}, {"session_id": VISIT}):
            publish(
                session,
                ProductViewed(product_id=product, occurred=moment, **{"user_id": None, **owner}),
                occurred_at=moment,
            )
    # an entry that a relay had sent already
    counter.redis.xadd(keys.user_events(), _entry(moment))
    drain.run(threading.Event(), once=True)
    counter.settle_events()
    assert not counter.redis.exists(keys.dead_letters(keys.posts_waiting()))
    assert counter.one("SELECT count(*) FROM recommendations_db.user_interactions") == 0
    assert counter.one("SELECT count(*) FROM recommendations_db.exposures") == 0
    counter.send("DELETE", f"/admin/users/{NUMBER}", who=counter.admin)
    assert _left(counter) == ""


def test_a_second_call_completes_an_erasure_that_failed(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = _an_account(counter, product)
    counter.settle_events()
    exported = counter.shop.var / "exported"
    exported.mkdir()
    (exported / "mails.txt").write_text(f"{EMAIL}\n")
    kept = counter.shop.var / "run" / f"erasing-{NUMBER}.json"

    def away(*_: Any) -> None:
        raise RedisError("away")

    with monkeypatch.context() as failing:
        failing.setattr(erasure, "_erase_keys", away)
        with pytest.raises(RedisError):
            erasure.erase(NUMBER, by=None, requested_by="test")
    assert person.id == NUMBER
    assert (kept.stat().st_mode & 0o777, _left(counter) == "") == (0o600, False)

    # a file that cannot be cleaned is named
    clean = files._clean
    with monkeypatch.context() as failing:
        failing.setattr(files, "_clean", lambda path, who: clean(Path("/nowhere"), who))
        receipt = erasure.erase(NUMBER, by=None, requested_by="test")
    assert any("mails.txt" in note for note in receipt.notes)
    assert kept.exists()
    receipt = erasure.erase(NUMBER, by=None, requested_by="test")
    assert receipt.notes == []
    assert not kept.exists()
    assert _left(counter) == ""


def test_a_name_and_a_session_of_an_erased_person_may_be_used_again(counter: Counter) -> None:
    product, _ = counter.product("Lamp", price="20.00", stock=50)
    person = _an_account(counter, product)
    counter.send("POST", "/users/me/erase", who=person, json={"password": "wrong"}, status=401)
    counter.send("POST", "/users/me/erase", who=person, json={"password": PASSWORD})
    counter.desk.call(person, "GET", "/users/me", status=401)
    counter.desk.register(NAME, email=EMAIL)
    made = counter.desk.log_in(NAME).json()["user_id"]
    interaction = {"product_id": product, "interaction_type": "view"}
    now = clock.now()
    buffer.to_redis(
        [
            buffer.pack(Post("interactions", interaction | {"username": NAME}, now.timestamp())),
            buffer.pack(Post("interactions", interaction | {"session_id": VISIT}, now.timestamp())),
        ]
    )
    drain.run(threading.Event(), once=True)
    rows = counter.desk.rows("SELECT user_id, session_id FROM recommendations_db.user_interactions")
    assert set(rows) == {(made, None), (None, VISIT)}


def _the_export_has_everything(counter: Counter, person: Person) -> None:
    export: Any = {"url": "/api/v1/users/me/export", "headers": person.headers}
    # who found an open browser knows no password
    assert counter.desk.client.post(**export, json={"password": "wrong"}).status_code == 401
    answer = counter.desk.client.post(**export, json={"password": PASSWORD})
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    files = {name: json.loads(archive.read(name)) for name in archive.namelist()}
    assert set(files.pop(INDEX_FILE)["files"]) == set(files)
    everything = json.dumps(files, ensure_ascii=False).lower()
    assert [mark for mark in MARKS if mark not in everything] == []
    assert files["tables/users_db.users.json"][0]["email"] == EMAIL
    assert "password_hash" not in files["tables/users_db.users.json"][0]
    assert files["redis/posts_waiting.json"]
    # nothing of another person
    assert "root@example.org" not in everything
    assert not any(files[f"tables/{name}.json"] for name in OF_OTHERS)


def _models_are_deleted_once_replaced(counter: Counter, folder: Path) -> None:
    with unit_of_work() as session:
        marked = trained_models.marked(session)
        assert not any(model.is_replaced for model in marked)
        assert trained_models.delete_replaced(session) == []
    assert trained_models.overdue(marked) == []
    late = [replace(each, retrain_by=clock.now() - timedelta(days=1)) for each in marked]
    assert trained_models.overdue(late) == late
    _train(folder)
    with unit_of_work() as session:
        deleted = trained_models.delete_replaced(session)
    assert set(deleted) == {"item_knn-v1", "popularity-v1"}
    assert not any((counter.shop.var / "models" / name).exists() for name in deleted)
    assert not any(bool((np.load(path) == NUMBER).any()) for path in counter.shop.var.rglob("*users.npy"))


def _an_account(counter: Counter, product: int) -> Person:
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
    header = {"X_Session_Id": _signed(VISIT), "User_Agent": AGENT}
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
    _train(folder)
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
    with psycopg.connect(counter.shop.database_url) as connection:
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


def _train(folder: Path) -> None:
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
    exported = counter.shop.var / "exported"
    exported.mkdir()
    (exported / "lists.csv").write_text(f"user,sku\n{NAME},sku1\nother,sku2\n")
    (exported / "lists.json").write_text(json.dumps([{"user_id": NUMBER, "mail": EMAIL}]))
    # what no handler has seen yet
    counter.send("GET", f"/search/products?q={SEARCH}", who=person)


def _traces(counter: Counter) -> Iterator[tuple[str, tuple[str, str]]]:
    """Each mark with each store that holds it."""
    for name, content in _contents(counter):
        text = content.lower()
        for mark in MARKS:
            if mark.encode() in text:
                yield mark, name


def _left(counter: Counter) -> str:
    """The traces that are left, a line each."""
    return " ".join(sorted({f"{mark}: {kind} {name};" for mark, (kind, name) in _traces(counter)}))


def _contents(counter: Counter) -> Iterator[tuple[tuple[str, str], bytes]]:
    with psycopg.connect(counter.shop.database_url) as connection:
        for table in metadata.tables:
            query = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*table.split(".")))
            for (row,) in connection.execute(query):
                yield ("table", table), row.encode()
    for key in counter.redis.scan_iter("*"):
        yield ("redis", key.decode()), key + repr(_content(counter, key)).encode()
    for path in counter.shop.var.rglob("*"):
        if path.is_file() and "models" not in path.relative_to(counter.shop.var).parts[:1]:
            yield ("file", str(path.relative_to(counter.shop.var))), path.name.encode() + path.read_bytes()


def _content(counter: Counter, key: bytes) -> Any:
    client: Any = counter.redis
    kind = client.type(key)
    readers = {
        b"string": client.get, b"hash": client.hgetall, b"set": client.smembers, b"stream": client.xrange,
        b"list": lambda name: client.lrange(name, 0, -1), b"zset": lambda name: client.zrange(name, 0, -1),
    }  # fmt: skip
    return readers[kind](key)


def _is_in_a_snapshot(counter: Counter) -> bool:
    paths = (counter.shop.var / "datasets").rglob("users.npy")
    return any(bool((np.load(path) == NUMBER).any()) for path in paths)


def _entry(moment: Any) -> dict[Any, Any]:
    data = json.dumps({"user_id": NUMBER, "product_ids": [1]})
    return fields_of(uuid4(), "user.interactions_recorded", 1, f"user:{NUMBER}", moment, data)


def _signed(session_id: str) -> str:
    return with_signature(session_id)
