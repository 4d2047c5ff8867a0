"""One commit place: what is committed, what is rolled back, and the errors while PostgreSQL is away."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import SecretStr
from sqlalchemy import make_url, text

from recsys.database import addresses
from recsys.database import session as database
from recsys.database.session import copy_connection, get_engine, unit_of_work
from recsys.domains.products.tables import Brand
from recsys.errors import Invalid, Unavailable
from recsys.settings import DatabaseSettings, Settings, get_settings


@contextmanager
def _using(url: str, monkeypatch: pytest.MonkeyPatch, **more: str) -> Iterator[None]:
    monkeypatch.setenv("RECSYS_DATABASE__URL", url)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        yield
    finally:
        database.dispose_engines()
        get_settings.cache_clear()


@pytest.fixture
def shop_database(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`unit_of_work()` works on a database of this test's own."""
    with _using(fresh_database, monkeypatch):
        yield fresh_database


def _brands(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM products_db.brands ORDER BY name")]


def _brand(name: str) -> Brand:
    return Brand(name=name, slug=name)


def test_the_end_of_the_block_commits_and_objects_stay_readable(shop_database: str) -> None:
    with unit_of_work() as session:
        brand = _brand("acme")
        session.add(brand)
        session.flush()
        assert _brands(shop_database) == []
    assert _brands(shop_database) == ["acme"]
    assert (brand.name, brand.id) == ("acme", 1)


def test_an_error_undoes_everything_and_comes_out_unchanged(shop_database: str) -> None:
    failure = ValueError("no")

    def fail_half_way() -> None:
        with unit_of_work() as session:
            session.add(_brand("acme"))
            session.flush()
            raise failure

    with pytest.raises(ValueError, match="no") as caught:
        fail_half_way()
    assert caught.value is failure
    assert _brands(shop_database) == []
    with unit_of_work() as session:
        session.add(_brand("next"))
    assert _brands(shop_database) == ["next"]


def test_a_commit_that_fails_leaves_nothing_behind(shop_database: str) -> None:
    with pytest.raises(Exception, match="brands_name_key"), unit_of_work() as session:
        session.add_all([_brand("one"), Brand(name="one", slug="two")])
    assert _brands(shop_database) == []


def test_a_unit_inside_a_unit_is_refused_and_the_outer_one_goes_on(shop_database: str) -> None:
    with unit_of_work() as session:
        session.add(_brand("outer"))
        with pytest.raises(RuntimeError, match="pass its session on"), unit_of_work():
            pytest.fail("a second unit opened")
    assert _brands(shop_database) == ["outer"]


def test_threads_and_later_tasks_have_units_of_their_own(shop_database: str) -> None:
    def store(name: str) -> None:
        with unit_of_work() as session:
            session.add(_brand(name))

    with unit_of_work() as session:
        session.add(_brand("here"))
        context = copy_context()
        inherited = copy_context()
        thread = threading.Thread(target=context.run, args=(store, "beside"))
        thread.start()
        thread.join()
    inherited.run(store, "after")
    assert _brands(shop_database) == ["after", "beside", "here"]


def test_times_are_utc_whatever_the_server_prefers(shop_database: str) -> None:
    with psycopg.connect(shop_database) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'").format(name))
    with unit_of_work() as session:
        assert session.scalar(text("SHOW timezone")) == "UTC"
    with copy_connection() as connection:
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)


def test_copy_commits_at_the_end_and_undoes_on_error(shop_database: str) -> None:
    def load(connection: psycopg.Connection, names: list[str]) -> None:
        with connection.cursor().copy("COPY products_db.brands (name, slug) FROM STDIN") as copy:
            for name in names:
                copy.write_row((name, name))

    with copy_connection() as connection:
        load(connection, ["a", "b"])
        assert _brands(shop_database) == []

    def fail_after_loading() -> None:
        with copy_connection() as connection:
            load(connection, ["c"])
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail_after_loading()
    assert _brands(shop_database) == ["a", "b"]


Opening = Callable[[], AbstractContextManager[Any]]


@pytest.mark.parametrize("opening", [unit_of_work, copy_connection])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"port": "1"}, "Connection refused"),
        ({"password": "hidden-word"}, "authentication failed"),
        ({"dbname": "nowhere"}, "does not exist"),
        ({"host": "nowhere.invalid"}, "nowhere.invalid"),
    ],
    ids=["port", "password", "database", "host"],
)
def test_a_missing_server_is_reported_in_one_line(
    fresh_database: str,
    monkeypatch: pytest.MonkeyPatch,
    opening: Opening,
    change: dict[str, str],
    reason: str,
) -> None:
    parts = conninfo_to_dict(fresh_database) | change
    secret = str(parts["password"])
    url = (
        f"postgresql://{parts['user']}:{quote(secret, safe='')}@{parts['host']}:{parts['port']}"
        f"/{parts['dbname']}"
    )
    with (
        _using(url, monkeypatch),
        pytest.raises(Unavailable, match="cannot be reached") as caught,
        opening(),
    ):
        pytest.fail("the block ran without a database")
    message = str(caught.value)
    assert reason in message
    assert "recsys up" in message
    assert "\n" not in message
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_stopped_embedded_server_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="recsys up"):
        addresses.database_url(Settings(var=tmp_path))


def test_a_lost_connection_is_reported_and_the_next_unit_works(shop_database: str) -> None:
    def lose_the_connection() -> None:
        with unit_of_work() as session:
            session.add(_brand("lost"))
            session.flush()
            _end_backend(shop_database, session.scalars(text("SELECT pg_backend_pid()")).one())
            session.execute(text("SELECT 1"))

    with pytest.raises(Unavailable, match="cannot be reached"):
        lose_the_connection()
    with unit_of_work() as session:
        session.add(_brand("kept"))
    assert _brands(shop_database) == ["kept"]


@pytest.mark.parametrize(("trusted", "unnoticed"), [(0.0, True), (60.0, False)])
def test_a_connection_that_died_in_the_pool_is_replaced(
    shop_database: str, monkeypatch: pytest.MonkeyPatch, trusted: float, unnoticed: bool
) -> None:
    monkeypatch.setattr(database, "_TRUSTED_SECONDS", trusted)
    with unit_of_work() as session:
        pid = session.scalars(text("SELECT pg_backend_pid()")).one()
    _end_backend(shop_database, pid)
    if not unnoticed:  # it was used a moment ago, so nobody asked whether it is there
        with pytest.raises(Unavailable, match="cannot be reached"), unit_of_work() as session:
            session.execute(text("SELECT 1"))
    with unit_of_work() as session:
        assert session.scalars(text("SELECT pg_backend_pid()")).one() != pid


def _end_backend(url: str, pid: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # the second argument waits until the process is gone
        assert connection.execute("SELECT pg_terminate_backend(%s, 10000)", [pid]).fetchone() == (True,)


def test_an_empty_pool_is_reported(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_POOL_SECONDS", 0.05)
    with _using(fresh_database, monkeypatch, RECSYS_DATABASE__POOL_SIZE="1"):
        taken = [get_engine().connect(), get_engine().connect()]
        with pytest.raises(Unavailable, match="RECSYS_DATABASE__POOL_SIZE"), unit_of_work():
            pytest.fail("a third connection was given")
        for connection in taken:
            connection.close()
        with unit_of_work() as session:
            session.execute(text("SELECT 1"))


def test_a_lock_timeout_is_reported_and_the_address_may_set_it(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    separator = "&" if "?" in fresh_database else "?"
    url = f"{fresh_database}{separator}options=-c%20lock_timeout%3D50ms"
    with psycopg.connect(fresh_database) as other, _using(url, monkeypatch):
        with unit_of_work() as session:
            assert session.scalars(text("SHOW lock_timeout")).one() == "50ms"
        other.execute("LOCK TABLE products_db.brands")
        with pytest.raises(Unavailable, match="waited too long"), unit_of_work() as session:
            session.add(_brand("late"))
    assert _brands(fresh_database) == []


def test_other_database_errors_come_out_as_they_are(shop_database: str) -> None:
    with pytest.raises(Exception, match="division by zero"), unit_of_work() as session:
        session.execute(text("SELECT 1 / 0"))


def test_one_engine_for_one_address(shop_database: str) -> None:
    first = get_engine()
    assert get_engine() is first
    database.dispose_engines()
    assert get_engine() is not first


def _settings(url: str) -> Settings:
    return Settings(database=DatabaseSettings(url=SecretStr(url)))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_form_of_an_address_is_understood(scheme: str) -> None:
    given_url = _settings(f"{scheme}://u:p%40@h:1/d?sslmode=disable")
    assert addresses.database_url(given_url) == "postgresql+psycopg://u:p%40@h:1/d?sslmode=disable"
    assert addresses.libpq_url(given_url) == "postgresql://u:p%40@h:1/d?sslmode=disable"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hidden-word@h/d",
        "hidden-word",
        "postgresql://u:hidden-word@h:port/d",
        "postgresql://u:hidden-word%zz@h/d",
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(Invalid, match=r"RECSYS_DATABASE__URL .*postgresql://user:password@") as caught:
        addresses.database_url(_settings(url))
    assert "hidden-word" not in "".join(traceback.format_exception(caught.value))


@settings(max_examples=50)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_password_reaches_both_drivers_unchanged(password: str) -> None:
    given_url = _settings(f"postgresql://u:{quote(password, safe='')}@h:1/d")
    assert make_url(addresses.database_url(given_url)).password == password
    assert conninfo_to_dict(addresses.libpq_url(given_url))["password"] == password


def test_a_connection_that_comes_back_after_the_end_is_closed(shop_database: str) -> None:
    with unit_of_work() as session:
        used = session.connection().connection.dbapi_connection
        assert isinstance(used, psycopg.Connection)
        database.dispose_engines()
        assert not used.closed, "somebody still works with it"
        session.execute(text("SELECT 1"))
    assert used.closed
