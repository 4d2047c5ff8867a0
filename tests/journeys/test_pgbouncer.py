"""The whole service behind a real PgBouncer in transaction mode, from an empty database to served lists."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from recsys.database.session import copy_connection, unit_of_work
from recsys.errors import Unavailable
from recsys.events.lag import measure as read_lag
from recsys.events.periodic import LEADER_LOCK
from recsys.settings import get_settings
from tests.support import warm
from tests.support.hosts.pgbouncer import pgbouncer, through
from tests.support.servers import Servers
from tests.support.shop import Shop, forget_connections

SESSIONS = 6
"""So few sessions of PostgreSQL for all processes: each is shared by many."""
LEFT_BEHIND = """
SELECT pg_backend_pid(), current_setting('lock_timeout'), current_setting('statement_timeout'),
    current_setting('search_path'), current_setting('TimeZone'), current_setting('jit'),
    (SELECT count(*) FROM pg_prepared_statements),
    (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_my_temp_schema() = relnamespace)
"""


@pytest.fixture
def empty_database(servers: Servers) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(servers.database("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield servers.database(name)
        forget_connections()
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def pooled_shop(shop: Shop, empty_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose transactions go through PgBouncer, in an empty database."""
    with pgbouncer(empty_database, size=SESSIONS) as port:
        url = through(port, empty_database)
        monkeypatch.setenv("RECSYS_DATABASE__URL", url)
        monkeypatch.setenv("RECSYS_DATABASE__DIRECT_URL", empty_database)
        monkeypatch.setenv("RECSYS_EVENTS__TAKEOVER_SECONDS", "2")
        forget_connections()
        try:
            yield Shop(get_settings(), shop.var, url, shop.redis_url)
        finally:
            forget_connections()


def _done(shop: Shop, *command: object) -> str:
    done = shop.run(*command, timeout=300)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


@contextmanager
def _processes(**commands: tuple[str, ...]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        running = {}
        for name, command in commands.items():
            log = stack.enter_context((Path(os.environ["RECSYS_VAR"]) / f"{name}.log").open("wb"))
            running[name] = warm.start("-m", "recsys", *command, stdout=log, stderr=log)
        try:
            yield running
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.wait(60)


def _until(condition: Callable[[], bool], what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_a_shop_from_an_empty_database_to_served_lists(pooled_shop: Shop, tmp_path: Path) -> None:
    shop, files = pooled_shop, tmp_path / "shop"
    assert json.loads(_done(shop, "migrate", "--json"))["before"] is None
    _done(shop, "simulate", files, "--users", 150, "--products", 60, "--interactions", 4000, "--seed", 5)
    _done(
        shop, "import", "csv", "--products", files / "products.parquet", "--users", files / "users/*.parquet",
        "--interactions", files / "interactions/*.parquet",
    )  # fmt: skip
    _done(shop, "features", "build")
    _done(shop, "train", "run", "popularity", "als")
    _done(shop, "serve", "score")
    before = _interactions()
    assert before > 3000
    with _processes(
        api=("serve", "api", "--workers", "3"),
        relay=("relay",),
        standby=("relay",),
        core=("consume", "core"),
        more=("consume", "core"),
    ) as running:
        url = _address(shop, running["api"])
        posted = _busy_hour(url)
        _until(lambda: _interactions() == before + posted, "each posted interaction is stored once")
        _check_the_leader_is_followed(shop, running)
        # events written by API workers were relayed and handled
        _until(lambda: _waiting() == 0, "the outbox is empty and everything is handled")
    assert _interactions() == before + posted
    # whatever was done, the shared sessions are as PgBouncer opened them
    assert len(_states_of_shared_sessions(shop.database_url)) == 1
    found = {each["part"]: each for each in json.loads(shop.run("doctor", "--json").stdout)}
    assert found["PostgreSQL"]["state"] == "ok"
    assert "through RECSYS_DATABASE__URL" in found["PostgreSQL"]["found"]


def _interactions() -> int:
    with unit_of_work() as session:
        count = session.scalar(text("SELECT count(*) FROM recommendations_db.user_interactions"))
        assert isinstance(count, int)
        return count


def _address(shop: Shop, api: subprocess.Popen[bytes]) -> str:
    note = shop.var / "run" / "api.json"
    _until(lambda: note.exists() or api.poll() is not None, "the API starts")
    url = str(json.loads(note.read_text())["url"])

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    _until(ready, "the API is ready")
    return url


def _busy_hour(url: str, threads: int = 12, turns: int = 20) -> int:
    """Readers and writers beside each other, more than there are sessions; how many interactions."""

    def shopper(number: int) -> int:
        with httpx.Client(base_url=f"{url}/api/v1", timeout=60) as client:
            for turn in range(turns):
                user, product = 1 + (number * 7 + turn) % 150, 1 + (number + turn * 3) % 60
                event = {
                    "event_id": str(uuid4()),
                    "user_id": user,
                    "product_id": product,
                    "interaction_type": "view",
                    "created_at": datetime.now(UTC).isoformat(),
                }
                answers = [
                    client.post("/interactions", json=event),
                    client.get(f"/users/{user}/recommendations"),
                    client.get(f"/users/{user}/recommendations", params={"in_stock": "true"}),
                    client.get(f"/products/{product}"),
                    client.get(f"/products/{product}/similar"),
                    client.get("/search/products", params={"q": "a"}),
                    client.get("/products", params={"limit": 5}),
                ]
                assert [each.text for each in answers if each.status_code >= 400] == []
        return turns

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(shopper, range(threads)))


def _check_the_leader_is_followed(shop: Shop, running: dict[str, subprocess.Popen[bytes]]) -> None:
    """One of two relays leads; when it is killed the other one does, and starts jobs."""
    direct = os.environ["RECSYS_DATABASE__DIRECT_URL"]
    _until(lambda: _leaders(direct) == 1, "one process leads")
    running["relay"].send_signal(signal.SIGKILL)
    running["relay"].wait()
    run = json.loads(_done(shop, "jobs", "run", "features", "--json"))["id"]

    def state() -> str:
        history = json.loads(_done(shop, "jobs", "history", "--json"))
        return str(next(each["state"] for each in history if each["id"] == run))

    _until(lambda: state() == "done", "the other relay starts jobs", 180)
    assert _leaders(direct) == 1


def _leaders(direct: str) -> int:
    query = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with psycopg.connect(direct) as connection:
        row = connection.execute(query, [LEADER_LOCK]).fetchone()
        assert row is not None
        return int(row[0])


def _waiting() -> int:
    lag = read_lag()
    return lag.outbox + sum((each.unread or 0) + each.pending for each in lag.groups if each.group == "core")


def _states_of_shared_sessions(url: str) -> set[tuple[object, ...]]:
    """What each session of PgBouncer's is like between transactions, without its number."""
    states: dict[int, tuple[object, ...]] = {}
    with ExitStack() as held:
        for _ in range(SESSIONS):
            connection = held.enter_context(psycopg.connect(url, prepare_threshold=None))
            # each transaction stays open: the next one is given another session
            row = connection.execute(LEFT_BEHIND).fetchone()
            assert row is not None
            states[row[0]] = row[1:]
    assert len(states) == SESSIONS
    return set(states.values())


def test_each_transaction_has_our_timeouts_and_time_zone(pooled_shop: Shop) -> None:
    query = "SELECT current_setting('lock_timeout'), current_setting('TimeZone')"
    for _ in range(3):
        with unit_of_work() as session:
            assert tuple(session.execute(text(query)).one()) == ("30s", "UTC")
            with session.begin_nested():
                assert session.scalar(text("SELECT now()")).tzinfo is not None
        with copy_connection() as connection:
            assert connection.execute(query.encode()).fetchone() == ("30s", "UTC")
        with unit_of_work(seconds=2) as session:
            assert tuple(session.execute(text(query)).one()) == ("2s", "UTC")
    assert _states_of_shared_sessions(pooled_shop.database_url) != {("30s", "UTC")}


def test_an_error_rolls_back_and_the_session_is_used_again(pooled_shop: Shop) -> None:
    def fail() -> None:
        with unit_of_work() as session:
            session.execute(text("CREATE TABLE half_done (number integer)"))
            session.execute(text("SELECT 1 / 0"))

    for _ in range(SESSIONS * 2):
        with pytest.raises(Exception, match="division by zero"):
            fail()
    with unit_of_work() as session:
        assert session.scalar(text("SELECT to_regclass('half_done')")) is None


def test_pgbouncer_without_a_direct_address_is_refused_with_what_to_do(
    pooled_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RECSYS_DATABASE__DIRECT_URL")
    forget_connections()
    with pytest.raises(Unavailable, match="set RECSYS_DATABASE__DIRECT_URL"), unit_of_work():
        pass
    done = pooled_shop.run("migrate")
    assert done.returncode == 1
    assert "RECSYS_DATABASE__DIRECT_URL" in done.stderr


def test_the_doctor_names_an_address_that_leads_elsewhere(
    pooled_shop: Shop, servers: Servers, shop: Shop
) -> None:
    _done(pooled_shop, "migrate")
    found = _doctor(pooled_shop, RECSYS_DATABASE__DIRECT_URL=shop.database_url)
    assert found["state"] == "broken"
    assert "different databases" in found["found"]
    away = _doctor(pooled_shop, RECSYS_DATABASE__URL="postgresql://shop@127.0.0.1:1/shop")
    assert away["state"] == "broken"
    assert "127.0.0.1:1" in away["found"]


def _doctor(shop: Shop, **environment: str) -> dict[str, str]:
    done = shop.run("doctor", "--json", **environment)
    found: dict[str, str] = next(each for each in json.loads(done.stdout) if each["part"] == "PostgreSQL")
    return found
