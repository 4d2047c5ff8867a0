"""Events of guests per second through the core's consumer, beside a million rows of other guests.

Run as `python -m tests.performance.bench_guests`. Servers are embedded and thrown away. The rate must not
depend on what PostgreSQL knows of the table: it is measured without statistics, with those of a time before
there were guests, and after ANALYZE. The floor is the same consumer with handlers that do nothing.
"""

from __future__ import annotations

import os
import threading
from time import perf_counter

import psycopg
from rich.console import Console
from rich.table import Table

from recsys import clock, embedded
from recsys.database.addresses import database_url, libpq_url
from recsys.database.migrate import upgrade
from recsys.database.session import unit_of_work
from recsys.events import relay
from recsys.events.consumer import Consumer
from recsys.events.envelope import Subscriptions
from recsys.events.publish import publish
from recsys.events.vocabulary import ProductViewed
from recsys.settings import Settings, get_settings
from recsys.subscriptions import SUBSCRIPTIONS
from tests.support.servers import temporary_var

GUEST_ROWS = 1_000_000
EVENTS = 2_000
_TABLE = "recommendations_db.user_interactions"


def main() -> None:
    """Print the rate under each kind of statistics, and its ratio to the floor."""
    with temporary_var("recsys-bench-") as var:
        os.environ["RECSYS_VAR"] = str(var)
        get_settings.cache_clear()
        settings = Settings()
        embedded.start(settings, throwaway=True)
        try:
            upgrade(database_url())
            relay.prepare()
            rates = _rates()
        finally:
            embedded.stop(settings)
    table = Table(title=f"{EVENTS:,} views of guests beside {GUEST_ROWS:,} rows of other guests")
    table.add_column("statistics")
    table.add_column("events/s", justify="right")
    for name, rate in rates.items():
        table.add_row(name, f"{rate:,.0f}")
    console = Console()
    console.print(table)
    floor = rates.pop("floor: handlers that do nothing")
    console.print(f"ratio {floor / min(rates.values()):.3f}")


def _rates() -> dict[str, float]:
    with psycopg.connect(libpq_url(), autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {_TABLE} SET (autovacuum_enabled = off)".encode())
        connection.execute(
            "INSERT INTO products_db.products (id, name, slug, price, status) "
            "SELECT i, 'P' || i, 'p' || i, i, 'active' FROM generate_series(1, 100) i"
        )
        connection.execute(
            "INSERT INTO users_db.users (id, email, username, full_name, password_hash) "
            "SELECT i, 'u' || i || '@example.org', 'u' || i, 'U', '!' FROM generate_series(1, 1000) i"
        )
        _fill(connection, "1 + i % 1000", 20_000)
        connection.execute(f"ANALYZE {_TABLE}".encode())
        _fill(connection, "NULL::integer", GUEST_ROWS)
        rates = {"of a time before there were guests": _rate(SUBSCRIPTIONS, "a")}
        connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [_TABLE])
        rates["none"] = _rate(SUBSCRIPTIONS, "b")
        connection.execute(f"ANALYZE {_TABLE}".encode())
        rates["after ANALYZE"] = _rate(SUBSCRIPTIONS, "c")
        rates["floor: handlers that do nothing"] = _rate(
            {ProductViewed: (lambda session, envelope: None,)}, "d"
        )
        return rates


def _fill(connection: psycopg.Connection, user: str, rows: int) -> None:
    statement = (
        "INSERT INTO recommendations_db.user_interactions "
        "(user_id, product_id, interaction_type, session_id, created_at) "
        "SELECT {user}, 1 + i % 100, 'view', 'g' || i / 5, now() - i * interval '1 s' "
        "FROM generate_series(1, {rows}) i"
    )
    connection.execute(statement.format(user=user, rows=rows).encode())


def _rate(subscriptions: Subscriptions, group: str) -> float:
    now = clock.now()
    for start in range(0, EVENTS, 100):
        with unit_of_work() as session:
            for number in range(start, start + 100):
                visit = f"{group}{number // 4}"
                publish(session, ProductViewed(product_id=1 + number % 100, session_id=visit, occurred=now))
    relay.run(threading.Event(), once=True)
    began = perf_counter()
    handled = Consumer(f"bench-{group}", subscriptions).run(threading.Event(), once=True)
    assert handled >= EVENTS
    return handled / (perf_counter() - began)


if __name__ == "__main__":
    main()
