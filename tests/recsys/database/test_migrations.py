"""Upgrade and downgrade do all or nothing, and the mappings say what the migrations build."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.schema import CreateSchema

from recsys.database import migrate
from recsys.database.base import SCHEMAS
from recsys.database.custom_tables import OWN_TABLES
from recsys.database.metadata import DOMAIN_TABLES, OWN_MODULES, metadata
from recsys.errors import Conflict, Invalid, Unavailable
from tests.recsys.database import catalog
from tests.support.servers import Servers


def _everything(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return catalog.everything(connection)


def _built(url: str) -> tuple[catalog.Facts, dict[str, str]]:
    with psycopg.connect(url) as connection:
        return catalog.facts(connection), catalog.indexes(connection)


def test_upgrade_downgrade_upgrade(empty_database: str) -> None:
    untouched = _everything(empty_database)
    assert migrate.current(empty_database) is None

    assert migrate.upgrade(empty_database) == migrate.head()
    first = _built(empty_database)
    assert len(catalog.tables(first[0])) == 39 + len(OWN_TABLES)
    assert migrate.current(empty_database) == migrate.head()
    assert migrate.upgrade(empty_database) == migrate.head()
    assert _built(empty_database) == first

    assert migrate.downgrade(empty_database, "base") == "base"
    assert _everything(empty_database) == untouched
    assert migrate.current(empty_database) is None

    migrate.upgrade(empty_database)
    assert _built(empty_database) == first


def test_several_processes_may_upgrade_at_once(empty_database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        reached = list(pool.map(migrate.upgrade, [empty_database] * 4))
    assert reached == [migrate.head()] * 4
    assert len(catalog.tables(_built(empty_database)[0])) == 39 + len(OWN_TABLES)


def test_an_upgrade_that_meets_foreign_schemas_changes_nothing(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        connection.execute("CREATE SCHEMA analytics_db")
    before = _everything(empty_database)
    with pytest.raises(Conflict, match=r"analytics_db already.*nothing was changed"):
        migrate.upgrade(empty_database)
    assert _everything(empty_database) == before


def test_a_downgrade_that_would_break_what_is_not_ours_changes_nothing(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE VIEW public.people AS SELECT username FROM users_db.users")
    before = _everything(fresh_database)
    with pytest.raises(
        Conflict, match=r"nothing was dropped.*view public\.people|nothing was dropped.*people"
    ):
        migrate.downgrade(fresh_database, "base")
    assert _everything(fresh_database) == before
    assert migrate.current(fresh_database) == migrate.head()


def test_a_foreign_table_in_our_schema_stops_the_downgrade(fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("CREATE TABLE orders_db.theirs (id integer)")
    with pytest.raises(Conflict, match=r"orders_db\.theirs"):
        migrate.downgrade(fresh_database, "base")
    assert migrate.current(fresh_database) == migrate.head()


def test_versions_that_are_not_known_are_refused(fresh_database: str) -> None:
    with pytest.raises(
        Invalid,
        match=rf"no schema version '9999'; known: base, 0001, .*{migrate.head()}, head",
    ):
        migrate.upgrade(fresh_database, "9999")
    with psycopg.connect(fresh_database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Conflict, match="9999, which this program does not know"):
        migrate.upgrade(fresh_database)
    with pytest.raises(Conflict, match="9999"):
        migrate.downgrade(fresh_database, "base")
    assert migrate.current(fresh_database) == "9999"


def test_an_unreachable_server_is_reported_in_one_line() -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        migrate.upgrade("postgresql://someone:hidden-word@127.0.0.1:1/shop")
    assert "hidden-word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_autogenerate_finds_no_difference_and_can_find_one(database_url: str) -> None:
    engine = create_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool
    )
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
        "compare_type": True,
        "compare_server_default": True,
    }
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        connection.execute(text("ALTER TABLE users_db.users ALTER email TYPE varchar(250)"))
        connection.execute(text("DROP INDEX orders_db.order_items_order_id_idx"))
        found = str(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
        connection.rollback()
    assert "modify_type" in found
    assert "order_items_order_id_idx" in found


def test_the_mappings_alone_would_build_the_same(servers: Servers, built: psycopg.Connection) -> None:
    engine = create_engine(
        servers.database("postgres").replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool
    )
    with engine.connect() as connection:
        for schema in SCHEMAS:
            connection.execute(CreateSchema(schema))
        metadata.create_all(connection)
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        mapped, mapped_indexes = catalog.facts(raw), catalog.indexes(raw)
        connection.rollback()
    facts = catalog.facts(built)
    # mappings make no triggers: this one is its migration's alone
    definition = facts.pop(("recommendations_db.stored_lists", "trigger users_deleted"))
    assert "publish_deleted_users" in definition
    assert catalog.differences(facts, mapped) == []
    assert mapped_indexes == catalog.indexes(built)


def test_every_mapped_table_says_what_it_is() -> None:
    mapped = [getattr(module, name) for module in (*DOMAIN_TABLES, *OWN_MODULES) for name in module.__all__]
    assert {table.__table__.fullname for table in mapped} == set(metadata.tables)
    assert [table.__name__ for table in mapped if not table.__doc__] == []
    homes = {
        module.__name__.split(".")[2] + "_db": {getattr(module, n).__table__.schema for n in module.__all__}
        for module in DOMAIN_TABLES
    }
    assert all(schemas == {home} for home, schemas in homes.items())


def test_a_downgrade_leaves_the_oldest_experiment_and_no_rule_of_a_set_in_force(fresh_database: str) -> None:
    compared = '{"arms": [{"name": "b", "variant": {"live": true, "rule_set": "winter", "diversity": 0.5}}]}'
    only = '{"arms": [{"name": "b", "variant": {"rule_set": "winter"}}]}'
    plain = '{"arms": [{"name": "b", "variant": {"model": "m2"}}]}'
    with psycopg.connect(fresh_database) as connection:
        for name, design in (("sets", compared), ("first", plain), ("second", plain), ("more", only)):
            connection.execute(
                "INSERT INTO recommendations_db.ab_tests (name, control, share, salt, live_control, metric, "
                "days, state, started_at, started_by, reason, design) VALUES (%s, 'm', 0.5, 's', false, "
                "'bought', 7, 'running', now(), 'ann', 'try', %s)",
                (name, design),
            )
        connection.execute(
            "INSERT INTO recommendations_db.business_rules (name, kind, tag, rule_set, created_by, "
            "created_at, updated_at) VALUES ('all', 'hide', 'x', NULL, 'ann', now(), now()), "
            "('set', 'hide', 'x', 'winter', 'ann', now(), now())"
        )
    migrate.downgrade(fresh_database, "0028")
    with psycopg.connect(fresh_database) as connection:
        tests = connection.execute(
            "SELECT name, state FROM recommendations_db.ab_tests ORDER BY id"
        ).fetchall()
        designs = connection.execute("SELECT design FROM recommendations_db.ab_tests ORDER BY id").fetchall()
        enabled = connection.execute(
            "SELECT name FROM recommendations_db.business_rules WHERE enabled"
        ).fetchall()
    assert tests == [("sets", "stopped"), ("first", "running"), ("second", "stopped"), ("more", "stopped")]
    variants = [design["arms"][0]["variant"] for (design,) in designs]
    assert variants == [{"live": True, "diversity": 0.5}, {"model": "m2"}, {"model": "m2"}, {}]
    assert enabled == [("all",)]
    migrate.upgrade(fresh_database)
