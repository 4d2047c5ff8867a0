"""`recsys migrate` with servers beside the shop's: each gets its schema, and its rows when they are moved."""

from __future__ import annotations

import json

import psycopg
import pytest

from recsys import cli, embedded
from recsys.database import migrate
from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.database.session import unit_of_work
from recsys.domains.analytics.tables import PageView
from recsys.domains.notifications.tables import EmailLog, Notification, OutgoingMessage
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.users.tables import User
from recsys.settings import Settings
from tests.support.servers import Servers, empty_database, temporary_var
from tests.support.shop import Shop, forget_connections

_REFERENCES = (
    "SELECT count(*) FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid "
    "WHERE c.contype = 'f' AND c.conrelid = 'analytics_db.page_views'::regclass"
)


@pytest.fixture
def filled(shop: Shop) -> Shop:
    """A shop whose rows all lie in one database."""
    with unit_of_work() as session:
        user = User(email="a@b.example", username="a", full_name="A", password_hash="!")
        session.add(user)
        session.flush()
        mail = EmailLog(to_email="a@b.example", subject="Hello", status="queued")
        session.add(mail)
        session.flush()
        session.add_all(
            [
                *(PageView(session_id="s", user_id=user.id, page_url=f"/{n}") for n in range(3)),
                UserInteraction(user_id=user.id, product_id=1, interaction_type="view"),
                Notification(user_id=user.id, type="t", title="T", message="ä\n\\N"),
                OutgoingMessage(email_log_id=mail.id, user_id=user.id, body_text="b", due_at=user.created_at),
            ]
        )
    forget_connections()
    return shop


@pytest.fixture
def emptied(filled: Shop, other_servers: dict[ServerName, str]) -> dict[ServerName, str]:
    """The same with servers of their own, which have the schema and no rows."""
    return other_servers


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = cli.run(["migrate", *arguments])
    return code, *capsys.readouterr()


@pytest.mark.one_server
def test_an_empty_server_gets_all_tables_and_no_reference_to_others(
    shop: Shop, servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with empty_database(servers) as url:
        monkeypatch.setenv("RECSYS_DATABASE__ANALYTICS_URL", url)
        monkeypatch.delenv("RECSYS_DATABASE__NOTIFICATIONS_URL", raising=False)
        forget_connections()
        code, out, err = _run(capsys, "--check")
        assert code == 3, err
        assert "analytics server: the database is empty" in out
        assert _run(capsys, "--check", "--json")[0] == 3
        code, out, _ = _run(capsys, "--json")
        assert code == 0
        head = migrate.head()
        assert json.loads(out) == {
            "before": head,
            "after": head,
            "servers": {"analytics": {"before": None, "after": head}},
        }
        code, out, _ = _run(capsys, "--check")
        assert (code, out.count("the newest")) == (0, 2)
        with psycopg.connect(url) as other:
            assert other.execute(_REFERENCES).fetchone() == (0,)
        assert _run(capsys)[1].count("stands already") == 2
        forget_connections()


@pytest.mark.one_server
def test_moved_rows_are_the_same_and_new_ones_follow_them(
    filled: Shop, emptied: dict[ServerName, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(filled.database_url) as connection:
        before = {
            table: connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall()  # noqa: S608
            for table in (
                "analytics_db.page_views",
                "notifications_db.notifications",
                "notifications_db.email_logs",
                "notifications_db.outgoing_messages",
                "recommendations_db.user_interactions",
            )
        }
    for name in SERVER_NAMES:
        code, out, err = _run(capsys, "--move", name, "--json")
        assert code == 0, err
        assert {table: rows for table, rows in json.loads(out).items() if table in before} == {
            table: len(rows) for table, rows in before.items() if table.startswith(name)
        }
    for table, rows in before.items():
        name = table.partition("_db.")[0]
        with psycopg.connect(emptied[name]) as connection:  # type: ignore[index]
            assert connection.execute(f"SELECT t::text FROM {table} t ORDER BY 1").fetchall() == rows  # noqa: S608
        with psycopg.connect(filled.database_url) as connection:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608
    with unit_of_work() as session:
        later = PageView(session_id="s", page_url="/later")
        session.add(later)
        session.flush()
        assert later.id == len(before["analytics_db.page_views"]) + 1


@pytest.mark.one_server
def test_what_has_rows_on_both_servers_is_not_moved(
    filled: Shop, emptied: dict[ServerName, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with unit_of_work() as session:
        session.add(PageView(session_id="s", page_url="/new"))
    code, _, err = _run(capsys, "--move", "analytics")
    assert code != 0
    assert "analytics_db.page_views have rows on the analytics server already; nothing was moved" in err
    with psycopg.connect(filled.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM analytics_db.page_views").fetchone() == (3,)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders", "there is no server 'orders'; expected one of analytics, notifications, recommendations"),
        ("analytics", "RECSYS_DATABASE__ANALYTICS_URL is not set"),
    ],
)
def test_a_server_that_is_not_there_is_refused(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    expected: str,
) -> None:
    monkeypatch.delenv("RECSYS_DATABASE__ANALYTICS_URL", raising=False)
    forget_connections()
    code, _, err = _run(capsys, "--move", name)
    assert code == 2
    assert expected in err


def test_there_may_be_nothing_to_move(
    shop: Shop, other_servers: dict[ServerName, str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = _run(capsys, "--move", "analytics")
    assert code != 0
    assert "the shop's server has no rows of the analytics tables" in err


def test_a_server_that_cannot_prepare_transactions_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_var() as var:
        with monkeypatch.context() as elsewhere:
            for name in ("DATABASE", "REDIS"):
                elsewhere.delenv(f"RECSYS_{name}__URL")
            settings = Settings(var=var, environment="test")
            other = embedded.start(settings)
        try:
            monkeypatch.setenv("RECSYS_DATABASE__ANALYTICS_URL", other.database_url)
            forget_connections()
            code, out, err = _run(capsys)
            assert code != 0, out
            assert "max_prepared_transactions of the analytics server is 0" in err
            assert migrate.current(other.database_url) is None, "nothing was made there"
        finally:
            embedded.stop(settings)
