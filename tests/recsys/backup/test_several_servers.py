"""A shop on several database servers: its backup has all of them, and brings all of them back."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.backup.manifest import read_manifest
from recsys.database.servers.placement import ServerName
from recsys.database.session import unit_of_work
from recsys.domains.analytics.tables import PageView
from recsys.domains.notifications.tables import SentNotice
from recsys.domains.products.tables import Brand
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
