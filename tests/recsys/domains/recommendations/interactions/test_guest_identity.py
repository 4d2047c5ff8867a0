"""What a guest did is assigned to the user at log-in, also events that arrive later."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from recsys import clock
from recsys.cache import keys
from recsys.database.session import unit_of_work
from recsys.domains.products import views
from recsys.domains.recommendations import handlers
from recsys.domains.recommendations.interactions import guest_identity
from recsys.domains.recommendations.interactions.ingest import take
from recsys.events.envelope import Envelope
from recsys.events.vocabulary import UserLoggedIn
from recsys.web.access.guest_sessions import with_signature
from tests.recsys.domains.users.conftest import Desk
from tests.support.shop import Shop


def tell(session_id: str, product_id: int, *, kind: str = "view", moment: datetime | None = None) -> None:
    """A guest's interaction, stored."""
    one = {"session_id": session_id, "product_id": product_id, "interaction_type": kind}
    with unit_of_work() as session:
        verdicts, _ = take(session, [one | {"created_at": moment or clock.now()}])
    assert verdicts[0].status == "stored"


def log_in(session_id: str, user_id: int) -> int:
    """What the log-in does with interactions."""
    with unit_of_work() as session:
        return guest_identity.adopt(session, session_id, user_id)


def owners(shop: Shop) -> list[tuple[int, int | None]]:
    """(product, user) of each interaction."""
    with shop.connect() as connection:
        return connection.execute(
            "SELECT product_id, user_id FROM recommendations_db.user_interactions ORDER BY product_id, id"
        ).fetchall()


def products(desk: Desk) -> None:
    with desk.shop.connect() as connection:
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price) "
            "SELECT i, 'P' || i, 'p' || i, i FROM generate_series(1, 5) i"
        )


def test_logging_in_takes_the_visit_along(desk: Desk) -> None:
    products(desk)
    ada = desk.account("ada")
    body = [
        {"session_id": "visit", "product_id": 1, "interaction_type": "view"},
        {"session_id": "visit", "product_id": 2, "interaction_type": "purchase"},
        {"session_id": "other", "product_id": 3, "interaction_type": "view"},
    ]
    desk.call(None, "POST", "/interactions", json=body)
    before = clock.now()
    desk.log_in("ada", X_Session_Id=with_signature("visit"))
    assert owners(desk.shop) == [(1, ada), (2, ada), (3, None)]
    assert desk.redis.smembers(keys.recent_interactions(ada)) == {b"1", b"2", b"-2"}

    # a sender who was offline: what happened before the log-in is hers, what happens after it is a guest's
    late = body[0] | {"product_id": 4, "created_at": before.isoformat()}
    desk.call(None, "POST", "/interactions", json=[late, body[0] | {"product_id": 5}])
    assert owners(desk.shop)[3:] == [(4, ada), (5, None)]
    assert b"4" in desk.redis.smembers(keys.recent_interactions(ada))


def test_each_interaction_belongs_to_the_first_log_in_after_it(small_shop: Shop) -> None:
    tell("visit", 1)
    assert log_in("visit", 1) == 1
    between = clock.now()
    tell("visit", 2)
    assert log_in("visit", 2) == 1
    tell("visit", 3, moment=between)
    tell("visit", 4, moment=between - timedelta(hours=1))
    tell("visit", 5)
    assert owners(small_shop) == [(1, 1), (2, 2), (3, 2), (4, 1), (5, None)]
    assert log_in("elsewhere", 1) == 0


@pytest.mark.one_server
def test_what_a_deleted_user_leaves_goes_to_nobody_else(small_shop: Shop) -> None:
    tell("visit", 1)
    log_in("visit", 1)
    with small_shop.connect() as connection:
        connection.execute("DELETE FROM users_db.users WHERE id = 1")
    assert log_in("visit", 2) == 0
    assert owners(small_shop) == [(1, None)]


def test_the_event_of_the_log_in_puts_right_what_is_left(small_shop: Shop, desk: Desk) -> None:
    tell("visit", 1, kind="purchase")
    log_in("visit", 1)
    with small_shop.connect() as connection:
        connection.execute(
            "INSERT INTO recommendations_db.user_interactions (product_id, interaction_type, session_id, "
            "created_at) SELECT 2, 'view', 'visit', logged_in_at FROM recommendations_db.guest_logins"
        )
    desk.redis.flushdb()
    event = UserLoggedIn(user_id=1, session_id="s", guest_session_id="visit")
    for _ in range(2):
        with unit_of_work() as session:
            handlers.adopt_interactions(session, Envelope(uuid4(), clock.now(), event))
        assert owners(small_shop) == [(1, 1), (2, 1)]
        assert desk.redis.smembers(keys.recent_interactions(1)) == {b"1", b"-1", b"2"}
    with unit_of_work() as session:
        alone = UserLoggedIn(user_id=1, session_id="s")
        handlers.adopt_interactions(session, Envelope(uuid4(), clock.now(), alone))


@pytest.mark.parametrize("stored_first", [True, False])
def test_a_batch_and_a_log_in_at_the_same_time_do_not_miss_each_other(
    small_shop: Shop, stored_first: bool
) -> None:
    one = {"session_id": "visit", "product_id": 1, "interaction_type": "view", "created_at": clock.now()}
    other = threading.Thread(target=log_in if stored_first else tell, args=("visit", 1))
    with unit_of_work() as session:
        if stored_first:
            take(session, [one])
        else:
            guest_identity.adopt(session, "visit", 1)
        other.start()
        other.join(0.3)
        assert other.is_alive(), "the other has to wait until this one is committed"
    other.join(10)
    assert not other.is_alive()
    # sent after the log-in's moment, it is a guest's
    assert owners(small_shop) == [(1, 1 if stored_first else None)]


def test_ten_log_ins_and_batches_at_once_lose_nothing(small_shop: Shop) -> None:
    moments = [clock.now() - timedelta(minutes=place + 1) for place in range(20)]
    doers = [threading.Thread(target=log_in, args=(f"visit-{place % 10}", 1)) for place in range(10)]
    doers += [
        threading.Thread(target=tell, args=(f"visit-{place % 10}", 1), kwargs={"moment": moments[place]})
        for place in range(20)
    ]
    for doer in doers:
        doer.start()
    for doer in doers:
        doer.join(30)
    assert owners(small_shop) == [(1, 1)] * 20


STATISTICS = ["of a time before there were guests", "none", "of today"]


@pytest.mark.parametrize("statistics", STATISTICS)
def test_what_a_guest_s_event_reads_does_not_hang_on_statistics(desk: Desk, statistics: str) -> None:
    ada = desk.account("ada")
    products(desk)
    tables = {
        "recommendations_db.user_interactions": "(user_id, product_id, interaction_type, session_id, "
        "created_at) SELECT {user}, 1 + i % 5, 'view', 'g' || i / 5, now() - i * interval '1 s'",
        "products_db.product_view_history": "(user_id, product_id, session_id, viewed_at) "
        "SELECT {user}, 1 + i % 5, 'g' || i / 5, now() - i * interval '1 s'",
    }
    with desk.shop.connect(autocommit=True) as connection:
        for table, columns in tables.items():
            connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
            insert = f"INSERT INTO {table} {columns} FROM generate_series(1, {{rows}}) i"
            connection.execute(insert.format(user=ada, rows=2_000).encode())
            connection.execute(f"ANALYZE {table}".encode())
            connection.execute(insert.format(user="NULL::integer", rows=40_000).encode())
            if statistics == "none":
                connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
            elif statistics == "of today":
                connection.execute(f"ANALYZE {table}".encode())
        connection.execute(
            "INSERT INTO recommendations_db.guest_logins (session_id, user_id, logged_in_at) "
            "VALUES ('g14', %s, now())",
            [ada],
        )
        queries = [
            (guest_identity._LOGGED_IN, "'{g14,g15}'::varchar[]"),
            (views._LOG_INS, "'{g14,g15}'::varchar[]"),
            (views._SETTLE, "'g14'"),
            (views._SETTLE, "'g15'"),
            (guest_identity._SETTLE, "'{g14}'::varchar[]"),
        ]
        log_in = {":users": f"'{{{ada}}}'::integer[]", ":moments": "ARRAY[now()]"}
        for query, given in queries:
            statement = query.text
            for name, value in {":sessions": given, ":session": given, **log_in}.items():
                statement = statement.replace(name, value)
            connection.execute("BEGIN")
            ((plan,),) = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}".encode()).fetchall()
            connection.execute("ROLLBACK")
            assert read(plan[0]["Plan"]) < 100, shown(plan[0]["Plan"])


def shown(plan: dict[str, Any], depth: int = 0) -> str:
    """The nodes of a query plan and the rows that they read, as text for the failure message."""
    index = plan.get("Index Name", plan.get("Relation Name", ""))
    line = f"{'  ' * depth}{plan['Node Type']} {index} {plan['Actual Rows']} x {plan['Actual Loops']}"
    return "\n".join([line, *(shown(inner, depth + 1) for inner in plan.get("Plans", ()))])


def read(plan: dict[str, Any]) -> float:
    """The rows that the scans of a plan have read, those that a filter removed included."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    here = plan["Actual Loops"] * own if plan["Node Type"].endswith("Scan") else 0
    return float(here + sum(map(read, plan.get("Plans", ()))))
