"""A shop on several database servers: its backup has all of them, and brings all of them back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from recsys.backup import creation
from recsys.backup.manifest import read_manifest
from recsys.database.servers.placement import ServerName
from recsys.database.session import unit_of_work
from recsys.domains.analytics.tables import PageView
from recsys.domains.notifications.tables import SentNotice
from recsys.domains.products.tables import Brand, Product
from recsys.domains.recommendations.tables import UserInteraction
from recsys.domains.users.tables import User
from tests.recsys.backup.conftest import Command, Target, rows_of
from tests.support.servers import Servers, empty_database
from tests.support.shop import Shop

Others = dict[ServerName, str]


@pytest.fixture
def saved(shop: Shop, other_servers: Others, tmp_path: Path, command: Command) -> Path:
    """The folder of a backup of a shop that has a row on each server."""
    with unit_of_work() as session:
        session.add_all(
            [Brand(name="A", slug="a"), PageView(session_id="s", page_url="/"), SentNotice(key="k")]
        )
    folder = tmp_path / "backup"
    done = command("create", folder)
    assert done.code == 0, done.err
    return folder


def test_each_server_gets_its_rows_back(
    shop: Shop,
    other_servers: Others,
    servers: Servers,
    saved: Path,
    target: Target,
    command: Command,
) -> None:
    wanted = {name: rows_of(url) for name, url in other_servers.items()}
    assert wanted["analytics"]["analytics_db.page_views"]
    manifest = read_manifest(saved)
    assert manifest.servers["notifications"]["notifications_db.sent_notices"] == 1
    done = command("verify", saved)
    assert done.code == 0, done.err
    with (
        empty_database(servers) as analytics,
        empty_database(servers) as notifications,
        empty_database(servers) as recommendations,
    ):
        places = {
            **target.environment,
            "RECSYS_DATABASE__ANALYTICS_URL": analytics,
            "RECSYS_DATABASE__NOTIFICATIONS_URL": notifications,
            "RECSYS_DATABASE__RECOMMENDATIONS_URL": recommendations,
        }
        done = command("restore", saved, **places)
        assert done.code == 0, done.err
        assert rows_of(target.database_url) == rows_of(shop.database_url)
        restored = {
            "analytics": analytics,
            "notifications": notifications,
            "recommendations": recommendations,
        }
        assert {name: rows_of(url) for name, url in restored.items()} == wanted
        again = command("restore", saved, **places)
        assert again.code == 2, "all of them have rows already"
        assert command("restore", saved, "--overwrite", **places).code == 0


def came(name: str) -> int:
    """A user who registers, with an interaction; the user's id."""
    with unit_of_work() as session:
        user = User(username=name, full_name=name, email=f"{name}@shop.example", password_hash="x")
        brand = session.scalars(select(Brand)).one()
        session.add_all([user, product := Product(sku=name, name="A", slug=name, price=1, brand_id=brand.id)])
        session.flush()
        found, item = user.id, product.id
    with unit_of_work() as session:
        session.add(UserInteraction(user_id=found, product_id=item, interaction_type="view"))
    return found


def test_who_comes_during_a_backup_is_in_none_of_its_dumps(
    shop: Shop,
    other_servers: Others,
    servers: Servers,
    saved: Path,
    target: Target,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    came("before")
    snapshot, taken = creation._snapshot, list[str]()

    @contextmanager
    def beside(url: str) -> Iterator[psycopg.Connection]:
        with snapshot(url) as connection:
            taken.append(url)
            if len(taken) == 1:
                came("between")  # the shop's snapshot is taken, those of the others are not
            if len(taken) == 1 + len(other_servers):
                came("after")
            yield connection

    monkeypatch.setattr(creation, "_snapshot", beside)
    folder = tmp_path / "beside"
    done = command("create", folder)
    assert done.code == 0, done.err
    with ExitStack() as databases:
        urls = {name: databases.enter_context(empty_database(servers)) for name in other_servers}
        places = {f"RECSYS_DATABASE__{name.upper()}_URL": url for name, url in urls.items()}
        done = command("restore", folder, **target.environment, **places)
        assert done.code == 0, done.err
        assert "1 rows on other servers referred to users who are not in the backup" in done.out
        (users,) = (rows for table, rows in rows_of(target.database_url).items() if table == "users_db.users")
        assert [("before" in row, "between" in row, "after" in row) for (row,) in users] == [
            (True, False, False)
        ]
        with psycopg.connect(urls["recommendations"]) as connection:
            query = "SELECT user_id FROM recommendations_db.user_interactions ORDER BY id"
            # the next user gets the id of the one who came in between, and not what that one did
            assert connection.execute(query).fetchall() == [(1,), (None,)]


def test_a_damaged_dump_of_a_server_is_found(saved: Path, command: Command) -> None:
    dump = saved / "database-analytics.dump"
    dump.write_bytes(dump.read_bytes()[:-20])
    done = command("verify", saved)
    assert done.code != 0
    assert "database-analytics.dump is damaged" in done.out + done.err


def test_it_is_not_restored_into_fewer_or_more_servers(
    shop: Shop, saved: Path, target: Target, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("RECSYS_DATABASE__ANALYTICS_URL")
    done = command("restore", saved, **target.environment)
    assert done.code != 0
    assert "set RECSYS_DATABASE__ANALYTICS_URL" in done.err
    assert not target.schemas()


def test_a_backup_of_one_server_is_restored_to_one_and_moved_then(
    shop: Shop,
    other_servers: Others,
    target: Target,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in other_servers:
        monkeypatch.delenv(f"RECSYS_DATABASE__{name.upper()}_URL")
    folder = tmp_path / "one"
    assert command("create", folder).code == 0
    assert read_manifest(folder).servers == {}
    urls = {f"RECSYS_DATABASE__{name.upper()}_URL": url for name, url in other_servers.items()}
    done = command("restore", folder, **target.environment, **urls)
    assert done.code != 0
    assert "recsys migrate --move analytics" in done.err
