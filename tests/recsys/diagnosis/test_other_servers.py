"""What `recsys doctor` finds on servers beside the shop's."""

from __future__ import annotations

import psycopg
import pytest

from recsys import cli
from recsys.database.servers.placement import SERVER_NAMES, ServerName
from recsys.database.servers.relocation import add_deletion_trigger
from recsys.database.session import unit_of_work
from recsys.diagnosis import doctor
from recsys.diagnosis.finding import Finding
from recsys.domains.analytics.tables import PageView
from recsys.domains.users.tables import User
from recsys.settings import get_settings
from tests.support.shop import Shop, forget_connections

Others = dict[ServerName, str]


@pytest.fixture(autouse=True)
def followed(shop: Shop) -> None:
    """The shop publishes deleted users, as `recsys migrate` makes it."""
    with psycopg.connect(shop.database_url) as connection:
        add_deletion_trigger(connection)


def _found(part: str = "analytics server") -> Finding:
    (finding,) = (each for each in doctor.examine(get_settings()) if each.part == part)
    return finding


def test_servers_that_are_whole(shop: Shop, other_servers: Others) -> None:
    with unit_of_work() as session:
        user = User(email="a@b.example", username="a", full_name="A", password_hash="!")
        session.add(user)
        session.flush()
        session.add(PageView(session_id="s", user_id=user.id, page_url="/"))
    for name in other_servers:
        assert _found(f"{name} server").state == "ok"


@pytest.mark.one_server
def test_a_shop_on_one_server_has_no_such_part(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SERVER_NAMES:
        monkeypatch.delenv(f"RECSYS_DATABASE__{name.upper()}_URL", raising=False)
    forget_connections()
    assert not [each for each in doctor.examine(get_settings()) if "server" in each.part]


def test_references_to_nobody_are_counted(shop: Shop, other_servers: Others) -> None:
    with unit_of_work() as session:
        session.add_all(PageView(session_id="s", user_id=user, page_url="/") for user in (7, 7, 8, None))
    finding = _found()
    assert finding.state == "attention"
    assert "2 in analytics_db.page_views name missing users" in finding.found


def test_prepared_transactions_of_ended_processes(shop: Shop, other_servers: Others) -> None:
    with psycopg.connect(other_servers["analytics"]) as connection:
        connection.execute("INSERT INTO analytics_db.bot_hits VALUES (current_date, 'x', 1)")
        connection.execute("PREPARE TRANSACTION 'recsys 1 left analytics'")
    try:
        assert "1 prepared transactions wait" in _found().found
    finally:
        with psycopg.connect(other_servers["analytics"], autocommit=True) as connection:
            connection.execute("ROLLBACK PREPARED 'recsys 1 left analytics'")


def test_rows_that_were_not_moved(shop: Shop, other_servers: Others) -> None:
    with psycopg.connect(shop.database_url) as connection:
        connection.execute("INSERT INTO analytics_db.page_views (session_id, page_url) VALUES ('s', '/')")
    finding = _found()
    assert "still has rows of analytics_db.page_views" in finding.found
    assert finding.remedy is not None
    assert finding.remedy.endswith("recsys migrate --move analytics")


def test_a_shop_that_does_not_say_who_is_deleted(
    shop: Shop, other_servers: Others, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(shop.database_url) as connection:
        connection.execute("DROP TRIGGER deleted_users ON users_db.users")
    finding = _found("recommendations server")
    assert (finding.state, finding.remedy) == ("attention", "recsys migrate")
    assert "does not say which users are deleted" in finding.found
    assert cli.run(["migrate"]) == 0, capsys.readouterr()
    assert _found("recommendations server").state == "ok"


def test_parts_of_a_recommendations_server_that_is_away_are_blocked(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _found("recommendations").found.startswith("none are stored")
    monkeypatch.setenv("RECSYS_DATABASE__RECOMMENDATIONS_URL", "postgresql://a:b@127.0.0.1:9/elsewhere")
    forget_connections()
    for part in ("model", "features", "recommendations", "artifacts", "privacy"):
        finding = _found(part)
        assert (finding.state, finding.remedy) == ("broken", "mend the recommendations server first")
    assert _found("events").state == "ok"


def test_a_server_that_is_away_is_named(
    shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECSYS_DATABASE__ANALYTICS_URL", "postgresql://a:b@127.0.0.1:9/elsewhere")
    forget_connections()
    finding = _found()
    assert finding.state == "broken"
    assert "127.0.0.1:9/elsewhere cannot be reached" in finding.found
    assert _found("notifications server").state == "ok"


def test_a_table_that_is_missing_breaks_its_part_alone(shop: Shop) -> None:
    with shop.connect() as connection:
        connection.execute(
            "DROP TABLE recommendations_db.model_promotions, recommendations_db.models_to_retrain CASCADE"
        )
        connection.execute("ALTER TABLE recommendations_db.recommendation_models RENAME TO gone")
    found = {each.part: each for each in doctor.examine(get_settings())}
    assert (found["model"].state, found["artifacts"].state) == ("broken", "broken")
    assert "recommendation_models" in found["artifacts"].found
    assert found["recommendations"].found.startswith("none are stored")


def test_a_schema_that_is_behind(shop: Shop, other_servers: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(other_servers["analytics"]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0029'")
    try:
        finding = _found()
        assert (finding.state, finding.remedy) == ("broken", "recsys migrate")
    finally:
        with psycopg.connect(other_servers["analytics"]) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0030'")
