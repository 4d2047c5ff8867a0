"""Migrations that only add, those that say whom they end, and what a program makes of another schema."""

from __future__ import annotations

import json

import psycopg
import pytest
from alembic.script import Script, ScriptDirectory

from recsys import cli
from recsys.database import migrate
from recsys.database.compatibility import oldest_program_of
from recsys.diagnosis import doctor
from recsys.errors import Unavailable
from serving.server import server
from tests.recsys.database import catalog
from tests.recsys.database.restrictions import Built, restrictions
from tests.support.shop import Shop

BEFORE_THE_RULE = frozenset({"0004", "0006"})
"""Migrations that are older than the rule, and end the programs before them."""


def scripts() -> list[Script]:
    """All migrations, the oldest first."""
    return list(ScriptDirectory.from_config(migrate._config()).walk_revisions())[::-1]


def declared(script: Script) -> str | None:
    value: str | None = getattr(script.module, "oldest_program", None)
    return value


def built(url: str) -> Built:
    with psycopg.connect(url) as connection:
        return catalog.facts(connection), catalog.indexes(connection)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def test_each_migration_only_adds_or_says_which_programs_it_ends(empty_database: str) -> None:
    before: Built = ({}, {})
    undeclared = []
    for script in scripts():
        migrate.upgrade(empty_database, script.revision)
        after = built(empty_database)
        lines = restrictions(before, after)
        if lines and declared(script) is None:
            undeclared.append((script.revision, lines))
        before = after
    assert undeclared == [], "state `oldest_program` in the migration; docs/operations/upgrade.md says how"


def test_the_version_before_each_migration_runs_on_it() -> None:
    numbers = [script.revision for script in scripts()]
    assert numbers == sorted(numbers)
    for script in scripts():
        if declared(script) is None or script.revision in BEFORE_THE_RULE:
            continue
        assert declared(script) in numbers
        assert str(declared(script)) <= str(script.down_revision), (
            f"{script.revision} ends what runs beside it"
        )


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE payments_db.fraud_flags",
        "ALTER TABLE payments_db.fraud_flags RENAME TO flags",
        "ALTER TABLE users_db.users DROP COLUMN full_name",
        "ALTER TABLE users_db.users RENAME COLUMN full_name TO name",
        "ALTER TABLE users_db.users ALTER COLUMN full_name TYPE text",
        "ALTER TABLE products_db.products ALTER COLUMN brand_id SET NOT NULL",
        "ALTER TABLE users_db.api_keys ALTER COLUMN origins DROP DEFAULT",
        "ALTER TABLE users_db.users ADD COLUMN tier integer NOT NULL",
        "ALTER TABLE products_db.products ADD CONSTRAINT c CHECK (price < 1000000)",
        "ALTER TABLE products_db.products ADD CONSTRAINT u UNIQUE (name)",
        "ALTER TABLE users_db.api_keys DROP CONSTRAINT api_keys_origins_check",
        "CREATE UNIQUE INDEX i ON products_db.products (name)",
        "DROP INDEX analytics_db.job_runs_planned_key",
        "ALTER TABLE users_db.user_social ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES users_db.users (id)",
        "CREATE TRIGGER t BEFORE INSERT ON users_db.users FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    ],
)
def test_a_change_that_can_break_the_version_before_is_seen(fresh_database: str, change: str) -> None:
    before = built(fresh_database)
    execute(fresh_database, change)
    assert restrictions(before, built(fresh_database)) != []


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE users_db.more (id integer PRIMARY KEY REFERENCES users_db.users, n integer NOT NULL)",
        "ALTER TABLE users_db.users ADD COLUMN tier integer",
        "ALTER TABLE users_db.users ADD COLUMN tier integer NOT NULL DEFAULT 1 CHECK (tier > 0)",
        "ALTER TABLE orders_db.orders ADD COLUMN seller integer REFERENCES users_db.users (id)",
        "ALTER TABLE users_db.users ALTER COLUMN password_hash DROP NOT NULL",
        "ALTER TABLE products_db.products ALTER COLUMN brand_id SET DEFAULT 1",
        "CREATE INDEX i ON products_db.products (name)",
        "DROP INDEX orders_db.order_items_order_id_idx",
    ],
)
def test_a_change_that_only_adds_is_not_counted(fresh_database: str, change: str) -> None:
    before = built(fresh_database)
    execute(fresh_database, change)
    assert before != built(fresh_database)
    assert restrictions(before, built(fresh_database)) == []


def test_the_database_carries_the_oldest_program_that_may_run(empty_database: str) -> None:
    for script in scripts():
        migrate.upgrade(empty_database, script.revision)
        with psycopg.connect(empty_database) as connection:
            row = connection.execute("SELECT obj_description('alembic_version'::regclass)").fetchone()
        applied = [each for each in scripts() if each.revision <= script.revision]
        assert row == (f"recsys: programs of schema version {oldest_program_of(applied)} and later may run",)
    assert oldest_program_of([]) == "0001"


def migrated_by_a_newer_version(url: str, oldest: str | None) -> None:
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    comment = "NULL" if oldest is None else f"'recsys: programs of schema version {oldest} and later may run'"
    execute(url, f"COMMENT ON TABLE alembic_version IS {comment}")


def checked(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    code = cli.run(["migrate", "--check", "--json"])
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return code, found


@pytest.mark.one_server
def test_the_check_of_the_newest_schema(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(capsys)
    assert (code, found["state"], found["pending"]) == (0, "current", [])
    assert cli.run(["migrate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"before": migrate.head(), "after": migrate.head()}


@pytest.mark.one_server
def test_the_check_lists_what_is_pending_and_changes_nothing(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    previous = scripts()[-2].revision
    migrate.downgrade(shop.database_url, previous)
    code, found = checked(capsys)
    assert (code, found["state"], found["current"]) == (3, "behind", previous)
    assert [each["revision"] for each in found["pending"]] == [migrate.head()]  # type: ignore[attr-defined]
    assert found["stops_running"] is False
    assert migrate.current(shop.database_url) == previous
    with pytest.raises(Unavailable, match="run `recsys migrate`"):
        server.check_schema()

    migrate.downgrade(shop.database_url, "0005")
    assert cli.run(["migrate", "--check"]) == 3
    shown = capsys.readouterr().out
    assert "stop the running programs first" in shown
    assert "0006 A stored list for each question" in shown
    assert shown.count("\n") == 1 + len(scripts()) - 5
    assert cli.run(["migrate", "--if-needed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"before": "0005", "after": migrate.head()}


def test_the_check_of_an_empty_database(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    migrate.downgrade(shop.database_url, "base")
    code, found = checked(capsys)
    assert (code, found["state"], found["current"]) == (3, "empty", None)
    with pytest.raises(Unavailable, match="no schema yet"):
        server.check_schema()


@pytest.mark.one_server
@pytest.mark.parametrize("oldest", ["0001", migrate.head()])
def test_a_newer_schema_that_only_added_is_used(
    shop: Shop, capsys: pytest.CaptureFixture[str], oldest: str
) -> None:
    migrated_by_a_newer_version(shop.database_url, oldest)
    code, found = checked(capsys)
    assert (code, found["state"], found["current"]) == (0, "newer", "9999")
    server.check_schema()
    finding = next(each for each in doctor.examine(shop.settings) if each.part == "schema")
    assert (finding.state, finding.remedy) == ("ok", None)
    assert cli.run(["migrate", "--if-needed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"before": "9999", "after": "9999"}
    assert cli.run(["migrate"]) == 2
    assert "9999, which this program does not know" in capsys.readouterr().err


@pytest.mark.parametrize("oldest", ["9998", None])
def test_a_newer_schema_that_took_something_away_is_refused(
    shop: Shop, capsys: pytest.CaptureFixture[str], oldest: str | None
) -> None:
    migrated_by_a_newer_version(shop.database_url, oldest)
    code, found = checked(capsys)
    assert (code, found["state"]) == (2, "incompatible")
    assert cli.run(["migrate", "--if-needed"]) == 2
    with pytest.raises(Unavailable, match="run the newer version"):
        server.check_schema()
    finding = next(each for each in doctor.examine(shop.settings) if each.part == "schema")
    assert (finding.state, finding.remedy) == ("broken", "run the newer version")
