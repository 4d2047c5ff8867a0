"""A unit of work on several servers: all of them take what was written, or none does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from recsys.database.absence import DatabaseAway
from recsys.database.after_commit import after_commit
from recsys.database.collecting import collect
from recsys.database.servers import joint_commit
from recsys.database.servers.joint_commit import count_in_doubt, settle
from recsys.database.servers.placement import ServerName
from recsys.database.session import get_engine, other_engines, unit_of_work
from recsys.domains.analytics.tables import PageView
from recsys.domains.notifications.tables import SentNotice
from recsys.domains.products.tables import Brand
from recsys.events import retention
from recsys.settings import get_settings
from tests.support.shop import Shop

Others = dict[ServerName, str]
_PREPARED = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"


@pytest.fixture(autouse=True)
def nothing_stays_prepared(shop: Shop, other_servers: Others) -> Iterator[None]:
    yield
    for url in other_servers.values():
        with psycopg.connect(url) as connection:
            assert connection.execute(_PREPARED).fetchone() == (0,)


def _count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        assert row is not None
        return int(row[0])


def _counts(shop: Shop, others: Others) -> tuple[int, int, int]:
    return (
        _count(shop.database_url, "products_db.brands"),
        _count(others["analytics"], "analytics_db.page_views"),
        _count(others["notifications"], "notifications_db.sent_notices"),
    )


def _view(page: str = "/") -> PageView:
    return PageView(session_id="s", page_url=page)


def test_rows_lie_on_the_servers_of_their_tables(shop: Shop, other_servers: Others) -> None:
    with unit_of_work() as session:
        session.add_all([Brand(name="A", slug="a"), _view(), SentNotice(key="k")])
        session.flush()
        # each statement finds its server, whatever it is made of
        assert session.scalar(select(func.count()).select_from(PageView)) == 1
        assert session.scalar(text("SELECT count(*) FROM notifications_db.sent_notices")) == 1
        session.execute(insert(PageView), [{"session_id": "s", "page_url": "/2"}])
    assert _counts(shop, other_servers) == (1, 2, 1)
    assert _count(shop.database_url, "analytics_db.page_views") == 0


def test_an_error_in_the_block_leaves_nothing_anywhere(shop: Shop, other_servers: Others) -> None:
    def fail() -> None:
        with unit_of_work() as session:
            session.add_all([Brand(name="A", slug="a"), _view(), SentNotice(key="k")])
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert _counts(shop, other_servers) == (0, 0, 0)


def test_one_server_that_cannot_prepare_stops_all(shop: Shop, other_servers: Others) -> None:
    with psycopg.connect(other_servers["notifications"]) as connection:
        # a reference that is looked at when the transaction is prepared
        connection.execute(
            "ALTER TABLE notifications_db.sent_notices ADD CONSTRAINT once UNIQUE (created_at) "
            "DEFERRABLE INITIALLY DEFERRED"
        )
    rows = [Brand(name="A", slug="a"), _view(), SentNotice(key="k"), SentNotice(key="l")]
    with pytest.raises(IntegrityError, match="once"), unit_of_work() as session:
        session.add_all(rows)
    assert _counts(shop, other_servers) == (0, 0, 0)


def test_work_after_the_commit_sees_what_every_server_has(shop: Shop, other_servers: Others) -> None:
    seen: list[tuple[int, int, int]] = []
    with unit_of_work() as session:
        session.add_all([Brand(name="A", slug="a"), _view()])
        after_commit(session, lambda: seen.append(_counts(shop, other_servers)))
    assert seen == [(1, 1, 0)]


@pytest.mark.parametrize("written", ["analytics", "both others"])
def test_what_only_other_servers_have_is_committed_too(
    shop: Shop, other_servers: Others, written: str
) -> None:
    seen: list[tuple[int, int, int]] = []
    with unit_of_work() as session:
        session.add(_view())
        if written == "both others":
            session.add(SentNotice(key="k"))
        after_commit(session, lambda: seen.append(_counts(shop, other_servers)))
    assert _counts(shop, other_servers) == (0, 1, int(written == "both others"))
    assert seen == [_counts(shop, other_servers)]


class _Killed(BaseException):
    """Stands for a process that ends here, without another statement."""


@pytest.mark.parametrize("moment", ["after the commit", "before the commit"])
def test_what_a_killed_process_left_prepared_ends_as_the_shops_transaction_did(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    ended: list[str] = []

    def killed(engine: Any, how: str, name: str) -> bool:
        ended.append(how)
        return False

    def lost(session: Any) -> None:
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr(joint_commit, "_end", killed)
        if moment == "before the commit":
            patch.setattr("sqlalchemy.orm.Session.commit", lost)
        with suppress(_Killed), unit_of_work() as session:
            session.add_all([Brand(name="A", slug="a"), _view(), SentNotice(key="k")])
    assert ended  # it was prepared, and nobody ended it
    survived = int(moment == "after the commit")
    assert _counts(shop, other_servers) == (survived, 0, 0)
    with other_engines()["analytics"].connect() as connection:
        assert count_in_doubt(connection) == 1
    assert settle(get_engine(), other_engines()) == 2
    assert _counts(shop, other_servers) == (survived,) * 3
    assert settle(get_engine(), other_engines()) == 0


def test_what_is_still_under_way_is_left_alone(shop: Shop, other_servers: Others) -> None:
    with unit_of_work() as session:
        session.add(Brand(name="A", slug="a"))
        session.flush()
        number = session.execute(text("SELECT pg_current_xact_id()::text")).scalar_one()
        with psycopg.connect(other_servers["analytics"]) as connection:
            connection.execute("INSERT INTO analytics_db.bot_hits VALUES (current_date, 'x', 1)")
            connection.execute(f"PREPARE TRANSACTION 'recsys {number} test analytics'")
        # the shop's transaction is open: its outcome is not known yet
        assert settle(get_engine(), other_engines()) == 0
    assert settle(get_engine(), other_engines()) == 1
    assert _count(other_servers["analytics"], "analytics_db.bot_hits") == 1


def test_a_server_that_went_away_gets_its_rows_when_it_is_back(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = OperationalError("COMMIT PREPARED", {}, psycopg.OperationalError("away"))

    def refused(engine: Engine) -> Connection:
        raise away

    with monkeypatch.context() as patch, unit_of_work() as session:
        session.add_all([Brand(name="A", slug="a"), _view()])
        session.flush()
        # from here on no connection is made: rows are prepared over what is open
        patch.setattr(Engine, "connect", refused)
        session.commit()
    assert _counts(shop, other_servers) == (1, 0, 0)
    assert settle(get_engine(), other_engines()) == 1
    assert _counts(shop, other_servers) == (1, 1, 0)


def test_a_statement_across_servers_is_refused(shop: Shop, other_servers: Others) -> None:
    joined = text("SELECT 1 FROM analytics_db.page_views p JOIN users_db.users u ON u.id = p.user_id")
    with unit_of_work() as session, pytest.raises(RuntimeError, match="several servers"):
        session.execute(joined)


def test_an_error_names_the_server_it_came_from(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DATABASE__ANALYTICS_URL", "postgresql://a:b@127.0.0.1:9/elsewhere")
    get_settings.cache_clear()
    expected = r"127\.0\.0\.1:9/elsewhere cannot be reached .*RECSYS_DATABASE__ANALYTICS_URL"
    with pytest.raises(DatabaseAway, match=expected), unit_of_work() as session:
        session.execute(select(PageView.id))


def test_a_relay_ends_what_was_left_and_goes_on_while_a_server_is_away(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unit_of_work() as session:
        number = session.execute(text("SELECT pg_current_xact_id()::text")).scalar_one()
    with psycopg.connect(other_servers["analytics"]) as connection:
        connection.execute("INSERT INTO analytics_db.bot_hits VALUES (current_date, 'x', 1)")
        connection.execute(f"PREPARE TRANSACTION 'recsys {number} test analytics'")
    retention.tidy()
    assert _count(other_servers["analytics"], "analytics_db.bot_hits") == 1
    monkeypatch.setenv("RECSYS_DATABASE__ANALYTICS_URL", "postgresql://a:b@127.0.0.1:9/elsewhere")
    get_settings.cache_clear()
    retention.tidy()


def test_what_is_done_right_before_a_commit_is_a_part_of_it(shop: Shop, other_servers: Others) -> None:
    def work(session: Session, pages: list[str]) -> None:
        session.add_all(_view(page) for page in pages)

    with unit_of_work() as session:
        session.add(Brand(name="A", slug="a"))
        collect(session, work, "/")
        collect(session, work, "/2")
    assert _counts(shop, other_servers) == (1, 2, 0)
    with unit_of_work() as session:
        collect(session, work, "/3")
    assert _counts(shop, other_servers) == (1, 3, 0)
