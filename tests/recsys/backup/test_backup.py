"""A backup restored into empty servers is the same shop; what is damaged, or not empty, is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from recsys import embedded
from recsys.backup import creation, postgres_tools, restoration
from recsys.backup.files import digest_of
from recsys.backup.manifest import REDIS, Manifest, read_manifest
from recsys.cache import keys
from recsys.database import migrate
from recsys.database.base import SCHEMAS
from recsys.errors import Conflict, Unavailable
from recsys.settings import Settings
from serving.server.app import create_app
from tests.recsys.backup.conftest import Command, Target, files_of, rows_of
from tests.serving.running import running
from tests.support.servers import temporary_var
from tests.support.shop import Shop, forget_connections

# with several servers, see test_several_servers.py
pytestmark = pytest.mark.one_server


def lists_in(client: redis.Redis) -> dict[bytes, bytes]:
    """Every stored list in Redis by its key."""
    return {
        key: client.get(key)  # type: ignore[misc]
        for key in client.scan_iter("recommendations:*")
        if key != keys.live_generation().encode()
    }


def served_to_all(users: range) -> list[object]:
    """What the API answers to each user, but for what differs from request to request."""
    with running(create_app()) as client:
        answers = [client.get(f"/api/v1/users/{user}/recommendations?limit=10").json() for user in users]
    return [
        (answer["items"], answer["provenance"]["source"], answer["provenance"]["generation"])
        for answer in answers
    ]


def test_a_restored_shop_answers_as_the_first_one(
    command: Command,
    full_shop: Shop,
    backup: Path,
    redis_client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, lists = served_to_all(range(1, 11)), lists_in(redis_client)
    assert lists
    assert {source for _, source, _ in before} == {"stored"}  # type: ignore[misc]
    forget_connections()
    with temporary_var() as servers_of_target, temporary_var() as var:
        # servers of its own, not those of the shop's settings
        for name in ("RECSYS_DATABASE__URL", "RECSYS_REDIS__URL"):
            monkeypatch.delenv(name)
        empty = Settings(var=servers_of_target, environment="test")
        found = embedded.start(empty, throwaway=True)
        for name, value in Target(var, found.database_url, found.redis_url).environment.items():
            monkeypatch.setenv(name, value)
        done = command("restore", backup, "--json")
        assert done.code == 0, done.err
        report = json.loads(done.out)
        with redis.Redis.from_url(found.redis_url) as client:
            assert lists_in(client) == lists
            assert report["cached_lists"] == len(lists)
            assert client.get(keys.live_generation()) == redis_client.get(keys.live_generation())
            key = next(iter(lists))
            # both end with the generation; the first one's time began before its rows were written
            assert abs(client.ttl(key) - redis_client.ttl(key)) < 600  # type: ignore[operator]
        forget_connections()
        assert served_to_all(range(1, 11)) == before
        forget_connections()


def test_rows_files_and_keys_are_those_that_were_backed_up(
    command: Command, full_shop: Shop, backup: Path, target: Target, redis_client: redis.Redis
) -> None:
    rows, files = rows_of(full_shop.database_url), files_of(full_shop.var)
    # what happens later is not part of it
    with full_shop.connect() as connection:
        connection.execute("DELETE FROM recommendations_db.user_interactions")
    done = command("restore", backup, **target.environment)
    assert done.code == 0, done.err

    assert rows_of(target.database_url) == rows
    assert migrate.check(target.database_url).state == "current"
    manifest = read_manifest(backup)
    assert manifest.tables == {table: len(lines) for table, lines in rows.items()}
    assert sum(manifest.tables.values()) > 100

    restored = files_of(target.var)
    left_out = {name for name in files if name.startswith("run/")} - {"run/cursor.key"}
    assert left_out == {"run/noted.json"}
    database = "mlflow/mlflow.db"
    assert {name: data for name, data in restored.items() if name != database} == {
        name: data for name, data in files.items() if name not in left_out | {database}
    }
    with closing(sqlite3.connect(target.var / database)) as store:
        assert store.execute("SELECT name FROM runs").fetchall() == [("first",)]

    with redis.Redis.from_url(target.redis_url) as client:
        assert client.hgetall(keys.cart(1)) == {b"7:3": b"2"}
        assert 0 < client.ttl(keys.cart(1)) <= 3600  # type: ignore[operator]
        assert [fields for _, fields in client.xrange(keys.posts_waiting())] == [
            {b"data": b"\x00\xff waiting"}
        ]  # type: ignore[union-attr]
        assert client.xinfo_groups(keys.posts_waiting())[0]["name"] == b"intake"  # type: ignore[index]
        assert not client.exists("search:mirror")


def test_a_restored_database_takes_new_rows(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    assert command("restore", backup, **target.environment).code == 0
    with psycopg.connect(target.database_url) as connection:
        row = connection.execute(
            "INSERT INTO recommendations_db.user_interactions (user_id, product_id, interaction_type) "
            "SELECT user_id, product_id, 'view' FROM recommendations_db.user_interactions LIMIT 1 "
            "RETURNING id"
        ).fetchone()
    assert row is not None
    # a user who is deleted still becomes an event: triggers came along
    with psycopg.connect(target.database_url) as connection:
        connection.execute("DELETE FROM users_db.users WHERE id = 1")
        names = connection.execute("SELECT DISTINCT name FROM analytics_db.outbox").fetchall()
    assert ("user.deactivated",) in names


@pytest.mark.parametrize("kind", ["damaged", "truncated", "missing", "more", "manifest"])
def test_a_damaged_backup_is_not_restored(
    command: Command, full_shop: Shop, backup: Path, target: Target, kind: str
) -> None:
    dump, manifest = backup / "database.dump", backup / "manifest.json"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    match kind:
        case "damaged":
            dump.write_bytes(bytes(content))
        case "truncated":
            dump.write_bytes(bytes(content[: len(content) // 2]))
        case "missing":
            next((backup / "var").rglob("*.npy")).unlink()
        case "more":
            (backup / "var" / "more").write_text("x")
        case "manifest":
            manifest.write_text(manifest.read_text().replace('"redis_keys": 2', '"redis_keys": 3'))
    checked = command("verify", backup)
    assert checked.code == (2 if kind == "manifest" else 1)
    done = command("restore", backup, **target.environment)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert target.schemas() == []
    assert not target.var.exists() or files_of(target.var) == {}


def test_a_whole_backup_is_verified(command: Command, full_shop: Shop, backup: Path) -> None:
    done = command("verify", backup, "--json")
    found = json.loads(done.out)
    assert (done.code, found["faults"], found["restorable"]) == (0, [], "yes")
    assert found["schema"] == migrate.head()


def test_what_is_not_empty_is_refused_and_replaced_only_with_the_flag(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    rows = rows_of(full_shop.database_url)
    assert command("restore", backup, **target.environment).code == 0
    with psycopg.connect(target.database_url) as connection:
        connection.execute("DELETE FROM recommendations_db.user_interactions")
    (target.var / "reports" / "later.html").write_text("later")

    refused = command("restore", backup, **target.environment)
    assert (refused.code, "--overwrite" in refused.err) == (2, True)
    elsewhere = target.environment | {"RECSYS_VAR": str(target.var) + "-2"}
    refused = command("restore", backup, **elsewhere)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert rows_of(target.database_url) != rows

    done = command("restore", backup, "--overwrite", **target.environment)
    assert done.code == 0, done.err
    assert rows_of(target.database_url) == rows
    assert not (target.var / "reports" / "later.html").exists()
    assert all(not name.endswith("_before_restore") for (name,) in target.schemas())


def test_a_restore_that_fails_leaves_everything_as_it_was(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    assert command("restore", backup, **target.environment).code == 0
    rows, files = rows_of(target.database_url), files_of(target.var)
    manifest = read_manifest(backup)
    counts = manifest.tables | {"users_db.users": manifest.tables["users_db.users"] + 1}
    Manifest(**{**vars(manifest), "tables": counts}).write(backup)
    done = command("restore", backup, "--overwrite", **target.environment)
    assert done.code == 1
    assert "users_db.users differ from the manifest" in done.err
    assert rows_of(target.database_url) == rows
    assert files_of(target.var) == files
    assert migrate.check(target.database_url).state == "current"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_restore_that_is_ended_puts_back_what_it_set_aside(
    command: Command,
    full_shop: Shop,
    backup: Path,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    assert command("restore", backup, **target.environment).code == 0
    (target.var / "reports" / "later.html").write_text("later")
    rows, files = rows_of(target.database_url), files_of(target.var)
    monkeypatch.setattr(restoration, "_compare", lambda *_: os.kill(os.getpid(), number))
    # tests that run behind nohup, or in the background of a shell, ignore some of the signals
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(SystemExit) as ended:
            command("restore", backup, "--overwrite", **target.environment)
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert ended.value.code == 128 + number
    assert rows_of(target.database_url) == rows
    assert files_of(target.var) == files


def test_a_restore_that_was_killed_is_not_taken_for_an_empty_shop(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    assert command("restore", backup, **target.environment).code == 0
    rows = rows_of(target.database_url)
    with psycopg.connect(target.database_url) as connection:
        restoration._set_aside(connection, sorted(SCHEMAS))
    with pytest.raises(Conflict, match="a restore was interrupted: analytics_db_before_restore, "):
        migrate.upgrade(target.database_url)
    refused = command("restore", backup, "--overwrite", **target.environment)
    assert (refused.code, "Interrupted" in refused.err) == (2, True)
    # the remedy of the documentation
    page = (Path(__file__).resolve().parents[3] / "docs/operations/backup.md").read_text(encoding="utf-8")
    (remedy,) = re.findall(r"```sql\n(.+?)```", page, re.DOTALL)
    with psycopg.connect(target.database_url, autocommit=True) as connection:
        connection.execute(remedy)
    assert rows_of(target.database_url) == rows
    assert migrate.check(target.database_url).state == "current"


def test_redis_that_fails_at_the_end_leaves_the_backups_database_and_files(
    command: Command, full_shop: Shop, backup: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, reports = rows_of(full_shop.database_url), files_of(backup / "var" / "reports")

    def full(*_: object) -> int:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(restoration, "restore_keys", full)
        done = command("restore", backup, **target.environment)
    assert (done.code, "restore again with --overwrite" in done.err) == (1, True)
    assert rows_of(target.database_url) == rows
    assert files_of(target.var / "reports") == reports
    assert all(not name.endswith("_before_restore") for (name,) in target.schemas())
    assert command("restore", backup, "--overwrite", **target.environment).code == 0


def test_redis_that_cannot_read_a_saved_key_is_noticed_before_anything_is_replaced(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    lines = [json.loads(line) for line in (backup / REDIS).read_text().splitlines()]
    lines[0]["value"] = "bm8gdmFsdWU="
    (backup / REDIS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = read_manifest(backup)
    others = (each for each in manifest.files if each.path != REDIS)
    files = (*others, digest_of(backup / REDIS, REDIS))
    Manifest(**{**vars(manifest), "files": files}).write(backup)
    done = command("restore", backup, **target.environment)
    assert (done.code, "Redis does not take cart:" in done.err) == (1, True), done.err
    assert target.schemas() == []
    assert not target.var.exists() or files_of(target.var) == {}
    with redis.Redis.from_url(target.redis_url) as client:
        assert client.dbsize() == 0


def test_other_schema_versions_are_refused_clearly(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    manifest = read_manifest(backup)
    for schema, word in (("9999", "newer"), ("0001", "--migrate")):
        Manifest(**{**vars(manifest), "schema": schema}).write(backup)
        done = command("restore", backup, **target.environment)
        assert (done.code, word in done.err) == (2, True), done.err
        assert done.err.count("\n") == 1
        assert target.schemas() == []


def test_a_database_in_use_is_refused(
    command: Command, full_shop: Shop, backup: Path, target: Target
) -> None:
    with psycopg.connect(target.database_url):
        done = command("restore", backup, **target.environment)
    assert done.code == 2
    assert "1 other connections use the database" in done.err


def test_folders_that_no_backup_may_take(command: Command, full_shop: Shop, backup: Path) -> None:
    for folder, word in ((backup, "there already"), (full_shop.var / "backup", "outside of it")):
        done = command("create", folder)
        assert (done.code, word in done.err) == (2, True), done.err
        assert done.err.count("\n") == 1
    done = command("verify", full_shop.var)
    assert (done.code, "manifest.json" in done.err) == (2, True)


def test_a_database_of_another_schema_is_not_backed_up(
    command: Command, full_shop: Shop, tmp_path: Path
) -> None:
    with full_shop.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0013'")
    done = command("create", tmp_path / "b")
    assert (done.code, "recsys migrate" in done.err) == (2, True)
    assert list(tmp_path.glob("*b*/manifest.json")) == []


def test_a_backup_without_the_files_of_the_active_model_is_refused(
    command: Command, full_shop: Shop, tmp_path: Path
) -> None:
    models = full_shop.var / "models"
    models.rename(tmp_path / "models")
    models.symlink_to(tmp_path / "models", target_is_directory=True)
    done = command("create", tmp_path / "b")
    assert (done.code, "knn-v1 is active" in done.err, "Links are not followed" in done.err) == (
        2,
        True,
        True,
    )
    assert list(tmp_path.glob("*b*/manifest.json")) == []


def test_writes_that_are_stored_during_the_backup_are_in_it(
    command: Command,
    full_shop: Shop,
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spooled = full_shop.var / "spool" / "posts" / "1.waiting"
    spooled.parent.mkdir(parents=True)
    spooled.write_text('{"waits": "on disk"}\n')

    def drained_before_the_dump(*arguments: Any, **options: Any) -> postgres_tools.PostgresTool:
        redis_client.delete(keys.posts_waiting())
        spooled.unlink()
        return postgres_tools.find_tool(*arguments, **options)

    monkeypatch.setattr(creation, "find_tool", drained_before_the_dump)
    assert command("create", tmp_path / "b").code == 0
    assert read_manifest(tmp_path / "b").redis_keys == 2
    assert (tmp_path / "b" / "var" / "spool" / "posts" / "1.waiting").read_text().startswith('{"waits"')


def test_a_tool_whose_dump_an_older_server_refuses_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in (18, 16, 15):
        folder = tmp_path / str(version)
        folder.mkdir()
        (folder / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.1'\n")
        (folder / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / version) for version in ("18", "16", "15")))
    chosen = {
        server: postgres_tools.find_tool("pg_dump", server, server=server).major for server in (14, 15, 18)
    }
    assert chosen == {14: 16, 15: 15, 18: 18}
    monkeypatch.setenv("PATH", str(tmp_path / "18"))
    with pytest.raises(Unavailable, match=r"PostgreSQL 15 to 16 is needed.*client programs of PostgreSQL 15"):
        postgres_tools.find_tool("pg_dump", 15, server=15)
    with pytest.raises(Unavailable, match="restore into PostgreSQL 17 or newer"):
        postgres_tools.find_tool("pg_restore", 18, server=15)


def test_tools_that_are_older_than_the_server_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.1'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert postgres_tools.find_tool("pg_dump", 12).path == str(old)
    assert postgres_tools.find_tool("pg_dump", 18).path != str(old)
    with pytest.raises(Unavailable, match=r"PostgreSQL 99 or newer is needed: .*pg_dump \(version 12\)"):
        postgres_tools.find_tool("pg_dump", 99)
